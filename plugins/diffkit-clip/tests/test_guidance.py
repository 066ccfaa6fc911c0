"""Guidance by a CLIP: with a match that is known exactly, and through the model's x_0 for an ordinary one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import diffkit
from diffkit.core import Branches, Condition, DataSpec, DiffkitError, Guidance
from diffkit.testing import Mixture, check_guidance
from diffkit_clip.guidance import ClipGuidance
from diffkit_clip.network import NoisyCLIP

MEANS = torch.tensor([[1.3, 0.2], [-0.4, 0.9], [0.1, -1.2], [-1.0, -0.5]], dtype=torch.float64)
VARIANCE = 0.09
ALL, FIRST = Mixture(MEANS, VARIANCE), Mixture(MEANS[:2], VARIANCE)
COSINE = diffkit.create("schedule", "cosine")
T = torch.tensor(0.4, dtype=torch.float64)
FAR = 1e6
"""More than any log-probability: what it is divided by is the cosine of two unit vectors."""


class Exact(NoisyCLIP):
    """One whose match of x_t with "first" or "second" is log p(the mixture's first or last two modes | x_t)."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.asked: list[int] = []

    logit_scale = torch.tensor(FAR, dtype=torch.float64)  # type: ignore[assignment]

    def images(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        self.asked.append(len(x_t))
        spread = alpha**2 * VARIANCE + sigma**2
        logs = -(x_t[:, None] - alpha * MEANS).square().sum(-1) / (2 * spread)
        classes = torch.stack([logs[:, :2].logsumexp(1), logs[:, 2:].logsumexp(1)], 1) - logs.logsumexp(1)[:, None]
        cosines = classes / FAR
        return torch.cat([cosines, (1 - cosines.square().sum(1, keepdim=True)).sqrt()], 1)

    def texts(self, texts: Any) -> Tensor:
        return torch.eye(3, dtype=torch.float64)[[int(text == "second") for text in texts]]


def exact(scale: float, ramp: Any = (), clip: Any = None) -> ClipGuidance:
    return ClipGuidance("exact", lambda run, spec: clip or Exact(), DataSpec((2,)), scale, ramp)


def bare(mixture: Mixture, x_t: Tensor, t: Tensor) -> Tensor:
    assert not torch.is_grad_enabled()  # a noise-aware CLIP needs nothing of the denoiser's
    return mixture.x_0(x_t, *(v.item() for v in COSINE(t)))


def unconditional(texts: list[str | None]) -> Branches:
    return Branches(lambda x, t, c: bare(ALL, x, t), Condition(), COSINE, {"text": texts})


@pytest.mark.parametrize(("sampler", "steps"), [("dpmpp_2m", 50), ("ddpm", 200)])
def test_an_unconditional_model_guided_by_2_samples_the_exact_posterior(sampler: str, steps: int) -> None:
    """Its mean and covariance within 4 standard errors: of 10,000 samples, and of 2000 where noise is drawn."""
    rows = 10_000 if sampler == "dpmpp_2m" else 2000
    times = diffkit.create("grid", "logsnr", steps=steps, logsnr_min=-9.0, logsnr_max=9.0)(COSINE)
    stream = torch.Generator().manual_seed(1)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=stream)

    branches = unconditional(["first"] * rows)
    guided = exact(2.0)(branches, branches)
    x = noise(torch.empty(rows, 2, dtype=torch.float64))
    with torch.no_grad():
        for state in diffkit.create("sampler", sampler).steps(
            lambda x, t: guided(x, t, Condition()), COSINE, x, times, noise
        ):
            x = state.x
    centre = FIRST.means.mean(0)
    spread = (FIRST.means - centre).T @ (FIRST.means - centre) / 2 + VARIANCE * torch.eye(2)
    assert ((x.mean(0) - centre).abs() / (spread.diag() / rows).sqrt()).max() < 4
    variances = torch.outer(spread.diag(), spread.diag()) + spread.square()
    assert ((torch.cov(x.T) - spread).abs() / (variances / rows).sqrt()).max() < 4


def ask(guidances: list[Guidance], branches: Branches, x_t: Tensor, told: Condition, t: Tensor = T) -> Tensor:
    denoise: Any = branches
    for guidance in guidances:
        denoise = guidance(denoise, branches)
    with torch.no_grad():
        answer: Tensor = denoise(x_t, t, told)
    return answer


def conditional(x: Tensor, t: Tensor, c: Condition) -> Tensor:
    assert c.vector is not None
    return torch.where(c.vector == 0, bare(FIRST, x, t), bare(ALL, x, t))


@pytest.mark.parametrize("logsnr", [-8.0, 0.0, 6.0])
def test_it_is_classifier_free_and_classifier_guidance_of_the_same_scale(logsnr: float) -> None:
    """Bayes' rule; and both together add what each adds, in any order."""
    x_t, t = torch.randn(7, 2, dtype=torch.float64), COSINE.time(torch.tensor(logsnr).double())
    told, null = Condition(torch.zeros(7, 1)), Condition(torch.ones(7, 1))
    cfg = diffkit.create("guidance", "cfg", scale=3.5)

    def of(*guidances: Guidance) -> Tensor:
        return ask(list(guidances), Branches(conditional, null, COSINE, {"text": ["first"] * 7}), x_t, told, t)

    alpha, sigma = COSINE(t)
    x = x_t.clone().requires_grad_()
    logs = -(x[:, None] - alpha * MEANS).square().sum(-1) / (2 * (alpha**2 * VARIANCE + sigma**2))
    (slope,) = torch.autograd.grad((logs[:, :2].logsumexp(1) - logs.logsumexp(1)).sum(), x)
    by_classifier = of() + 2.5 * sigma**2 / alpha * slope
    torch.testing.assert_close(of(exact(3.5)), by_classifier, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(of(exact(3.5)), of(cfg), rtol=1e-8, atol=1e-8)
    both = of() + 2 * (of(cfg) - of())
    torch.testing.assert_close(of(cfg, exact(3.5)), both, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(of(exact(3.5), cfg), both, rtol=1e-8, atol=1e-8)


def test_rows_without_a_prompt_are_left_alone() -> None:
    x_t = torch.randn(3, 2, dtype=torch.float64)
    some = ask([exact(4.0)], unconditional(["first", None, "second"]), x_t, Condition())
    plain = ask([], unconditional([None] * 3), x_t, Condition())
    assert torch.equal(some[1], plain[1]) and not torch.allclose(some[[0, 2]], plain[[0, 2]])
    for i, name in ((0, "first"), (2, "second")):
        torch.testing.assert_close(ask([exact(4.0)], unconditional([name]), x_t[i : i + 1], Condition()), some[[i]])
    untold = unconditional([None] * 3)
    assert exact(4.0)(untold, untold) is untold
    with pytest.raises(DiffkitError, match="steers towards prompts, and there are none"):
        ask([exact(4.0)], Branches(lambda x, t, c: x, Condition(), COSINE), x_t, Condition())


def test_where_the_ramp_is_0_and_at_scale_1_the_clip_is_not_asked() -> None:
    clip, branches, x_t = Exact(), unconditional(["first"] * 3), torch.randn(3, 2, dtype=torch.float64)
    assert exact(1.0, clip=clip)(branches, branches) is branches
    ramp = ((-2.0, 0.0), (0.0, 1.0), (2.0, 0.5))
    slope = ask([exact(2.0)], branches, x_t, Condition()) - ask([], branches, x_t, Condition())
    for logsnr, calls in ((-3.0, 0), (-1.0, 1), (1.0, 1), (9.0, 1)):
        ask([exact(2.0, ramp, clip)], branches, x_t, Condition(), COSINE.time(torch.tensor(logsnr).double()))
        assert len(clip.asked) == calls
        clip.asked.clear()
    half = COSINE.time(torch.tensor(-1.0).double())
    given = [ask(guidances, branches, x_t, Condition(), half) for guidances in ([], [exact(2.0)], [exact(2.0, ramp)])]
    torch.testing.assert_close(given[2] - given[0], (given[1] - given[0]) / 2)
    assert slope.abs().max() > 0


def test_the_contracts_of_guidances() -> None:
    check_guidance(exact(3.0))


def test_another_network_is_refused() -> None:
    with pytest.raises(DiffkitError, match="run=unet is no CLIP: give a run that was trained with task=clip"):
        ClipGuidance("unet", lambda run, spec: nn.Linear(1, 1), DataSpec((2,)))
