"""Contracts of weightings."""

import torch
from torch import Tensor, nn

from diffkit.core.objective import LearnedWeighting, Weighting
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.prediction import levels
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.contracts.value import check_value
from diffkit.testing.given import seeded


def value(weighting: Weighting) -> None:
    """A weighting that does not learn is a frozen dataclass of plain values, equal to a copy of itself."""
    check_value(weighting)


def _asked() -> list[tuple[str, Tensor, Tensor]]:
    """Log-SNRs, and the c_out of predictions that keep it bounded and of one that does not."""
    logsnr, alpha, sigma = levels()
    named = {"1": torch.ones_like(sigma), "-sigma": -sigma, "-sigma / alpha": -sigma / alpha}
    return [(f"for c_out = {name}", logsnr.clone(), c_out) for name, c_out in named.items()]


def factors(weighting: Weighting) -> None:
    """There is a finite factor of at least 0 for each row, at any log-SNR from -20 to 20 and for any prediction."""
    for at, logsnr, c_out in _asked():
        w = weighting(logsnr, c_out)
        require(w.shape == logsnr.shape, weighting, f"{tuple(w.shape)} factors for {tuple(logsnr.shape)} rows")
        wrong = (~(w.isfinite() & (w >= 0))).nonzero().flatten().tolist()[:1]
        said = [f"the factor is {w[i]:g} at a log-SNR of {logsnr[i]:g} {at}, not finite and at least 0" for i in wrong]
        require(not wrong, weighting, "".join(said))


def untouched(weighting: Weighting) -> None:
    """Neither the log-SNR nor c_out is written into."""
    for (at, logsnr, c_out), (_, before, c_before) in zip(_asked(), _asked(), strict=True):
        weighting(logsnr, c_out)
        require(bool((logsnr == before).all()), weighting, f"the log-SNR was written into {at}")
        require(bool((c_out == c_before).all()), weighting, f"c_out was written into {at}")


def rows(weighting: Weighting) -> None:
    """A row's factor depends on that row alone, and is the same each time it is asked for."""
    for at, logsnr, c_out in _asked():
        with seeded(0), torch.no_grad():
            together = weighting(logsnr, c_out)
        with seeded(1), torch.no_grad():
            apart = weighting(logsnr[::7], c_out[::7])
        size = together[::7].abs().clamp(min=1e-300)
        what = f"the factor of a row in another batch, by that of all, {at}"
        require_close(weighting, what, apart / size, together[::7] / size, 1e-5)


def learns(weighting: Weighting) -> None:
    """A weighting that learns adds a finite penalty to each row, and a gradient reaches each of its parameters."""
    if not isinstance(weighting, LearnedWeighting):
        return
    _, logsnr, c_out = _asked()[0]
    penalty = weighting.penalty(logsnr)
    require(penalty.shape == logsnr.shape, weighting, f"{tuple(penalty.shape)} penalties for {len(logsnr)} rows")
    require(bool(penalty.isfinite().all()), weighting, "a penalty is not finite")
    parameters: list[nn.Parameter] = [p for p in weighting.parameters() if p.requires_grad]
    grads = torch.autograd.grad((weighting(logsnr, c_out) + 2 * penalty).sum(), parameters, allow_unused=True)
    lost = sum(g is None or not bool(g.any()) for g in grads)
    require(not lost, weighting, f"no gradient reaches {lost} of {len(grads)} parameters")


WEIGHTING = table(value, factors, untouched, rows, learns)


def check_weighting(weighting: Weighting) -> None:
    """Hold a weighting against its contracts; raises `AssertionError` with what broke and what was measured."""
    hold(WEIGHTING, weighting)
