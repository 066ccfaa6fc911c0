"""Log p of real rows under the model."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import DataSpec
from diffkit.core.evidence import Density
from diffkit.core.likelihood import Direction
from diffkit.core.metric import Measured, ModelMetric
from diffkit.core.model import DiffusionModel
from diffkit.core.schedule import LOGSNR_LIMIT
from diffkit.core.types import Batch, Natural, Positive
from diffkit.standard.grids.span import LogSnrValue
from diffkit.standard.metrics.figures import and_bits, in_nats


class Likelihood(Metric, ModelMetric):
    r"""Minus log p of real rows by the probability-flow ODE: `nll` in nats a row, `bits_per_dim` if they are discrete.

    Continuous data: `nll` is of the density per the data's own units, of the data blurred by the noise of `logsnr_max`
    (20 where it is null: 4.5e-5 of their deviation). Data with a quantum: `nll` bounds minus log of the probability
    from above. Their rounding is undone by one draw of noise, normal with a deviation of a sixth of the quantum
    (`gaussian`; the ODE then ends at that noise level, and `logsnr_max` is not used), or uniform and as wide as the
    quantum (`uniform`).

    `probes` of Hutchinson's estimate of the divergence; 0 for the exact one; null for the exact one up to 16 numbers a
    row, and 2 probes above. `nll_noise` is the standard error that they leave in the mean. A step's error is at most
    the `tolerance`. The model is the bare one, without guidance, told each row's own condition.
    Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations.
    """

    higher_is_better = False
    nll: list[Tensor]
    noise: list[Tensor]

    def __init__(
        self,
        probes: Natural | None = None,
        direction: Direction = "rademacher",
        dequantization: Literal["gaussian", "uniform"] = "gaussian",
        logsnr_min: LogSnrValue = -LOGSNR_LIMIT,
        logsnr_max: LogSnrValue | None = None,
        tolerance: Positive = 1e-5,
    ) -> None:
        super().__init__()
        self.density = Density(probes, direction, dequantization, logsnr_min, logsnr_max, tolerance)
        self.add_state("nll", [], dist_reduce_fx="cat")
        self.add_state("noise", [], dist_reduce_fx="cat")
        self._spec, self._calls = DataSpec(()), 0

    def update(self, model: DiffusionModel, spec: DataSpec, rows: Batch, ids: Sequence[int], seed: int) -> None:
        """See `ModelMetric`."""
        found = self.density(model, spec, rows, ids, seed)
        self.nll.append(-found.nats.cpu())
        self.noise.append(found.error.cpu())
        self._spec, self._calls = spec, found.calls

    def compute(self) -> Measured:
        """The figures, and how they were computed; `calls` is the number of network calls for the last batch."""
        nll, noise = torch.cat(self.nll), torch.cat(self.noise).square().sum().sqrt().item()
        how = "none" if self._spec.quantum is None else self.density.dequantization
        probes = self.density.directions(self._spec)
        detail = {"dequantization": how, "probes": probes, "calls": self._calls, "nll_noise": noise / len(nll)}
        return Measured(and_bits(in_nats("nll", nll), self._spec), detail)
