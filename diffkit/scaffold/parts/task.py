"""A loss that forgives the rows that are far off."""

from collections.abc import Callable, Iterable

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Optimizer

from diffkit.core import Batch, DiffkitError, DiffusionModel, LearnedWeighting, Positive, Shape, TimeDensity, Weighting
from diffkit.run import Task


class MyTask(Task):
    r"""Learning to denoise with a pseudo-Huber loss: the squared error of a row where it is small, else its root.

    $$ 2 c \left( \sqrt{L + c^2} - c \right) $$

    for the loss L of a row, as `task=diffusion` has it. What else a step does, every `Task` does.
    Song and Dhariwal 2024, Improved Techniques for Training Consistency Models. Raises `DiffkitError` for a weighting
    that is learned, since L may then be negative.
    """

    def __init__(
        self,
        model: DiffusionModel,
        density: TimeDensity,
        weighting: Weighting,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        shape: Shape,
        seed: int,
        condition_dropout: float | tuple[float, ...] = 0.1,
        c: Positive = 1.0,
    ) -> None:
        if isinstance(weighting, LearnedWeighting):
            raise DiffkitError("this loss takes no weighting that is learned: choose another, such as weighting=unit")
        super().__init__(model, density, weighting, optimizer, shape, seed, condition_dropout)
        self.c = c

    def losses(
        self,
        model: DiffusionModel,
        batch: Batch,
        t: Float[Tensor, " b"],
        eps: Float[Tensor, " b *e"],
        keep: Bool[Tensor, "c b"] | None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """See `Task`."""
        loss, logsnr = model.loss(batch, t, eps, self.weighting, keep)
        return 2 * self.c * ((loss + self.c**2).sqrt() - self.c), logsnr
