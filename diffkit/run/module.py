"""What every training run trains: a model, its moving average, and one step of learning."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from diffkit.compose.formats import CHECKPOINT
from diffkit.core.codec import LATENT
from diffkit.core.data import Augmented, Data, DataSpec, Keeping, texts
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel, Network
from diffkit.core.noise import generator, key
from diffkit.core.objective import AdaptiveDensity, TimeDensity, Weighting
from diffkit.core.types import Batch, Fraction, Natural, Shape
from diffkit.run.finite import Finite
from diffkit.run.snapshots import digest
from diffkit.run.times import everywhere, spread

if TYPE_CHECKING:
    from PIL.Image import Image


class Task(LightningModule, ABC):
    r"""What a training run trains: a model, its moving average, and everything of a step of learning but its loss.

    A task of yours says what the loss of each row is (`losses`), and no more. Each step draws times, noise, and which
    conditions each row keeps. All are functions of (seed, step, place in the global batch), so that stopping and
    resuming changes nothing. The average follows as $\bar w \mathrel{+}= (1 - d)(w - \bar w)$ with
    $d = \min(\mathrm{ema}, (1 + n) / (10 + n))$ after n updates. The learning rate rises over `warmup` updates and
    falls as `decay` says until `trainer.max_steps`.

    The times of b rows are the density's for numbers that cover [0, 1) evenly, as `stratify` says: $(i + u_i) / b$ with
    u uniform, one in each of b equal `strata`; a `lattice` $(i / b + u) \bmod 1$ that one number shifts (Kingma et al.
    2021, Variational Diffusion Models); or none, $u_i$ alone. A density or a weighting that learns is trained with the
    model.

    `condition_dropout` is one probability, or one for each conditioner. Raises `DiffkitError` if their number differs.
    """

    def __init__(
        self,
        model: Network,
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
    ) -> None:
        super().__init__()
        self.model = model
        self.ema = deepcopy(model).requires_grad_(False)
        self.density, self.weighting, self.optimizer = density, weighting, optimizer
        self.shape, self.seed = shape, seed
        self.decay, self.warmup, self.ema_decay, self.stratify = decay, warmup, ema, stratify
        self.batches, self.updates, self._at_update, self._left_out = 0, 0, 0, False
        self.recent: list[tuple[Tensor, Tensor]] = []
        """(loss, log-SNR) of the rows of the last batches, for whoever reports: it takes them and clears the list."""
        self.finite = Finite()
        self.paused = 0.0
        """Seconds spent on other things than training, for whoever reports its speed."""
        self._dropout = torch.tensor(_dropout(condition_dropout, len(model.conditioners.parts))).reshape(-1, 1)
        self._rates: list[float] = []
        self._averages: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._fixed: tuple[list[Tensor], list[Tensor]] = ([], [])

    def __setattr__(self, name: str, value: Any) -> None:
        """As every module's, without its search for tensors where there is none.

        Lightning notes the name of the current hook here, 40 times a step: 0.1 ms.
        """
        if type(value) in (str, int, float, bool, type(None)):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def losses(
        self,
        model: Any,
        batch: Batch,
        t: Float[Tensor, " b"],
        eps: Float[Tensor, " b *e"],
        keep: Bool[Tensor, "c b"] | None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """The loss of each row under `model` (what learns, or its average), and the log-SNR it is for.

        Everything random is given, as to `DiffusionModel.loss`: times, noise, and which conditions each row keeps.
        """

    @staticmethod
    def trained(model: DiffusionModel, spec: DataSpec, keys: Mapping[str, Any]) -> Network:
        """What the task trains, from the model that the config's parts make: by default the model itself.

        `keys` are the task's own hyperparameters in the config; what is left out has its default. A bundle is loaded by
        it. Another task gives its constructor's `super().__init__` the same.
        """
        return model

    def held_out(self, model: Any, batch: Batch, eps: Float[Tensor, " b *e"]) -> dict[str, Tensor]:
        """More figures of held-out rows under `model`, the average, beside the loss: logged as `val_<name>`."""
        return {}

    def show(self, data: Data) -> "dict[str, Image]":
        """Pictures of what the average has learned, by the names of their files: for a task that draws no samples."""
        return {}

    def check(self, trainer: Trainer) -> None:
        """Raise `DiffkitError` if this trainer cannot train the task; called before a run begins."""
        if self.decay != "constant" and trainer.max_steps < 1:
            raise DiffkitError(
                f"task.decay={self.decay} needs to know the last step: set trainer.max_steps, or task.decay=constant"
            )

    def configure_optimizers(self) -> Optimizer:
        """The optimizer of what learns: the model and its weighting; its learning rates are the peak ones."""
        learning = [self.model, self.weighting] if isinstance(self.weighting, nn.Module) else [self.model]
        optimizer = self.optimizer([p for module in learning for p in module.parameters() if p.requires_grad])
        self._rates = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    def on_fit_start(self) -> None:
        """Have the data's rows encoded: after a checkpoint is loaded, and before the first batch is fetched."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        changes = isinstance(data, Augmented) and data.augments  # then a row has other latents each time
        late = self.trainer.strategy.restore_checkpoint_after_setup  # the weights are not those of the checkpoint yet
        if isinstance(data, Keeping) and not changes and not late:
            self._keep_latents(data)

    def on_train_start(self) -> None:
        """Encode the data's texts, and pair the average's tensors with the model's, on their own device."""
        self.ema.eval()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.finite.data, self.finite.place = data, (self.global_rank, self.trainer.world_size)
        if isinstance(data, Data):
            known = cache(partial(texts, data))
            for model in (self.model, self.ema):
                model.conditioners.prepare(known)
        pairs = [(a, p) for a, p in zip(self.ema.parameters(), self.model.parameters(), strict=True) if p.requires_grad]
        self._averages = ([a for a, _ in pairs], [p for _, p in pairs])
        self._fixed = (list(self.ema.buffers()), list(self.model.buffers()))

    def _keep_latents(self, data: Keeping) -> None:
        """Have every row encoded once, where the codec has weights and does not learn."""
        codec = self.model.codec
        weights = list(codec.parameters())
        if not weights or any(p.requires_grad for p in weights):
            return

        def encode(x: Tensor) -> Tensor:
            with torch.no_grad():
                return codec.encode(x.to(weights[0].device))

        data.keep(LATENT, encode, digest(codec.state_dict()))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of this device's rows; raises `RunFailed` where training is not finite."""
        u, eps, keep = self.draw(len(batch["x"]))
        t = self.density(self.model.schedule, u)
        # the CPU's flash attention is slow backwards in bf16: a third of a UNet's step (benchmarks/train_speed.py)
        backends = [SDPBackend.MATH] if self.device.type == "cpu" else _ALL
        with sdpa_kernel(backends):
            losses, logsnr = self.losses(self.model, batch, t, eps, keep)
        loss = self._mean(losses, t)
        if isinstance(self.density, AdaptiveDensity):
            self.density.observe(*everywhere(torch.stack([t, losses.detach().double()], 1)).unbind(1))
        self.recent.append((losses.detach(), logsnr))
        self.batches += 1
        self.finite.batch(self.batches, losses.detach(), batch["x"])
        return loss

    def _mean(self, losses: Tensor, t: Tensor) -> Tensor:
        """The objective: an adaptive density's times count as uniform ones do."""
        if isinstance(self.density, AdaptiveDensity):
            losses = losses * self.density.correction(t).to(losses)
        return losses.mean()

    def draw(self, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Uniform numbers (b,), noise (b, *shape) and kept conditions (c, b) for this device's rows of this step.

        They are drawn for the whole global batch, of which this device has every `world_size`-th row. The global
        generators, which dropout inside a network uses, are seeded too.
        """
        rank, world, device = self.global_rank, self.trainer.world_size, self.device
        seed = key("step", self.seed, self.batches, rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 3 ms: it walks the stack for each backend
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        total, dropout = rows * world, self._dropout.to(device)
        stream = torch.Generator(device).manual_seed(key("train", self.seed, self.batches))
        u = torch.rand(total, generator=stream, device=device, dtype=torch.float64)
        u = spread(u, self.stratify)
        eps = torch.randn(total, *self.shape, generator=stream, device=device)
        keep = torch.rand(len(dropout), total, generator=stream, device=device) >= dropout
        return (u, eps, keep) if world == 1 else (u[rank::world], eps[rank::world], keep[:, rank::world])

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Update the weights at this step's learning rate, and the average with them."""
        factor = self.rate(self.updates)
        for group, peak in zip(optimizer.param_groups, self._rates, strict=True):
            group["lr"] = peak * factor
        optimizer.step(closure=optimizer_closure)
        self.updates += 1
        self._at_update = self.batches
        if self._left_out:
            return
        average, weights = self._averages
        decay = min(self.ema_decay, (1 + self.updates) / (10 + self.updates))
        with torch.no_grad():
            torch._foreach_lerp_(average, weights, 1 - decay)
            if self._fixed[0]:
                torch._foreach_copy_(*self._fixed)
        self.finite.update(self.updates, average)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Leave an update out whose gradients are not finite, if there is patience."""
        self._left_out = self.finite.skips([p for group in optimizer.param_groups for p in group["params"]])

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the trainer was told; in bf16 by itself, since Lightning refuses that of a fused optimizer there."""
        if self.trainer.precision != "bf16-mixed" or not gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        clip = nn.utils.clip_grad_value_ if gradient_clip_algorithm == "value" else nn.utils.clip_grad_norm_
        clip([p for group in optimizer.param_groups for p in group["params"]], gradient_clip_val)

    @property
    def settled(self) -> bool:
        """Whether the last batch ended with an update: no gradients are waiting for more batches."""
        return self.updates > 0 and self.batches == self._at_update

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The loss of the averaged weights on held-out rows, always at the same times and noise: `val_loss`."""
        x = batch["x"]
        stream = generator("validation", batch_idx, self.global_rank)
        u = (torch.arange(len(x), dtype=torch.float64) + 0.5) / len(x)
        eps = torch.randn(len(x), *self.shape, generator=stream).to(x.device)
        t = self.density(self.model.schedule, u.to(x.device))
        losses, _ = self.losses(self.ema, batch, t, eps, None)
        for name, value in {"loss": self._mean(losses, t), **self.held_out(self.ema, batch, eps)}.items():
            self.log(f"val_{name}", value, batch_size=len(x), sync_dist=True, logger=False)

    def rate(self, update: int) -> float:
        """The learning rate of the given update, as a share of the peak."""
        rise = min(1.0, (update + 1) / (self.warmup + 1))
        done = min(1.0, update / max(1, self.trainer.max_steps))
        falls = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
        return rise * falls[self.decay]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the counts that the random numbers and the learning rate are functions of."""
        checkpoint["diffkit"] = {"format": CHECKPOINT, "batches": self.batches, "updates": self.updates}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counts up again; the data go on after the batches that were consumed."""
        self.batches = self._at_update = checkpoint["diffkit"]["batches"]
        self.updates = checkpoint["diffkit"]["updates"]
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, Data):
            data.start = self.batches


_ALL = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH]


def _dropout(chance: float | Sequence[float], conditioners: int) -> list[float]:
    chances = [chance] * conditioners if isinstance(chance, (int, float)) else list(chance)
    if len(chances) != conditioners:
        raise DiffkitError(
            f"condition_dropout has {len(chances)} numbers for {conditioners} conditioners: give one, or one for each"
        )
    for value in chances:
        if not 0 <= value <= 1:
            raise DiffkitError(f"condition_dropout={value} is not a probability: give a number from 0 to 1")
    return chances
