"""Slips in samplers: each is caught by the contract that is for it; test_mutations.py has more."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from caught import caught
from torch import Tensor

from diffkit.core.sampler import Sampler, State
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.standard.samplers.dpmpp_2m_sde import DpmPp2MSde
from diffkit.standard.schedules import Cosine, Edm, Flow
from diffkit.testing import check_sampler


@dataclass(frozen=True)
class BadSampler(Sampler):
    """DPM-Solver++(2M), written out, with one slip."""

    slip: str = ""

    order = 2

    def steps(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        x: Tensor,
        times: Tensor,
        noise: Callable[[Tensor], Tensor],
    ) -> Iterator[State]:
        slip, before, h_before = self.slip, None, torch.zeros(())
        for i, (t, s) in enumerate(pairwise(times)):
            (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
            h = (alpha_s / sigma_s).log() - (alpha_t / sigma_t).log()
            x_0 = denoise(x, s if slip == "time" else t)
            mixed = x_0
            if before is not None and (h.isfinite() or slip == "last"):
                w = h / (2 * h_before) * {"sign": -1, "half": 0.5}.get(slip, 1)
                mixed = (1 + w) * x_0 - w * before
            scale = alpha_t if slip == "alpha" else alpha_s
            new = (sigma_t if slip == "sigma" else sigma_s) / sigma_t * x - scale * torch.expm1(-h) * mixed
            if slip == "rows":
                new = new + 1e-3 * x.mean()
            if slip == "draws":
                new = new + 1e-3 * torch.randn_like(new)
            if slip == "dtype":
                new = new.double()
            if slip == "twice":
                denoise(x, t)
            x = x.copy_(new) if slip == "write" else new
            before, h_before = x_0, h
            yield State(i + 1, t.item() if slip == "state" else s.item(), x, x_0)


SCHEDULES = [Flow(), Cosine(), Edm()]


def test_the_sampler_without_a_slip_passes() -> None:
    check_sampler(BadSampler(), SCHEDULES)


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("time", "equivariance", "the sample on Cosine.*, against it on Flow.* with the same 10 log-SNRs, is off by"),
        ("sign", "order", r"has order [\d.]+, declared 2: the fitted slope of log\(error\) against log\(steps\)"),
        (
            "half",
            "order",
            r"has order 1\.\d\d, declared 2: the fitted slope .* over 180, 256, 360 steps; allowed is 1.85 to",
        ),
        ("alpha", "equivariance", "with the same 10 log-SNRs, is off by"),
        ("sigma", "equivariance", "with the same 10 log-SNRs, is off by"),
        ("last", "finite", r"is not finite in 24 of 24 values of step 2 with 2 steps on Flow"),
        ("rows", "rows", "a sample in another batch, with 5 steps on Flow.* is off by"),
        ("write", "untouched", "writes into x with 1 steps on Flow"),
        ("state", "states", "stops at t = .* after step 1, where the grid has 0, with 1 steps on Flow"),
        ("draws", "repeats", "the same sample, drawn again with the same noise on Flow.*, is off by"),
        ("dtype", "dtype", "x becomes torch.float64 in step 1, and began as torch.float32"),
        ("twice", "calls", r"makes 2 calls in a step, declared 1 \(calls_per_step\)"),
    ],
)
def test_sampler(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_sampler(BadSampler(slip), SCHEDULES), contract, message)


@dataclass(frozen=True)
class Claims(Sampler):
    """A sampler that says something else of itself."""

    sampler: Sampler
    order: int = 1  # type: ignore[misc]
    calls_per_step: int | None = 1

    def steps(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        x: Tensor,
        times: Tensor,
        noise: Callable[[Tensor], Tensor],
    ) -> Iterator[State]:
        return self.sampler.steps(denoise, schedule, x, times, noise)


@dataclass(frozen=True)
class Tolerant(Claims):
    rtol: float = 1e-4


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Claims(Ddim(), order=2), r"has order 1\.0\d, declared 2"),
        (Claims(DpmPp2M(), order=1), r"has order 1\.9\d, declared 1"),
        (Claims(Ddim(1.0), order=2), r"has order 0\.9\d, declared 2"),
        (Claims(DpmPp2MSde(0.5), order=3), "has order [12].*, declared 3"),
        (Claims(Ddim(), calls_per_step=2), "makes 1 calls in a step, declared 2"),
        (Claims(Ddim(), calls_per_step=None), "must have a tolerance `rtol`"),
        (Tolerant(Ddim(), calls_per_step=None), "is off by .* with a relative tolerance of 0.0001"),
    ],
)
def test_a_sampler_is_what_it_declares(sampler: Sampler, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(sampler, SCHEDULES)
