"""The spacings of a discrete chain that are in use, in exact arithmetic: the number of steps need not divide it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count
from diffkit.standard.grids.chain import on_chain


def _falling(steps: int) -> Float[Tensor, " n"]:
    """The whole numbers from `steps` to 0."""
    return torch.arange(steps, -1, -1, dtype=torch.float64)


@dataclass(frozen=True)
class Trailing(Grid):
    r"""Steps of nearly equal length on a discrete chain of T = `chain` steps, the first at its very end, t = 1.

    $$ t_k = \frac{1}{T} \operatorname{round}\left( T - k \frac{T}{\mathrm{steps}} \right) $$

    What was trained is what is asked: sampling starts where the training's last step is.
    Lin et al. 2023, Common Diffusion Noise Schedules and Sample Steps are Flawed.
    """

    steps: Count = 20
    chain: Count = 1000

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        return on_chain(_falling(self.steps) / self.steps, schedule, self.chain)


@dataclass(frozen=True)
class Leading(Grid):
    r"""Steps of nearly equal length on a discrete chain of T = `chain` steps, the last at its first step, t = 1 / T.

    $$ t_k = \frac{1}{T} \left( 1 + \left\lfloor (\mathrm{steps} - 1 - k) \frac{T}{\mathrm{steps}} \right\rfloor
       \right), \qquad k = 0, \ldots, \mathrm{steps} - 1 $$

    It does not start at t = 1: the fewer the steps, the less noise it begins with, while the sampler is given noise
    alone. It is here for models and results that were made with it; `trailing` is the better one.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models; Lin et al. 2023, Common Diffusion Noise Schedules and
    Sample Steps are Flawed.
    """

    steps: Count = 20
    chain: Count = 1000

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        steps = 1 + (_falling(self.steps)[1:] * self.chain / self.steps).floor()
        return on_chain(torch.cat([steps / self.chain, steps.new_zeros(1)]), schedule, self.chain)


@dataclass(frozen=True)
class Linspace(Grid):
    r"""Steps of nearly equal length on a discrete chain of T = `chain` steps, from its last, t = 1, to its first.

    $$ t_k = \frac{1}{T} \operatorname{round}\left( T - k \frac{T - 1}{\mathrm{steps} - 1} \right),
       \qquad k = 0, \ldots, \mathrm{steps} - 1 $$

    and one step from there to the data, as short as the chain has it. A single step goes from t = 1.
    Nichol and Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models.
    """

    steps: Count = 20
    chain: Count = 1000

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        steps = 1 + _falling(self.steps)[1:] * (self.chain - 1) / max(self.steps - 1, 1)
        steps[0] = self.chain
        return on_chain(torch.cat([steps / self.chain, steps.new_zeros(1)]), schedule, self.chain)
