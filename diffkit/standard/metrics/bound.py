"""The variational bound of real rows under the model."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.bound import Variance, variational_bound
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.evidence import bare, bins, in_model_space
from diffkit.core.metric import Measured, ModelMetric
from diffkit.core.model import DiffusionModel
from diffkit.core.schedule import LOGSNR_LIMIT
from diffkit.core.types import Batch, Count
from diffkit.standard.grids.levels import LogSnr
from diffkit.standard.grids.span import LogSnrValue
from diffkit.standard.metrics.figures import and_bits, in_nats


class Bound(Metric, ModelMetric):
    r"""The variational bound on minus log p of real rows, term by term, in nats; `bits_per_dim` if they are discrete.

    $$ -\log p(x_0) \le D_\mathrm{KL}(q(x_T | x_0) \,\|\, p(x_T))
       + \sum_{t > s > 0} \mathrm{E}\, D_\mathrm{KL}(q(x_s | x_t, x_0) \,\|\, p(x_s | x_t))
       - \mathrm{E} \log p(x_0 | x_1) $$

    `nll` is the sum of `prior`, `inner` and `reconstruction`, for the model as a chain of `steps` of equal length in
    log-SNR, with the reverse `variance` of that name (as `sampler=ddpm`). Discrete data: the last step's Gaussian is
    integrated over their levels, without any dequantization. Continuous data: it is a density per the data's own units.
    Each of the `draws` of noise evaluates as many of the steps as `terms` says, one out of each of so many runs of
    neighbouring ones; or all (null). The model is the bare one, without guidance, told each row's own condition.

    Other grids: `diffkit.core.variational_bound`. Raises `DiffkitError` for fewer terms than steps and one draw, which
    leave the error unknown.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models; Kingma et al. 2021, Variational Diffusion Models.
    """

    higher_is_better = False
    prior: list[Tensor]
    inner: list[Tensor]
    reconstruction: list[Tensor]
    terms: Tensor
    rows: Tensor

    def __init__(
        self,
        steps: Count = 1000,
        terms: Count | None = 100,
        draws: Count = 2,
        variance: Variance = "large",
        logsnr_min: LogSnrValue = -LOGSNR_LIMIT,
        logsnr_max: LogSnrValue = 9.0,
    ) -> None:
        super().__init__()
        if terms is not None and terms < steps - 1 and draws < 2:
            raise DiffkitError("terms drawn at random need two draws or more: set terms=null or draws=2")
        self.grid = LogSnr(steps, logsnr_min, logsnr_max)
        self.drawn, self.draws, self.variance = terms, draws, variance
        for name in ("prior", "inner", "reconstruction"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.add_state("terms", torch.zeros(max(1, steps - 1), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")
        self._spec, self._calls, self._logsnr = DataSpec(()), 0, [0.0]

    def update(self, model: DiffusionModel, spec: DataSpec, rows: Batch, ids: Sequence[int], seed: int) -> None:
        """See `ModelMetric`."""
        x, times = in_model_space(model, spec, rows), self.grid(model.schedule)
        found = variational_bound(
            bare(model, rows),
            model.schedule,
            x,
            times,
            ids,
            seed,
            self.draws,
            self.drawn,
            self.variance,
            None if spec.quantum is None else bins(spec, x),
        )
        self.prior.append(found.prior.cpu())
        self.inner.append(found.steps.T.cpu())
        # probabilities have no unit, densities have that of the data
        self.reconstruction.append(found.reconstruction.T.cpu() + (spec.log_volume if spec.quantum is None else 0.0))
        self.terms += len(x) * found.terms.to(self.terms)
        self.rows += len(x)
        self._spec, self._calls, self._logsnr = spec, found.calls, model.schedule.logsnr(times[:-2]).tolist()

    def compute(self) -> Measured:
        """The bound and its parts, and each step's term by the log-SNR from which it starts."""
        prior, inner, last = torch.cat(self.prior), torch.cat(self.inner), torch.cat(self.reconstruction)
        total = prior[:, None] + inner + last
        # the steps that were drawn are the same for all rows: what they leave is not in the rows' spread
        noise = total.mean(0).std().item() / self.draws**0.5 if self.draws > 1 else 0.0
        parts = in_nats("prior", prior) | in_nats("inner", inner.mean(1)) | in_nats("reconstruction", last.mean(1))
        known = zip(self._logsnr, (self.terms / self.rows).tolist(), strict=True)
        terms = [[logsnr, term] for logsnr, term in known if term == term]
        detail = {"variance": self.variance, "calls": self._calls, "nll_noise": noise, "terms": terms}
        return Measured(and_bits(in_nats("nll", total.mean(1), noise), self._spec) | parts, detail)
