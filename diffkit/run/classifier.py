"""Training a classifier of noisy data, for guidance."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from diffkit.compose.build import latent_shape
from diffkit.core.classifier import NoisyClassifier
from diffkit.core.codec import latents
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.core.objective import TimeDensity, Weighting
from diffkit.core.types import Batch, Fraction, Natural, Shape, expand
from diffkit.run.module import Task

LEVELS = (-6, -3, 0, 3, 6)
"""The log-SNRs at which held-out rows are classified."""


class ClassifierTask(Task):
    """Learning to tell the class of noisy data at every noise level, for `guidance=[classifier]`.

    The loss is the cross-entropy of the row's class given x_t; the times are the density's. `weighting` and
    `condition_dropout` are not used, and rows without a label (-1) teach nothing. It logs the share of held-out rows
    that are classified rightly at each of a few log-SNRs, as `val_accuracy/<log-SNR>`. The keys are those of every
    `Task`. Raises `DiffkitError` for data without labels, and for a model that is told something.
    Dhariwal and Nichol 2021, Diffusion Models Beat GANs on Image Synthesis.
    """

    def __init__(
        self,
        model: DiffusionModel,
        density: TimeDensity,
        weighting: Weighting,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        shape: Shape,
        seed: int,
        classes: int,
        condition_dropout: float | Sequence[float] = 0.1,
        ema: Fraction = 0.999,
        warmup: Natural = 100,
        decay: Literal["linear", "cosine", "constant"] = "linear",
        stratify: Literal["strata", "lattice", "none"] = "strata",
    ) -> None:
        network = NoisyClassifier(model, shape, classes)
        given = (network, density, weighting, optimizer, shape, seed, condition_dropout)
        super().__init__(*given, ema, warmup, decay, stratify)

    @staticmethod
    def trained(model: DiffusionModel, spec: DataSpec, keys: Mapping[str, Any]) -> NoisyClassifier:
        """See `Task`."""
        classes = spec.conditions.get("label")
        if classes is None:
            raise DiffkitError("task=classifier needs data with labels")
        return NoisyClassifier(model, latent_shape(model.codec, spec), classes)

    def losses(
        self,
        model: NoisyClassifier,
        batch: Batch,
        t: Float[Tensor, " b"],
        eps: Float[Tensor, " b *e"],
        keep: Bool[Tensor, "c b"] | None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """See `Task`."""
        logits, logsnr = self._logits(model, batch, t, eps)
        return cross_entropy(logits, batch["label"], reduction="none", ignore_index=-1), logsnr

    def held_out(self, model: NoisyClassifier, batch: Batch, eps: Float[Tensor, " b *e"]) -> dict[str, Tensor]:
        """See `Task`."""
        figures, told = {}, batch["label"] >= 0
        for level in LEVELS:
            t = model.schedule.time(torch.full((len(eps),), float(level), dtype=torch.float64)).to(eps.device)
            right = self._logits(model, batch, t, eps)[0].argmax(1) == batch["label"]
            figures[f"accuracy/{level}"] = right.sum() / told.sum().clamp(min=1)
        return figures

    def _logits(self, model: NoisyClassifier, batch: Batch, t: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of a batch at times t, and its log-SNRs."""
        x_0 = latents(model.codec, batch)
        alpha, sigma = model.schedule(t.clamp(*model.schedule.span()))
        scale = (alpha.square() + sigma.square()).rsqrt()
        x = expand((alpha * scale).to(x_0), x_0) * x_0 + expand((sigma * scale).to(x_0), x_0) * eps
        logsnr = (2 * (alpha / sigma).log()).to(x_0)
        return model(x, logsnr), logsnr
