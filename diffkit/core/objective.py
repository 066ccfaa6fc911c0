"""Objectives: where training puts its times, and how it weighs them."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from diffkit.core.schedule import Schedule


class TimeDensity(ABC):
    """A distribution of training times, given by the map of uniform numbers to it.

    A frozen dataclass, but for an `AdaptiveDensity`.
    """

    @abstractmethod
    def __call__(self, schedule: Schedule, u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Times in [0, 1] for numbers `u`, uniform in [0, 1); both float64."""


class AdaptiveDensity(nn.Module, TimeDensity, ABC):
    r"""A density that follows the losses seen so far, while the objective stays that of uniform times.

    $$ E_{t \sim U}[L_t] = E_{t \sim p}[L_t / p(t)] $$

    Whoever trains multiplies each row's loss by `correction`, and shows the losses to `observe` after each batch, those
    of all devices to each. What it has seen is in buffers, so that it is part of a checkpoint. Its `forward` is the map
    of `TimeDensity`.
    """

    @abstractmethod
    def correction(self, t: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """1 / p(t) for times that it gave, float64; with a chain, the ratio of the two probabilities."""

    @abstractmethod
    def observe(self, t: Float[Tensor, " b"], losses: Float[Tensor, " b"]) -> None:
        """Take note of the losses, not corrected, at the times of a batch."""


def on_chain(t: Float[Tensor, "*b"], chain: int | None) -> Float[Tensor, "*b"]:
    r"""The times of a chain of T = `chain` steps, $\lceil t T \rceil / T$: one of 1/T, 2/T, …, 1; None: `t` itself.

    Each has the probability that the density gives to the cell that ends with it. So are models trained that know T
    noise levels alone. Ho et al. 2020, Denoising Diffusion Probabilistic Models.
    """
    return t if chain is None else (t * chain).ceil().clamp(1, chain) / chain


class Weighting(ABC):
    r"""A factor on the squared error of the network's output F. A frozen dataclass, but for a `LearnedWeighting`.

    Since $x_0 - \hat x_0 = c_\mathrm{out} (F - \hat F)$, a weight $w$ on the error of x_0 is the factor
    $w\, c_\mathrm{out}^2$ here, and one on the error of eps is $w\, \mathrm{SNR}\, c_\mathrm{out}^2$: that is why
    `c_out` is given. A weighting whose constructor asks for `schedule` gets the model's.
    """

    @abstractmethod
    def __call__(self, logsnr: Float[Tensor, " b"], c_out: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The factor for each row, not negative."""


class LearnedWeighting(nn.Module, Weighting, ABC):
    """A weighting that is trained with the model: its `forward` is the factor, and `penalty` is added to the loss."""

    @abstractmethod
    def penalty(self, logsnr: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """What is added to the weighted error of each row, so that the factor does not fall to 0."""
