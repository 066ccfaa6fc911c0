"""Samplers of other libraries behind one call, for the benchmarks: `sample(denoise, x, levels)`.

`denoise(y, level)` is the exact mean of the data given y = x_0 + level * eps, at a noise level sigma / alpha; `x` is a
state y at the first of the falling `levels`, the last of which is 0. Each library is given the exact levels, which is
its best case. What is not installed is left out.
"""

import math
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from parity.peers import load

Denoise = Callable[[Tensor, float], Tensor]
Peer = Callable[[Denoise, Tensor, Tensor], Tensor]


@cache
def peers() -> dict[str, tuple[int, Peer]]:
    """Every sampler by name, with its calls a step."""
    found: dict[str, tuple[int, Peer]] = {}
    for library in (_diffusers, _k_diffusion, _azula, _smalldiffusion, _flow_matching):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found |= library()
        except (ImportError, pytest.skip.Exception) as error:
            print(f"left out: {library.__name__[1:]} ({error})", file=sys.stderr)
    return found


def _diffusers() -> dict[str, tuple[int, Peer]]:
    import diffusers

    def scheduler(cls: type, **settings: object) -> Peer:
        def sample(denoise: Denoise, x: Tensor, levels: Tensor) -> Tensor:
            made = cls(**settings)
            made.set_timesteps(len(levels) - 1)
            made.sigmas = levels
            x = x / math.sqrt(1 + levels[0].item() ** 2)
            for t, level in zip(made.timesteps, levels.tolist(), strict=False):
                y = x * math.sqrt(1 + level**2)
                x = made.step((y - denoise(y, level)) / level, t, x, return_dict=False)[0]
            return x

        return sample

    dpm, unipc = diffusers.DPMSolverMultistepScheduler, diffusers.UniPCMultistepScheduler
    deis = diffusers.DEISMultistepScheduler
    return {
        "diffusers DPM++2M": (1, scheduler(dpm)),
        "diffusers DPM++3M": (1, scheduler(dpm, solver_order=3)),
        "diffusers UniPC(2)": (1, scheduler(unipc)),
        "diffusers UniPC(3)": (1, scheduler(unipc, solver_order=3)),
        "diffusers DEIS(2)": (1, scheduler(deis)),
        "diffusers DEIS(3)": (1, scheduler(deis, solver_order=3)),
    }


def _k_diffusion() -> dict[str, tuple[int, Peer]]:
    k = load("k_diffusion", "k_diffusion.sampling")[0]

    def of(function: Callable[..., Tensor]) -> Peer:
        return lambda denoise, x, levels: function(
            lambda y, level: denoise(y, level[0].item()), x, levels, disable=True
        )

    return {
        "k-diffusion euler": (1, of(k.sample_euler)),
        "k-diffusion heun": (2, of(k.sample_heun)),
        "k-diffusion dpm_2": (2, of(k.sample_dpm_2)),
        "k-diffusion lms(4)": (1, of(k.sample_lms)),
        "k-diffusion dpmpp_2m": (1, of(k.sample_dpmpp_2m)),
    }


def _azula() -> dict[str, tuple[int, Peer]]:
    import azula.sample
    from azula.denoise import Denoiser, DiracPosterior
    from azula.noise import Schedule

    class Given(Schedule):
        def __init__(self, levels: Tensor) -> None:
            super().__init__()
            self.levels = levels.flip(0)

        def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
            place = (t * (len(self.levels) - 1)).round().long()
            return torch.ones_like(t), self.levels[place]

        __call__ = forward

    class Wrapped(Denoiser):
        def __init__(self, denoise: Denoise, schedule: Schedule) -> None:
            super().__init__()
            self.denoise, self.schedule = denoise, schedule

        def forward(self, x: Tensor, t: Tensor, **_: object) -> DiracPosterior:
            return DiracPosterior(mean=self.denoise(x, self.schedule(t)[1].item()))

    def of(cls: type, **settings: object) -> Peer:
        def sample(denoise: Denoise, x: Tensor, levels: Tensor) -> Tensor:
            levels = torch.cat([levels[:-1], levels[-2:-1] * 0 + 1e-9])  # its formulas divide by the last level
            made = cls(Wrapped(denoise, Given(levels)), steps=len(levels) - 1, silent=True, dtype=x.dtype, **settings)
            return made(x)

        return sample

    a = azula.sample
    return {
        "azula zAB(4)": (1, of(a.zABSampler, order=4)),
        "azula vAB(3)": (1, of(a.vABSampler, order=3)),
        "azula zEAB(2)": (1, of(a.zEABSampler)),
        "azula xEAB(3)": (1, of(a.xEABSampler, order=3)),
    }


def _smalldiffusion() -> dict[str, tuple[int, Peer]]:
    """Its accelerated sampler, gam 1.6: a fixed extrapolation of the noise (Permenter and Yuan 2023)."""

    def sample(denoise: Denoise, y: Tensor, levels: Tensor) -> Tensor:
        gam, before = 1.6, None
        for level, after in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            eps = (y - denoise(y, level)) / level
            mean = eps if before is None else gam * eps + (1 - gam) * before
            y, before = y + (after - level) * mean, eps
        return y

    return {"smalldiffusion gam 1.6 (its formula)": (1, sample)}


def _flow_matching() -> dict[str, tuple[int, Peer]]:
    from flow_matching.solver import ODESolver
    from flow_matching.utils import ModelWrapper

    class Velocity(ModelWrapper):
        def __init__(self, denoise: Denoise) -> None:
            super().__init__(torch.nn.Identity())
            self.denoise = denoise

        def forward(self, x: Tensor, t: Tensor, **_: object) -> Tensor:
            t = float(t)
            return (self.denoise(x / t, (1 - t) / t) - x) / (1 - t)

    def sample(denoise: Denoise, y: Tensor, levels: Tensor) -> Tensor:
        t = 1 / (1 + levels)
        return ODESolver(Velocity(denoise)).sample(
            x_init=y * t[0], method="midpoint", step_size=None, time_grid=t.to(y)
        )

    return {"flow_matching midpoint": (2, sample)}
