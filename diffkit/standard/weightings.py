r"""Weightings of the loss, each as a factor on the squared error of the network's output F.

With SNR for $\alpha_t^2 / \sigma_t^2$, the errors of other quantities are
$|x_0 - \hat x_0|^2 = c_\mathrm{out}^2 |F - \hat F|^2$ and
$|\varepsilon - \hat\varepsilon|^2 = \mathrm{SNR}\, c_\mathrm{out}^2 |F - \hat F|^2$, for every prediction.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffkit.core.objective import LearnedWeighting, Weighting
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Count, NonNegative, Positive
from diffkit.standard.table import rate_at

Rows = Float[Tensor, " b"]


@dataclass(frozen=True)
class Unit(Weighting):
    """No weighting: L_simple for `eps`, the v, flow-matching and EDM losses for their predictions."""

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return torch.ones_like(logsnr)


@dataclass(frozen=True)
class Snr(Weighting):
    r"""The error of eps, whatever the prediction: L_simple.

    $$ w = \mathrm{SNR}\, c_\mathrm{out}^2 $$

    Ho et al. 2020, Denoising Diffusion Probabilistic Models.
    """

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return logsnr.exp() * c_out.square()


@dataclass(frozen=True)
class TruncatedSnr(Weighting):
    r"""The larger of the errors of x_0 and of eps.

    $$ w = \max(\mathrm{SNR}, 1)\, c_\mathrm{out}^2 $$

    Salimans and Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models.
    """

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return logsnr.exp().clamp(min=1) * c_out.square()


@dataclass(frozen=True)
class SnrPlusOne(Weighting):
    r"""The sum of the errors of x_0 and of eps, which is the error of v.

    $$ w = (\mathrm{SNR} + 1)\, c_\mathrm{out}^2 $$

    So F is not weighed for `v`. Salimans and Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models.
    """

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return (logsnr.exp() + 1) * c_out.square()


@dataclass(frozen=True)
class MinSnr(Weighting):
    r"""The error of x_0 weighed by its signal-to-noise ratio, cut off at `gamma`.

    $$ w = \min(\mathrm{SNR}, \gamma)\, c_\mathrm{out}^2 $$

    So F is weighed by $\min(1, \gamma / \mathrm{SNR})$ for `eps`, and by
    $\min(\mathrm{SNR}, \gamma) / (\mathrm{SNR} + 1)$ for `v`.
    Hang et al. 2023, Efficient Diffusion Training via Min-SNR Weighting Strategy.
    """

    gamma: Positive = 5.0

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return logsnr.exp().clamp(max=self.gamma) * c_out.square()


@dataclass(frozen=True)
class SoftMinSnr(Weighting):
    r"""`min_snr` without its corner: half of it where the SNR is `gamma`.

    $$ w = \frac{\mathrm{SNR}\, \gamma}{\mathrm{SNR} + \gamma}\, c_\mathrm{out}^2 $$

    Crowson et al. 2024, Scalable High-Resolution Pixel-Space Image Synthesis with Hourglass Diffusion Transformers.
    """

    gamma: Positive = 5.0

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        snr = logsnr.exp()
        return snr * self.gamma / (snr + self.gamma) * c_out.square()


@dataclass(frozen=True)
class P2(Weighting):
    r"""The error of eps, made light where there is little noise.

    $$ w = \frac{\mathrm{SNR}}{(k + \mathrm{SNR})^\gamma}\, c_\mathrm{out}^2 $$

    Choi et al. 2022, Perception Prioritized Training of Diffusion Models.
    """

    gamma: NonNegative = 1.0
    k: Positive = 1.0

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        snr = logsnr.exp()
        return snr * (self.k + snr) ** -self.gamma * c_out.square()


@dataclass(frozen=True)
class EdmWeighting(Weighting):
    r"""EDM's: no weighting of F for the prediction `edm` of the same `sigma_data`, and the same loss for any other.

    $$ w = \frac{(\sigma_t / \alpha_t)^2 + d^2}{(\sigma_t / \alpha_t)^2\, d^2}\, c_\mathrm{out}^2
         = (\mathrm{SNR} + d^{-2})\, c_\mathrm{out}^2 $$

    for d = `sigma_data`, the data's standard deviation; data are standardised, so it is 1.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    sigma_data: Positive = 1.0

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return (logsnr.exp() + self.sigma_data**-2) * c_out.square()


@dataclass(frozen=True)
class Vlb(Weighting):
    r"""The variational bound of continuous time, for times that are uniform: in nats for each dimension.

    $$ -\log p(x_0) \le E_{t \sim U} \left[ -\tfrac12 \frac{d \log\mathrm{SNR}_t}{dt}
       |\varepsilon - \hat\varepsilon|^2 \right] + \mathrm{const}, \qquad
       w = -\tfrac12 \frac{d \log\mathrm{SNR}_t}{dt}\, \mathrm{SNR}\, c_\mathrm{out}^2 $$

    It is that for the densities `uniform` and `importance`. Any other density p(t) weighs it by p(t) once more.
    Kingma et al. 2021, Variational Diffusion Models.
    """

    schedule: Schedule

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return rate_at(self.schedule, logsnr) / 2 * logsnr.exp() * c_out.square()


@dataclass(frozen=True)
class Sigmoid(Weighting):
    r"""The variational bound, made light where there is little noise: the same objective on any schedule.

    $$ E_{t \sim U} \left[ -\tfrac12 \frac{d \log\mathrm{SNR}_t}{dt} \mathrm{sigmoid}(b - \log\mathrm{SNR}_t)
       |\varepsilon - \hat\varepsilon|^2 \right], \qquad
       w = -\tfrac12 \frac{d \log\mathrm{SNR}_t}{dt} \mathrm{sigmoid}(b - \log\mathrm{SNR}_t)\,
       \mathrm{SNR}\, c_\mathrm{out}^2 $$

    for b = `bias`: higher with more weight on little noise, lower for larger pictures. It is that for the densities
    `uniform` and `importance`. Any other density p(t) weighs it by p(t) once more.
    Kingma and Gao 2023, Understanding Diffusion Objectives as the ELBO with Simple Data Augmentation; Hoogeboom et al.
    2024, Simpler Diffusion (SiD2).
    """

    schedule: Schedule
    bias: float = 2.0

    def __call__(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        rate = rate_at(self.schedule, logsnr)
        return rate / 2 * torch.sigmoid(self.bias - logsnr) * logsnr.exp() * c_out.square()


class Uncertainty(LearnedWeighting):
    r"""The error of F divided by what it is expected to be at its noise level, which is learned beside the model.

    $$ L = e^{-u(\log\mathrm{SNR})} |F - \hat F|^2 + u(\log\mathrm{SNR}) $$

    At the minimum $e^u$ is the mean error at each noise level, so that all levels count alike. u is a sum of `waves`
    cosines over the range of log-SNR; it starts at 0, which is no weighting.
    Karras et al. 2024, Analyzing and Improving the Training Dynamics of Diffusion Models.
    """

    frequencies: Tensor

    def __init__(self, waves: Count = 64) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(waves))
        self.register_buffer("frequencies", torch.pi * torch.arange(waves), persistent=False)

    def penalty(self, logsnr: Rows) -> Rows:
        """See `LearnedWeighting`."""
        place = ((logsnr + LOGSNR_LIMIT) / (2 * LOGSNR_LIMIT)).to(self.weight)
        # not a matrix product: autocast would round it to bf16
        return ((place[:, None] * self.frequencies).cos() * self.weight).sum(1)

    def forward(self, logsnr: Rows, c_out: Rows) -> Rows:
        """See `Weighting`."""
        return (-self.penalty(logsnr)).exp()
