"""The model that binds the parts."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diffkit.core.codec import Codec, latents
from diffkit.core.condition import Condition
from diffkit.core.conditioner import Conditioner, Conditioners
from diffkit.core.data import KNOWN
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Denoise
from diffkit.core.objective import LearnedWeighting, Weighting
from diffkit.core.prediction import Prediction
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Batch, expand
from diffkit.core.variance import VarianceBound, WithVariance


class Network(nn.Module):
    """What a task trains: something that knows the path of its data, their codec, and what it may be told of them."""

    codec: Codec
    schedule: Schedule
    conditioners: Conditioners


class DiffusionModel(Network):
    r"""A denoiser network, what its output means, and the path from data to noise.

    $$ x_0 = c_\mathrm{skip} x_t + c_\mathrm{out} F(c_\mathrm{in} x_t, \log\mathrm{SNR}_t, \mathrm{condition}),
       \qquad c_\mathrm{in} = (\alpha_t^2 + \sigma_t^2)^{-1/2} $$

    The data have unit variance, so the network's input has too. The network sees the log-SNR, not the time: another
    schedule can take the place of the one it was trained with (`with_schedule`).

    With `learn_variance` the denoiser is one of data with twice the channels: it is given zeros in the second half, and
    answers there with v, the place of the reverse variance in its range (`diffkit.core.variance`). The codec is frozen.
    """

    def __init__(
        self,
        denoiser: DenoiserNetwork,
        prediction: Prediction,
        schedule: Schedule,
        conditioners: Sequence[Conditioner] | Conditioners,
        codec: Codec,
        learn_variance: bool = False,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.prediction = prediction
        self.schedule = schedule
        self.conditioners = conditioners if isinstance(conditioners, Conditioners) else Conditioners(conditioners)
        self.codec = codec.requires_grad_(False)
        self.learn_variance = learn_variance
        self._span = schedule.span()

    def with_schedule(self, schedule: Schedule) -> "DiffusionModel":
        """The same networks on another path."""
        parts = (self.denoiser, self.prediction, schedule, self.conditioners, self.codec)
        return DiffusionModel(*parts, self.learn_variance)

    def network(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> tuple[Tensor, Tensor | None]:
        """The network's F for `x` of unit variance, and its v where it learns the variance: one pass."""
        if not self.learn_variance:
            return self.denoiser(x, logsnr, condition), None
        output, v = self.denoiser(torch.cat([x, torch.zeros_like(x)], 1), logsnr, condition).chunk(2, 1)
        return output, v

    def denoise(
        self, x_t: Float[Tensor, " b *d"], t: Float[Tensor, ""], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """The model's x_0 for `x_t` at time `t` (on the CPU, in float64)."""
        return self.answer(x_t, t, condition)[0]

    def answer(
        self, x_t: Float[Tensor, " b *d"], t: Float[Tensor, ""], condition: Condition
    ) -> tuple[Float[Tensor, " b *d"], Float[Tensor, " b *d"] | None]:
        """`(x_0, v)` for `x_t` at time `t`, from one pass; v is None where the model does not learn the variance."""
        t = t.clamp(*self._span)
        alpha, sigma = self.schedule(t)
        c_skip, c_out = self.prediction(alpha, sigma)
        c_in = (alpha.square() + sigma.square()).rsqrt()
        logsnr = torch.full((len(x_t),), 2 * (alpha / sigma).log().item(), device=x_t.device, dtype=x_t.dtype)
        output, v = self.network(c_in.item() * x_t, logsnr, condition)
        x_0 = c_skip.item() * x_t + c_out.item() * output.to(x_t.dtype)
        return x_0, None if v is None else v.to(x_t.dtype)

    def at(self, dtype: torch.dtype) -> Denoise:
        """`denoise` for x in another precision than the network's own; it gives v where the model has learned it."""
        narrow = next(self.parameters(), torch.empty(0, dtype=dtype)).dtype

        def answer(x_t: Tensor, t: Tensor, given: Condition) -> tuple[Tensor, Tensor]:
            x_0, v = self.answer(x_t.to(narrow), t, given)
            assert v is not None
            return x_0.to(dtype), v.to(dtype)

        def bare(x_t: Tensor, t: Tensor, given: Condition) -> Tensor:
            return self.denoise(x_t.to(narrow), t, given).to(dtype)

        return WithVariance(answer) if self.learn_variance else bare

    def score(self, x_t: Float[Tensor, " b *d"], t: Float[Tensor, ""], condition: Condition) -> Float[Tensor, " b *d"]:
        r"""$\nabla \log p_t(x_t) = (\alpha_t \hat x_0 - x_t) / \sigma_t^2$ (Tweedie's formula), for t above 0."""
        alpha, sigma = (c.item() for c in self.schedule(t))
        return (alpha * self.denoise(x_t, t, condition) - x_t) / sigma**2

    def loss(
        self,
        batch: Batch,
        t: Float[Tensor, " b"],
        eps: Float[Tensor, " b *e"],
        weighting: Weighting,
        keep: Bool[Tensor, "c b"] | None = None,
        bound: VarianceBound | None = None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """The weighted squared error of the network's output for each row, and the log-SNR of each row.

        Everything random is given: times `t` (float64), noise `eps` of the latents' shape, and `keep`, which
        conditions each row keeps. Coefficients are computed in float64 and cast once. A column `"latent"` is taken for
        what the codec would make of `"x"`. `bound` is added where the model learns the variance, and the penalty of a
        weighting that is learned. Where there is a column `"known"`, a row's loss is the mean over the numbers that it
        says are there; the others are 0 in `"x"`. Raises `DiffkitError` where the codec's latents are not of the data's
        shape, so that no number of theirs is known.
        """
        x_0 = latents(self.codec, batch)
        t = t.clamp(*self._span)
        alpha, sigma = self.schedule(t)
        logsnr = (2 * (alpha / sigma).log()).clamp(-LOGSNR_LIMIT, LOGSNR_LIMIT)
        c_in = (alpha.square() + sigma.square()).rsqrt()
        of_x, of_eps = self.prediction.target(alpha, sigma)
        c_out = self.prediction(alpha, sigma)[1]
        x_in = expand(alpha * c_in, x_0) * x_0 + expand(sigma * c_in, x_0) * eps
        target = expand(of_x, x_0) * x_0 + expand(of_eps, x_0) * eps
        condition = self.conditioners(batch, len(x_0), keep)
        output, v = self.network(x_in, logsnr.to(x_0), condition)
        error = (output.to(target.dtype) - target).square()
        share = _share(batch[KNOWN], error) if KNOWN in batch else None
        loss = weighting(logsnr, c_out).to(error) * _mean(error, share)
        if isinstance(weighting, LearnedWeighting):
            loss = loss + weighting.penalty(logsnr).to(loss)
        if v is not None and bound is not None:
            loss = loss + _mean(bound(self.schedule, t, c_out, error, v.to(error)), share)
        return loss, logsnr


def _mean(error: Float[Tensor, " b *d"], share: Float[Tensor, " b *d"] | None) -> Float[Tensor, " b"]:
    return (error if share is None else error * share).flatten(1).mean(1)


def _share(known: Bool[Tensor, " b *d"], error: Float[Tensor, " b *e"]) -> Float[Tensor, " b *e"]:
    """Weights whose products with a row's errors have the mean of its known ones' errors for their mean.

    A row without known numbers has no error.
    """
    if known.shape != error.shape:
        raise DiffkitError(
            f"rows of {tuple(known.shape[1:])} have unknown numbers, which a codec such as 'vae' with latents of "
            f"{tuple(error.shape[1:])} would mix with the others: choose codec=identity"
        )
    rows = known.flatten(1).double()
    return (rows / rows.mean(1, keepdim=True).clamp(min=1 / rows.shape[1])).reshape(known.shape).to(error)
