"""Log p of real rows under a model, in the data's own units: scaling, conditions and dequantization accounted for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.bound import Bins
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import told
from diffkit.core.likelihood import Direction, LogLikelihood, draw_probes, log_likelihood
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import Noise
from diffkit.core.sampler import Denoiser
from diffkit.core.schedule import LOGSNR_LIMIT
from diffkit.core.types import Batch

EXACT = 16
"""Rows of at most this many numbers get the exact divergence, where nothing else is said."""
PROBES = 2
"""And others as many probes."""
SHARE = 6
"""Normal noise that undoes the rounding has a deviation of the quantum over this."""


@dataclass(frozen=True)
class Density:
    r"""How log p of rows is computed, by the probability-flow ODE (`diffkit.core.likelihood`).

    Continuous data: the log density per the data's own units, of the data blurred by the noise of `logsnr_max` (20
    where it is None: 4.5e-5 of their deviation). Data with a quantum: a lower bound on the log of the probability, by
    one draw of noise that undoes their rounding. It is normal with a deviation of a sixth of the quantum (`gaussian`),
    the blur of the model's own path there, so that a model of the levels themselves has a density to be asked for,

    $$ \log P(x) \ge \mathrm{E} \left[\log p(\tilde x) - \log \mathcal N(\tilde x; x, \tau^2)
       + \log P(x | \tilde x)\right] $$

    or uniform and as wide as the quantum (`uniform`), for a model that was trained on such data.

    `probes` of Hutchinson's estimate; 0 for the exact divergence; None for the exact one up to 16 numbers a row, and 2
    probes above. The model is the bare one, without guidance, told each row's own condition. Computed in float64 but
    for the network.
    Theis et al. 2016, A note on the evaluation of generative models (uniform); Ho et al. 2019, Flow++ (other noise).
    """

    probes: int | None = None
    direction: Direction = "rademacher"
    dequantization: Literal["gaussian", "uniform"] = "gaussian"
    logsnr_min: float = -LOGSNR_LIMIT
    logsnr_max: float | None = None
    tolerance: float = 1e-5

    def __call__(
        self, model: DiffusionModel, spec: DataSpec, rows: Batch, ids: Sequence[int], seed: int
    ) -> LogLikelihood:
        """For rows whose `x` is in the data's own units; noise and probes of a row depend on (seed, id) alone."""
        x, noise = in_model_space(model, spec, rows), Noise(seed, ids)
        high, shift = self.logsnr_max, x.new_full((len(x),), -spec.log_volume)
        if spec.quantum is not None:
            levels = bins(spec, x)
            if self.dequantization == "gaussian":
                deviation = levels.step.min().item() / SHARE
                high = -2 * math.log(deviation)
                x, shift = _blurred(x, levels, deviation, noise(x))
            else:
                x = x + levels.step * (torch.special.ndtr(noise(x)) - 0.5)
                shift = levels.step.expand(x.shape[1:]).log().sum().expand(len(x))
        k = self.directions(spec)
        found = log_likelihood(
            bare(model, rows),
            model.schedule,
            x,
            draw_probes(x, k, noise, self.direction) if k else None,
            (self.logsnr_min, LOGSNR_LIMIT if high is None else high),
            tolerance=self.tolerance,
        )
        return replace(found, nats=found.nats + shift)

    def directions(self, spec: DataSpec) -> int:
        """The number of probes; 0 for the exact divergence."""
        return self.probes if self.probes is not None else 0 if math.prod(spec.shape) <= EXACT else PROBES


def bare(model: DiffusionModel, rows: Batch) -> Denoiser:
    """The model's denoiser in float64, told each row's own condition where it reads one."""
    device = _like(model).device
    columns = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in rows.items() if k != "x"}
    with torch.no_grad():
        return told(model.at(torch.float64), model.conditioners(columns, len(rows["x"])))


def in_model_space(model: DiffusionModel, spec: DataSpec, rows: Batch) -> Float[Tensor, " b *d"]:
    """The rows standardised, in float64 on the model's device.

    Raises `DiffkitError` for a model whose codec changes the data: a density of latents is none of the data.
    """
    x = spec.standardise(rows["x"].double()).to(_like(model).device)
    with torch.no_grad():
        narrow = x[:1].to(_like(model).dtype)
        latent = model.codec.encode(narrow)
    if latent.shape != narrow.shape or not torch.equal(latent, narrow):
        raise DiffkitError(
            "the model diffuses latents, whose density is none of the data: choose one with codec=identity"
        )
    return x


def bins(spec: DataSpec, x: Float[Tensor, " b *d"]) -> Bins:
    """The levels of data with a quantum, in the model's space; raises `DiffkitError` for data without bounds."""
    if spec.low is None or spec.high is None or spec.quantum is None:
        raise DiffkitError("data with a quantum need a low and a high, to know their levels: set them in the DataSpec")
    edges = torch.tensor([spec.low, spec.low + spec.quantum, spec.high], dtype=torch.float64)
    low, after, high = spec.standardise(edges.reshape(3, *[1] * len(spec.shape)).expand(3, *spec.shape)).to(x)
    return Bins(after - low, low, high)


def _blurred(x: Tensor, levels: Bins, deviation: float, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Rows with normal noise, and what their log density is short of for the bound, for each row."""
    blurred = x + deviation * drawn
    entropy = (drawn.square() / 2 + math.log(deviation * math.sqrt(2 * math.pi))).flatten(1).sum(1)
    return blurred, entropy + levels.log_posterior(x, blurred, deviation).flatten(1).sum(1)


def _like(model: DiffusionModel) -> Tensor:
    return next(model.parameters(), torch.empty(0, dtype=torch.float64))
