"""Schedules that are given by betas: the variances that the steps of a discrete chain add."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count, Range
from diffkit.standard.schedules.preserving import from_log_signal

Beta = Annotated[float, Range(1e-12, 0.999)]
"""The variance that one step of a discrete chain adds."""


def _log_alpha_bar(betas: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    r"""$\log \bar\alpha_i = \sum_{j \le i} \log(1 - \beta_j)$ for i = 0 to the number of betas."""
    return torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-betas).cumsum(0)])


@lru_cache(maxsize=32)
def _linear(first: float, last: float, steps: int) -> Float[Tensor, " n"]:
    return _log_alpha_bar(torch.linspace(first, last, steps, dtype=torch.float64))


@lru_cache(maxsize=32)
def _scaled_linear(first: float, last: float, steps: int) -> Float[Tensor, " n"]:
    return _log_alpha_bar(torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64).square())


@lru_cache(maxsize=32)
def _exponential(first: float, last: float, steps: int) -> Float[Tensor, " n"]:
    logs = torch.tensor([first, last], dtype=torch.float64).log().tolist()
    return _log_alpha_bar(torch.linspace(logs[0], logs[1], steps, dtype=torch.float64).exp())


@lru_cache(maxsize=32)
def _tabulated(betas: tuple[float, ...]) -> Float[Tensor, " n"]:
    return _log_alpha_bar(torch.tensor(betas, dtype=torch.float64))


def _chain(
    log_alpha_bar: Float[Tensor, " n"], t: Float[Tensor, "*b"]
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """A discrete variance-preserving chain in continuous time: linear in log alpha_bar between its steps."""
    table = log_alpha_bar.to(t.device)
    place = t * (len(table) - 1)
    i = place.long().clamp(0, len(table) - 2)
    return from_log_signal(table[i] + (table[i + 1] - table[i]) * (place - i))


@dataclass(frozen=True)
class Linear(Schedule):
    r"""Variance-preserving, with noise variances beta that grow linearly over a chain of `steps` steps.

    $$ \alpha_t^2 = \prod_{i \le t \cdot \mathrm{steps}} (1 - \beta_i), \qquad \sigma_t^2 = 1 - \alpha_t^2 $$

    Exact at the chain's steps; between them $\log \alpha_t$ is linear. alpha_1 is 0.0064: a little signal is left.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models.
    """

    beta_min: Beta = 1e-4
    beta_max: Beta = 0.02
    steps: Count = 1000

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return _chain(_linear(self.beta_min, self.beta_max, self.steps), t)


@dataclass(frozen=True)
class ScaledLinear(Schedule):
    r"""Variance-preserving, as `linear` is, with a square root of beta that grows linearly.

    $$ \sqrt{\beta_i} = \sqrt{\beta_\mathrm{min}} + \frac{i}{\mathrm{steps} - 1} \left( \sqrt{\beta_\mathrm{max}} -
       \sqrt{\beta_\mathrm{min}} \right), \qquad i = 0, \ldots, \mathrm{steps} - 1 $$

    Betas that are a quadratic function of time are these, so `scaled_linear` and `quadratic` are two names of one
    part. alpha_1 is 0.068 with the range of latent diffusion, which is the default; Ho et al.'s code takes the range
    from 1e-4 to 0.02.
    Rombach et al. 2021, High-Resolution Image Synthesis with Latent Diffusion Models.
    """

    beta_min: Beta = 0.00085
    beta_max: Beta = 0.012
    steps: Count = 1000

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return _chain(_scaled_linear(self.beta_min, self.beta_max, self.steps), t)


@dataclass(frozen=True)
class Exponential(Schedule):
    r"""Variance-preserving, as `linear` is, with betas that grow by the same factor in every step.

    $$ \beta_i = \beta_\mathrm{min} \left( \frac{\beta_\mathrm{max}}{\beta_\mathrm{min}}
       \right)^{i / (\mathrm{steps} - 1)}, \qquad i = 0, \ldots, \mathrm{steps} - 1 $$

    Longer near the data than `linear`, and as much noise in the end: alpha_1 is 0.0085. The noise levels of Song and
    Ermon 2019, Generative Modeling by Estimating Gradients of the Data Distribution, grow in this way.
    """

    beta_min: Beta = 1e-4
    beta_max: Beta = 0.06
    steps: Count = 1000

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return _chain(_exponential(self.beta_min, self.beta_max, self.steps), t)


@dataclass(frozen=True)
class Tabulated(Schedule):
    r"""Variance-preserving, as `linear` is, with any betas: those of a model that was trained elsewhere, say.

    $$ \alpha_{i / n}^2 = \prod_{j = 1}^{i} (1 - \beta_j), \qquad \sigma_t^2 = 1 - \alpha_t^2 $$

    for n betas, one for each step from the data on. The default halves alpha in each of eight steps. Raises
    `DiffkitError` where there are none.
    """

    betas: tuple[Beta, ...] = (0.75,) * 8

    def __post_init__(self) -> None:
        if not self.betas:
            raise DiffkitError("betas is empty; give the variance that each step adds, such as [0.1,0.5,0.9]")

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return _chain(_tabulated(self.betas), t)
