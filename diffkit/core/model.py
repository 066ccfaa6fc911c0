"""The model that binds the parts."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diffkit.core.codec import Codec
from diffkit.core.condition import Condition
from diffkit.core.conditioner import Conditioner, Conditioners
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.objective import Weighting
from diffkit.core.prediction import Prediction
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Batch, expand


class DiffusionModel(nn.Module):
    r"""A denoiser network, what its output means, and the path from data to noise.

    $$ x_0 = c_\mathrm{skip} x_t + c_\mathrm{out} F(c_\mathrm{in} x_t, \log\mathrm{SNR}_t, \mathrm{condition}),
       \qquad c_\mathrm{in} = (\alpha_t^2 + \sigma_t^2)^{-1/2} $$

    The data have unit variance, so the network's input has too. The network sees the log-SNR, not the time: another
    schedule can take the place of the one it was trained with (`with_schedule`).
    """

    def __init__(
        self,
        denoiser: DenoiserNetwork,
        prediction: Prediction,
        schedule: Schedule,
        conditioners: Sequence[Conditioner] | Conditioners,
        codec: Codec,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.prediction = prediction
        self.schedule = schedule
        self.conditioners = conditioners if isinstance(conditioners, Conditioners) else Conditioners(conditioners)
        self.codec = codec
        self._span = schedule.span()

    def with_schedule(self, schedule: Schedule) -> "DiffusionModel":
        """The same networks on another path."""
        return DiffusionModel(self.denoiser, self.prediction, schedule, self.conditioners, self.codec)

    def denoise(
        self, x_t: Float[Tensor, " b *d"], t: Float[Tensor, ""], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """The model's x_0 for `x_t` at time `t` (on the CPU, in float64)."""
        t = t.clamp(*self._span)
        alpha, sigma = self.schedule(t)
        c_skip, c_out = self.prediction(alpha, sigma)
        c_in = (alpha.square() + sigma.square()).rsqrt()
        logsnr = torch.full((len(x_t),), 2 * (alpha / sigma).log().item(), device=x_t.device, dtype=x_t.dtype)
        output: Tensor = self.denoiser(c_in.item() * x_t, logsnr, condition).to(x_t.dtype)
        return c_skip.item() * x_t + c_out.item() * output

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
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """The weighted squared error of the network's output for each row, and the log-SNR of each row.

        Everything random is given: times `t` (float64), noise `eps` of the latents' shape, and `keep`, which
        conditions each row keeps. Coefficients are computed in float64 and cast once.
        """
        x_0 = self.codec.encode(batch["x"])
        t = t.clamp(*self._span)
        alpha, sigma = self.schedule(t)
        logsnr = (2 * (alpha / sigma).log()).clamp(-LOGSNR_LIMIT, LOGSNR_LIMIT)
        c_in = (alpha.square() + sigma.square()).rsqrt()
        of_x, of_eps = self.prediction.target(alpha, sigma)
        weight = weighting(logsnr, self.prediction(alpha, sigma)[1])
        x_in = expand(alpha * c_in, x_0) * x_0 + expand(sigma * c_in, x_0) * eps
        target = expand(of_x, x_0) * x_0 + expand(of_eps, x_0) * eps
        condition = self.conditioners(batch, len(x_0), keep)
        output = self.denoiser(x_in, logsnr.to(x_0), condition)
        error = (output.to(target.dtype) - target).square().flatten(1).mean(1)
        return weight.to(error) * error, logsnr
