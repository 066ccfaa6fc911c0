"""The standard task."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Optimizer

from diffkit.core.model import DiffusionModel
from diffkit.core.objective import TimeDensity, Weighting
from diffkit.core.types import Batch, Count, Fraction, Natural, NonNegative, Shape
from diffkit.core.variance import VarianceBound
from diffkit.run.module import Task


class DiffusionTask(Task):
    """Learning to denoise: the loss is the weighted squared error of the network's output.

    `variance_weight` and `variance_steps` are those of the `VarianceBound` that a model with `learn_variance` is
    trained by; the other keys, and what else a step does, are those of every `Task`.
    """

    def __init__(
        self,
        model: DiffusionModel,
        density: TimeDensity,
        weighting: Weighting,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        shape: Shape,
        seed: int,
        condition_dropout: float | Sequence[float] = 0.1,
        ema: Fraction = 0.999,
        warmup: Natural = 100,
        decay: Literal["linear", "cosine", "constant"] = "linear",
        stratify: Literal["strata", "lattice", "none"] = "strata",
        variance_weight: NonNegative = 0.001,
        variance_steps: Count = 1000,
    ) -> None:
        given = (model, density, weighting, optimizer, shape, seed, condition_dropout)
        super().__init__(*given, ema, warmup, decay, stratify)
        self.bound = VarianceBound(variance_steps, variance_weight)

    def losses(
        self,
        model: DiffusionModel,
        batch: Batch,
        t: Float[Tensor, " b"],
        eps: Float[Tensor, " b *e"],
        keep: Bool[Tensor, "c b"] | None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """See `Task`."""
        return model.loss(batch, t, eps, self.weighting, keep, self.bound)
