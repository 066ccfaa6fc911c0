r"""The variational bound on -log p of a model that is sampled step by step from noise.

$$ -\log p(x_0) \le D_\mathrm{KL}(q(x_T | x_0) \,\|\, p(x_T))
   + \sum_{t > s > 0} \mathrm{E}\, D_\mathrm{KL}(q(x_s | x_t, x_0) \,\|\, p(x_s | x_t))
   - \mathrm{E} \log p(x_0 | x_1) $$

Sohl-Dickstein et al. 2015, Deep Unsupervised Learning using Nonequilibrium Thermodynamics; Ho et al. 2020, Denoising
Diffusion Probabilistic Models (equations 5, 8 and 13); Kingma et al. 2021, Variational Diffusion Models.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from diffkit.core.errors import DiffkitError
from diffkit.core.noise import Noise, generator
from diffkit.core.sampler import Denoiser
from diffkit.core.schedule import Schedule
from diffkit.core.variance import step_divergence, with_variance

Variance = Literal["small", "large", "learned"]
"""That of the reverse step, as `sampler=ddpm` has it: the posterior's, the forward step's, or the model's own."""


@dataclass(frozen=True)
class Bins:
    """Data that are whole multiples of a `step`, from `low` to `high`, in the units of x_0."""

    step: Float[Tensor, " *d"]
    """Of each number of a row, broadcast."""
    low: Float[Tensor, " *d"]
    high: Float[Tensor, " *d"]

    def log_probability(
        self, x_0: Float[Tensor, " b *d"], mean: Float[Tensor, " b *d"], deviation: float
    ) -> Float[Tensor, " b *d"]:
        r"""That of a normal number to fall into the bin of `x_0`; those of the ends have no end.

        $$ \log \int_{x_0 - \delta/2}^{x_0 + \delta/2} \mathcal N(x; \mathrm{mean}, \mathrm{deviation}^2)\, dx $$
        """
        half = self.step / 2
        left = torch.where(x_0 < self.low + half, -math.inf, (x_0 - half - mean) / deviation)
        right = torch.where(x_0 > self.high - half, math.inf, (x_0 + half - mean) / deviation)
        # by the tail that is not near 1, where the difference of two such would be lost
        flip = left + right > 0
        left, right = torch.where(flip, -right, left), torch.where(flip, -left, right)
        above, below = torch.special.log_ndtr(right), torch.special.log_ndtr(left)
        inside: Tensor = above + torch.log(-torch.expm1(below - above))
        return inside

    def log_posterior(
        self, x_0: Float[Tensor, " b *d"], blurred: Float[Tensor, " b *d"], deviation: float
    ) -> Float[Tensor, " b *d"]:
        """That of the level `x_0`, given it with normal noise, where all levels are as likely beforehand."""
        levels = round(((self.high - self.low) / self.step).max().item()) + 1
        others = torch.full_like(x_0, -math.inf)
        for i in range(levels):
            others = torch.logaddexp(others, -((blurred - self.low - i * self.step) / deviation).square() / 2)
        return -((blurred - x_0) / deviation).square() / 2 - others


@dataclass(frozen=True)
class Bound:
    """The terms of the bound in nats, for each row, and for each draw of the noise where they depend on it."""

    prior: Float[Tensor, " b"]
    steps: Float[Tensor, "n b"]
    """The sum over all steps but the last."""
    reconstruction: Float[Tensor, "n b"]
    """The last step: -log p of the data themselves."""
    terms: Float[Tensor, " s"]
    """The mean over rows and draws of each step's term; not a number where it was not drawn."""
    calls: int
    """Network calls, each of them for all rows."""

    @property
    def total(self) -> Float[Tensor, "n b"]:
        """The bound, for each draw and row."""
        return self.prior + self.steps + self.reconstruction


def variational_bound(
    denoise: Denoiser,
    schedule: Schedule,
    x_0: Float[Tensor, " b *d"],
    times: Float[Tensor, " t"],
    ids: Sequence[int],
    seed: int = 0,
    draws: int = 1,
    terms: int | None = None,
    variance: Variance = "small",
    bins: Bins | None = None,
) -> Bound:
    r"""The bound on -log p(x_0), on the T steps of a grid's falling `times` (T + 1, the last one 0).

    The first term is between Gaussians and exact; p(x_T) is that from which samplers start. Of step t to s the model's
    Gaussian has the posterior's mean for its own x_0, and the `variance` of that name. The last step is a Gaussian
    around the model's x_0, of the forward step's variance $\sigma_t^2 / (\alpha_t^2 + \sigma_t^2)$ whatever the
    variance: its density at x_0, in the units of x_0, or for discrete data its integral over the `bins`.

    The noise of a row depends on (seed, id) alone, and is new for each step and each of the `draws`: one network call
    for each. Where `terms` is less than the T - 1 steps, each draw takes one step at random out of each of so many runs
    of neighbouring steps, the same for all rows (a function of seed and draw), as many times as the run is long: the
    bound is then right on average, at terms + 1 calls for each draw. Computed in the dtype of x_0.

    Raises `DiffkitError` for a grid of fewer than two steps, and for `learned` without a model that has learned it.
    """
    steps = len(times) - 2
    if steps < 1:
        raise DiffkitError("the bound needs a grid of two steps or more: raise its steps")
    walk = _Walk(denoise, schedule, x_0, times, variance, Noise(seed, ids))
    summed, last = x_0.new_zeros(draws, len(x_0)), x_0.new_zeros(draws, len(x_0))
    totals, counts, calls = torch.zeros(steps, dtype=torch.float64), torch.zeros(steps, dtype=torch.float64), 0
    with torch.no_grad():
        for draw in range(draws):
            for index, length in _chosen(steps, terms, seed, draw):
                term = walk.divergence(index)
                summed[draw] += length * term
                totals[index] += term.double().mean().item()
                counts[index] += 1
                calls += 1
            last[draw] = walk.reconstruction(bins)
            calls += 1
        return Bound(_prior(schedule, x_0, times[0]), summed, last, totals / counts, calls)


def _chosen(steps: int, terms: int | None, seed: int, draw: int) -> list[tuple[int, int]]:
    """The steps to take, each with how many it stands for."""
    runs = min(terms or steps, steps)
    edges = [i * steps // runs for i in range(runs + 1)]
    u = torch.rand(runs, generator=generator("terms", seed, draw), dtype=torch.float64).tolist()
    return [(a + int(share * (b - a)), b - a) for a, b, share in zip(edges, edges[1:], u, strict=False)]


def _prior(schedule: Schedule, x_0: Tensor, t: Tensor) -> Tensor:
    """The divergence of N(alpha x_0, sigma^2) from N(0, alpha^2 + sigma^2), for each row."""
    alpha, sigma = (c.item() for c in schedule(t))
    signal = alpha**2 / (alpha**2 + sigma**2)
    return (signal * x_0.square() - signal - math.log1p(-signal)).flatten(1).sum(1) / 2


@dataclass(frozen=True)
class _Walk:
    """The steps of a grid, from noisy data of one step to the next."""

    denoise: Denoiser
    schedule: Schedule
    x_0: Tensor
    times: Tensor
    variance: Variance
    noise: Noise

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The model's x_0 for fresh x_t, and the place of its variance from -1 (small) to 1 (large)."""
        alpha, sigma = (c.item() for c in self.schedule(t))
        x_t = self.noise(self.x_0).mul_(sigma).add_(self.x_0, alpha=alpha)
        if self.variance == "learned":
            return with_variance(self.denoise).answer(x_t, t)
        return self.denoise(x_t, t), self.x_0.new_full((), {"small": -1.0, "large": 1.0}[self.variance])

    def divergence(self, step: int) -> Tensor:
        """KL(q(x_s | x_t, x_0) || p(x_s | x_t)) of a step, for each row."""
        of_t, of_s = self.schedule.logsnr(self.times[step : step + 2])
        x_0, v = self.answer(self.times[step])
        missed = (of_t.exp() * torch.expm1(of_s - of_t)).item() * (self.x_0 - x_0).square()
        above = (v + 1) / 2 * (softplus(of_s) - softplus(of_t)).item()
        return step_divergence(above, missed).flatten(1).sum(1)

    def reconstruction(self, bins: Bins | None) -> Tensor:
        """-log p(x_0 | x_t) of the last step, for each row."""
        t = self.times[-2]
        mean, _ = self.answer(t)
        deviation = math.exp(-0.5 * math.log1p(self.schedule.logsnr(t).exp().item()))
        if bins is not None:
            return -bins.log_probability(self.x_0, mean, deviation).flatten(1).sum(1)
        squares = ((self.x_0 - mean) / deviation).square() + math.log(2 * math.pi * deviation**2)
        return squares.flatten(1).sum(1) / 2
