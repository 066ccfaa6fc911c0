"""Inpainting: a part of every sample is known, and the sampler draws the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Inpaint(Sampler):
    r"""The `base` sampler, where after each step to s the known part is put back, with noise of its own.

    $$ x_s \leftarrow m\, (\alpha_s x_0^\mathrm{known} + \sigma_s z) + (1 - m)\, x_s $$

    The rest is steered by the known part of one step alone, not by all that is known, and so it is biased, whatever
    the number of steps. With `repeats` above 1 every `jump` steps (counted from the end) are made that many times:
    noise takes x back over them, $x_t \leftarrow \frac{\alpha_t}{\alpha_s} x_s + \ldots z$ (`Schedule.kernel`), and
    the rest settles around what is known. A step starts afresh, since x has changed: of a multistep sampler it is the
    first step, of first order. `repeats` times the base's network calls.
    Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations (replacement);
    Lugmayr et al. 2022, RePaint: Inpainting using Denoising Diffusion Probabilistic Models (repeats, jumps).
    """

    base: Sampler
    x_0: Float[Tensor, " b *d"]
    """What is known; anything elsewhere."""
    known: Bool[Tensor, " b *d"]
    repeats: int = 1
    jump: int = 1

    order = 1
    calls_per_step = None

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`; a state for every step, those that are made again too, so that times also rise."""
        count = 0
        for first, last in self.blocks(len(times) - 1):
            for again in range(self.repeats):
                if again:
                    scale, std = (c.item() for c in schedule.kernel(times[first], times[last]))
                    x = scale * x + std * noise(x)
                for i in range(first, last):
                    *_, state = self.base.steps(denoise, schedule, x, times[i : i + 2], noise)
                    x = self.put_back(schedule, state.x, times[i + 1], noise)
                    count += 1
                    yield State(count, times[i + 1].item(), x, state.x_0)

    def blocks(self, steps: int) -> list[tuple[int, int]]:
        """The first and the last time's number of each jump; the first one has what is left over."""
        ends = list(range(steps, 0, -self.jump))[::-1]
        return list(zip([0, *ends], ends, strict=False))

    def put_back(self, schedule: Schedule, x: Rows, t: Tensor, noise: Draw) -> Rows:
        """`x` at time t with the known part in its place."""
        alpha, sigma = (c.item() for c in schedule(t))
        noised = alpha * self.x_0 + sigma * noise(x) if sigma else alpha * self.x_0
        return noised.where(self.known, x)
