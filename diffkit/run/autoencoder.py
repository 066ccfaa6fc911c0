"""Training a codec, for models of its latents."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Optimizer

from diffkit.core.autoencoder import Autoencoder
from diffkit.core.data import Data, DataSpec
from diffkit.core.model import DiffusionModel
from diffkit.core.objective import TimeDensity, Weighting
from diffkit.core.types import Batch, Fraction, Natural, NonNegative, Shape
from diffkit.run.edit import GIVEN
from diffkit.run.module import Task
from diffkit.run.pictures import grid

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 32
"""How many held-out rows are drawn beside what the codec makes of them."""


class AutoencoderTask(Task):
    r"""Learning to give back the data from a draw of their latents: a variational autoencoder, for `codec.run`.

    A row x of n numbers, standardised, has the loss

    $$ \frac{1}{n} \left( \sum_i |x_i - g_i(z)|^p
       + \mathrm{kl\_weight} \; D\big(q(z | x) \,\|\, \mathcal N(0, 1)\big) \right), \qquad z \sim q(z | x) $$

    with p 2 for `error=squared` and 1 for `error=absolute`; the noise of z is the step's. With squared errors it is,
    but for a factor and a constant, the negative evidence lower bound of a decoder with normal noise of variance
    kl_weight / 2. The model's other parts, density, `weighting` and `condition_dropout` are not used, and the log-SNR
    that a loss is logged for is 0.

    In the end the latents of the training rows get zero mean and unit variance by channel. It logs the root of the mean
    squared error of held-out rows, in the data's own unit, as `val_reconstruction`, and the divergence in nats a row as
    `val_divergence`. `samples/reconstruction.png` has held-out rows, and below each what is decoded of its latents, on
    the way and in the end. The other keys are those of every `Task`. Raises `DiffkitError` for a codec that has nothing
    to learn.
    Kingma and Welling 2014, Auto-Encoding Variational Bayes.
    """

    def __init__(
        self,
        model: DiffusionModel,
        density: TimeDensity,
        weighting: Weighting,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        shape: Shape,
        seed: int,
        data: Data,
        kl_weight: NonNegative = 0.001,
        error: Literal["squared", "absolute"] = "squared",
        ema: Fraction = 0.999,
        warmup: Natural = 100,
        decay: Literal["linear", "cosine", "constant"] = "linear",
    ) -> None:
        given = (Autoencoder(model), density, weighting, optimizer, shape, seed)
        super().__init__(*given, 0.0, ema, warmup, decay)
        self.kl_weight, self.error, self._spec = kl_weight, error, data.spec

    @staticmethod
    def trained(model: DiffusionModel, spec: DataSpec, keys: Mapping[str, Any]) -> Autoencoder:
        """See `Task`."""
        return Autoencoder(model)

    def losses(
        self,
        model: Autoencoder,
        batch: Batch,
        t: Float[Tensor, " b"],
        eps: Float[Tensor, " b *e"],
        keep: Bool[Tensor, "c b"] | None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """See `Task`."""
        x = batch["x"]
        decoded, divergence = model(x, eps)
        off = (decoded - x).flatten(1)
        error = off.square() if self.error == "squared" else off.abs()
        return error.mean(1) + self.kl_weight * divergence / off.shape[1], torch.zeros_like(t)

    def held_out(self, model: Autoencoder, batch: Batch, eps: Float[Tensor, " b *e"]) -> dict[str, Tensor]:
        """See `Task`."""
        x = batch["x"]
        off = self._spec.restore(model.reconstruct(x)) - self._spec.restore(x)
        return {"reconstruction": off.square().mean().sqrt(), "divergence": model(x, eps)[1].mean()}

    def on_train_end(self) -> None:
        """Bring the latents of the training rows to zero mean and unit variance, as the average encodes them."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(self.ema, Autoencoder)
        self.ema.settle(data.reference("train")["x"])

    def show(self, data: Data) -> "dict[str, Image]":
        """See `Task`."""
        assert isinstance(self.ema, Autoencoder)
        x = data.reference("test")["x"][:SHOWN]
        with torch.no_grad():
            made = self.ema.reconstruct(x.to(self.device)).float().cpu()
        restored = [data.spec.restore(rows) for rows in (made, x)]
        return {"reconstruction": grid(data, restored[0], {GIVEN: restored[1]})}
