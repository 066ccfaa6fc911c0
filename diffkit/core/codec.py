"""Codecs: from the data's space to the one that is diffused, and back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffkit.core.types import Batch

LATENT = "latent"
"""The column of a batch that has the latents of its rows, where they were encoded before."""


class Codec(nn.Module, ABC):
    """A pair of maps between standardised data and what the model diffuses. A `DiffusionModel` learns nothing of it."""

    @abstractmethod
    def encode(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *e"]:
        """Latents of standardised data."""

    @abstractmethod
    def decode(self, z: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
        """Standardised data of latents."""


class LearnedCodec(Codec):
    r"""A codec that is learned before a model of its latents is: a variational autoencoder, by `task=autoencoder`.

    What is diffused is the mean of the posterior, each of its channels with zero mean and unit variance over the
    training data:

    $$ z = \frac{\mu(x) - m}{s}, \qquad \hat x = g(s z + m) $$

    `keys` are the hyperparameters that build another one of the same form, which has nothing of a run: a bundle holds
    them, and the weights. `trained` says whether this one has learned.
    Kingma and Welling 2014, Auto-Encoding Variational Bayes; Rombach et al. 2022, High-Resolution Image Synthesis with
    Latent Diffusion Models, whose scale is one for all channels.
    """

    def __init__(self, channels: int, keys: Mapping[str, Any], trained: bool) -> None:
        super().__init__()
        self.keys, self.trained = dict(keys), trained
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))

    @abstractmethod
    def posterior(self, x: Float[Tensor, " b *d"]) -> tuple[Float[Tensor, " b *e"], Float[Tensor, " b *e"]]:
        """Mean and log-variance of the normal distribution of the latents of standardised data, as they are learned."""

    @abstractmethod
    def generate(self, latent: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
        """Standardised data of latents as they are learned."""

    def encode(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *e"]:
        """See `Codec`."""
        mean, _ = self.posterior(x)
        return (mean - _channels(self.shift, mean)) / _channels(self.scale, mean)

    def decode(self, z: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
        """See `Codec`."""
        return self.generate(z * _channels(self.scale, z) + _channels(self.shift, z))

    def settle(self, mean: Float[Tensor, " c"], deviation: Float[Tensor, " c"]) -> None:
        """Take the moments of the channels of the posterior's means; one that does not vary keeps its scale."""
        self.shift.copy_(mean)
        self.scale.copy_(deviation.where(deviation > 0, torch.ones_like(deviation)))


def latents(codec: Codec, batch: Batch) -> Float[Tensor, " b *e"]:
    """What is diffused of a batch's rows: its column `"latent"`, or what the codec makes of `"x"`."""
    if LATENT in batch:
        kept: Tensor = batch[LATENT]
        return kept
    with torch.no_grad():
        return codec.encode(batch["x"])


def alike(one: Codec, other: Codec) -> bool:
    """Whether two codecs make the same latents: they are of one class, and their tensors are equal.

    Tensors of another precision are compared in the first one's; those that have no values (on the device `"meta"`)
    by shape.
    """
    ours, theirs = one.state_dict(), other.state_dict()
    if type(one) is not type(other) or ours.keys() != theirs.keys():
        return False
    return all(_equal(a, theirs[name]) for name, a in ours.items())


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.is_meta or b.is_meta:
        return a.shape == b.shape
    return torch.equal(a, b.to(a))


def _channels(values: Tensor, z: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (z.ndim - 2))
