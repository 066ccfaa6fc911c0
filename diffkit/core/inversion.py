r"""The probability flow in both directions: from noise to data, and from data to the noise that they come from.

In the scale and the angle of the variance-preserving path of the same log-SNR,

$$ y = \frac{x_t}{n_t}, \quad n_t = \sqrt{\alpha_t^2 + \sigma_t^2}, \quad \theta = \arctan \frac{\sigma_t}{\alpha_t},
   \qquad \frac{dy}{d\theta} = F(y, \theta) = \cos\theta\, \hat\varepsilon - \sin\theta\, \hat x_0 $$
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import expand


@dataclass(frozen=True)
class _Path:
    """The times that the flow passes, rising or falling, and those in the middle of each step."""

    angle: Float[Tensor, " n"]
    norm: Float[Tensor, " n"]
    middle: Float[Tensor, " m"]
    """Times, of the angle in the middle of both ends."""
    alpha: Float[Tensor, " m"]
    sigma: Float[Tensor, " m"]

    @classmethod
    def of(cls, schedule: Schedule, times: Times) -> "_Path":
        alpha, sigma = schedule(times)
        angle = torch.atan2(sigma, alpha)
        middle = schedule.time(-2 * ((angle[1:] + angle[:-1]) / 2).tan().log())
        return cls(angle, torch.hypot(alpha, sigma), middle, *schedule(middle))

    def slope(self, denoise: Denoiser, y: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """`(F, x_0)` in the middle of the i-th step."""
        alpha, sigma = self.alpha[i].item(), self.sigma[i].item()
        norm = (alpha**2 + sigma**2) ** 0.5
        x_0 = denoise(y * norm, self.middle[i])
        # cos eps - sin x_0, with eps = (y - cos x_0) / sin
        return (alpha * y - norm * x_0) / sigma, x_0


@dataclass(frozen=True)
class Flight:
    """Where the flow is: its place, and the slope that goes with it."""

    x: Rows
    """x_t, (b, *shape)."""
    v: Rows
    """The slope dy / d(theta), (b, *shape): of the last middle mirrored at it, so that nothing is lost."""


def leapfrog(
    denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, v: Rows | None = None
) -> Iterator[tuple[Flight, Rows]]:
    r"""Yield the flight after each step between `times`, which rise or fall, and the x_0 of that step.

    $$ y' = y_i + \tfrac h2 v_i, \qquad v_{i+1} = 2 F(y', \theta_{i+1/2}) - v_i, \qquad
       y_{i+1} = y' + \tfrac h2 v_{i+1} $$

    The asynchronous leapfrog: second order, one network call a step. From its last flight the same steps in the other
    order lead back to the first, whatever the network is: exactly, but for rounding. It is never asked at an end,
    where sigma or alpha may be 0. Without `v` one more call starts it.
    Zhuang et al. 2021, MALI: A memory efficient and reverse accurate integrator for Neural ODEs.
    """
    path = _Path.of(schedule, times)
    y = x / path.norm[0].item()
    if v is None and len(times) > 1:
        v = path.slope(denoise, y, 0)[0]
    for i, h in enumerate(path.angle.diff().tolist()):
        assert v is not None  # there is a step
        y = y + h / 2 * v
        slope, x_0 = path.slope(denoise, y, i)
        v = 2 * slope - v
        y = y + h / 2 * v
        yield Flight(y * path.norm[i + 1].item(), v), x_0


def exact_noise(denoise: Denoiser, schedule: Schedule, x_0: Rows, times: Times) -> Flight:
    """Where `Leapfrog` on these falling `times` comes from when it ends in `x_0`: its round trip is exact."""
    *_, (flight, _) = leapfrog(denoise, schedule, x_0, times.flip(0))
    return flight


def ddim_noise(denoise: Denoiser, schedule: Schedule, x_0: Rows, times: Times) -> Rows:
    r"""Nearly where DDIM on these falling `times` comes from when it ends in `x_0`: an error of first order.

    $$ x_t = \frac{\alpha_t}{\alpha_s} x_s + \left(\sigma_t - \frac{\alpha_t}{\alpha_s} \sigma_s\right)
             \hat\varepsilon\!\left(\frac{n_t}{n_s} x_s, t\right), \qquad s < t $$

    It would be exact with the noise that is found at x_t, which is not known yet. One network call a step.
    Song et al. 2020, Denoising Diffusion Implicit Models.
    """
    x, rising = x_0, times.flip(0)
    alphas, sigmas = schedule(rising)
    ends = zip(pairwise(alphas.tolist()), pairwise(sigmas.tolist()), rising[1:], strict=True)
    for (alpha_s, alpha_t), (sigma_s, sigma_t), t in ends:
        near = x * ((alpha_t**2 + sigma_t**2) / (alpha_s**2 + sigma_s**2)) ** 0.5
        eps = (near - alpha_t * denoise(near, t)) / sigma_t
        x = alpha_t / alpha_s * x + (sigma_t - alpha_t / alpha_s * sigma_s) * eps
    return x


@dataclass(frozen=True, eq=False)
class Leapfrog(Sampler):
    """The flow by `leapfrog`: from the noise and the slope `v` that `exact_noise` found, or from any noise."""

    v: Rows | None = None

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        flights = leapfrog(denoise, schedule, x, times, self.v)
        for i, (flight, x_0) in enumerate(flights, 1):
            yield State(i, times[i].item(), flight.x, x_0)


def slerp(a: Float[Tensor, " b *d"], b: Float[Tensor, " b *d"], share: Float[Tensor, " b"]) -> Float[Tensor, " b *d"]:
    r"""Row by row, from `a` (share 0) to `b` (share 1) on the great circle through both.

    $$ \frac{\sin((1 - u)\, \omega)}{\sin\omega} a + \frac{\sin(u\, \omega)}{\sin\omega} b $$

    with the angle $\omega$ between them: of two independent noises everything in between is noise of the same size.
    Shoemake 1985, Animating rotation with quaternion curves.
    """
    u = share.double()
    flat = [x.double().flatten(1) for x in (a, b)]
    cosine = (flat[0] * flat[1]).sum(1) / (flat[0].norm(dim=1) * flat[1].norm(dim=1)).clamp(min=1e-300)
    omega = cosine.clamp(-1, 1).acos()
    straight = omega.sin() < 1e-6
    sine = torch.where(straight, 1.0, omega.sin())
    of_a, of_b = (torch.where(straight, w, (w * omega).sin() / sine) for w in (1 - u, u))
    return expand(of_a, a) * a + expand(of_b, b) * b
