"""What samplers share: both ends of each step, and the loop of those that make one call a step."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import State
from diffkit.core.schedule import Schedule


@dataclass(frozen=True)
class Ends:
    """`alpha` and `sigma` at both ends of every step from t to s < t, in float64."""

    alpha_t: Float[Tensor, " n"]
    sigma_t: Float[Tensor, " n"]
    alpha_s: Float[Tensor, " n"]
    sigma_s: Float[Tensor, " n"]

    @classmethod
    def of(cls, schedule: Schedule, times: Float[Tensor, " m"]) -> "Ends":
        """The ends of the steps between neighbouring `times`."""
        alpha, sigma = schedule(times)
        return cls(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:])

    @property
    def ratio(self) -> Float[Tensor, " n"]:
        r"""$q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t}$: below 1; 0 from alpha_t = 0 and to sigma_s = 0.

        It is all that a step depends on, beside the scale of x at its ends.
        """
        return self.sigma_s * self.alpha_t / (self.alpha_s * self.sigma_t)


def multistep(
    denoise: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, " b *d"],
    times: Float[Tensor, " m"],
    noise: Callable[[Tensor], Tensor],
    keep: Float[Tensor, " n"],
    pull: Float[Tensor, "n k"],
    spread: Float[Tensor, " n"] | None = None,
) -> Iterator[State]:
    r"""One call a step, and a step that is linear in the last k answers of the denoiser, the newest first.

    $$ x_s = \mathrm{keep}\, x_t + \sum_j \mathrm{pull}_j\, \hat x_0^{(-j)} + \mathrm{spread}\, z $$

    No noise is drawn where `spread` is 0.
    """
    keeps, pulls, ends = keep.tolist(), pull.tolist(), times.tolist()
    spreads = [0.0] * len(keeps) if spread is None else spread.tolist()
    answers: deque[Tensor] = deque(maxlen=pull.shape[1])
    for i, t in enumerate(times[:-1].unbind()):
        answers.appendleft(denoise(x, t))
        x = x * keeps[i]
        for weight, x_0 in zip(pulls[i], answers, strict=False):  # fewer answers in the first steps
            x.add_(x_0, alpha=weight)
        if spreads[i]:
            x.add_(noise(x), alpha=spreads[i])
        yield State(i + 1, ends[i + 1], x, answers[0])
