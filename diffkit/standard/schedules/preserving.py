"""Variance-preserving paths, alpha^2 + sigma^2 = 1, with all digits at both ends."""

import torch
from jaxtyping import Float
from torch import Tensor


def from_log_signal(log: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    r"""`(alpha, sigma)` from $\log \alpha^2$."""
    return (log / 2).exp(), (-torch.expm1(log)).sqrt()


def from_logsnr(logsnr: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """`(alpha, sigma)` from the log-SNR; (1, 0) and (0, 1) where it is infinite."""
    return logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()
