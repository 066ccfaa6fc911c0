"""Guidance by a CLIP: with a match that is known exactly, and through the model's x_0 for an ordinary one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import diffkit
from diffkit.core import Branches, Condition, DataSpec, DiffkitError, Guidance, Noise
from diffkit.testing import Mixture, check_guidance
from diffkit_clip.export import export
from diffkit_clip.guidance import ClipGuidance
from diffkit_clip.network import NoisyCLIP, Sizes
from diffkit_clip.task import contrastive

MEANS = torch.tensor([[1.3, 0.2], [-0.4, 0.9], [0.1, -1.2], [-1.0, -0.5]], dtype=torch.float64)
VARIANCE = 0.09
ALL, FIRST = Mixture(MEANS, VARIANCE), Mixture(MEANS[:2], VARIANCE)
COSINE = diffkit.create("schedule", "cosine")
T = torch.tensor(0.4, dtype=torch.float64)
FAR = 1e6
"""More than any match: divided by this it is the cosine of two unit vectors."""


class Known(NoisyCLIP):
    """One whose match of x_t with a text is a given number, of two kinds of text: "second" and any other."""

    def __init__(self, *matches: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        nn.Module.__init__(self)
        self.matches = matches
        self.asked: list[int] = []

    logit_scale = torch.tensor(FAR, dtype=torch.float64)  # type: ignore[assignment]

    def images(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        self.asked.append(len(x_t))
        cosines = torch.stack([match(x_t, alpha, sigma) for match in self.matches], 1) / FAR
        return torch.cat([cosines, (1 - cosines.square().sum(1, keepdim=True)).sqrt()], 1)

    def texts(self, texts: Any) -> Tensor:
        return torch.eye(len(self.matches) + 1, dtype=torch.float64)[[int(text == "second") for text in texts]]


def class_of(*modes: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """log p(x_0 is of one of these modes | x_t)."""

    def log_prob(x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        logs = -(x_t[:, None] - alpha * MEANS).square().sum(-1) / (2 * (alpha**2 * VARIANCE + sigma**2))
        return logs[:, modes].logsumexp(1) - logs.logsumexp(1)

    return log_prob


def classes() -> Known:
    """One whose match with "first" or "second" is log p(the mixture's first or last two modes | x_t)."""
    return Known(class_of(0, 1), class_of(2, 3))


def exact(scale: float, ramp: Any = (), clip: Any = None) -> ClipGuidance:
    return ClipGuidance("exact", lambda run, spec: clip or classes(), DataSpec((2,)), scale, ramp)


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
    clip, branches, x_t = classes(), unconditional(["first"] * 3), torch.randn(3, 2, dtype=torch.float64)
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


PICTURES = DataSpec((1, 4, 4), {"text": None})
SIDES = torch.ones(4, 1, 4, 4, dtype=torch.float64)
for place in (SIDES[0, 0, 2:], SIDES[1, 0, :2], SIDES[2, 0, :, 2:], SIDES[3, 0, :, :2]):
    place.fill_(-1.0)
NAMES = ("upper", "lower", "left", "right")
"""Which half of a picture is bright."""


@pytest.fixture(scope="module")
def trained() -> NoisyCLIP:
    """A CLIP that has learned in a few seconds which half is meant, at every noise level."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = diffkit.create("codec", "identity", shape=(1, 4, 4))
        clip = NoisyCLIP(codec, COSINE, (1, 4, 4), Sizes(4, 32, 1, 32, 1, 8, 32, 8))
        clip.tokens.learn(NAMES)
        optimizer = torch.optim.Adam(clip.parameters(), 5e-4)
        for _ in range(120):
            side, eps = torch.randint(4, (64,)), torch.randn(64, 1, 4, 4)
            alpha, sigma = COSINE(torch.rand(64, dtype=torch.float64) * 0.9)
            x_t = alpha.float()[:, None, None, None] * (SIDES[side] + 0.3 * torch.randn(64, 1, 4, 4))
            pictures = clip.images((x_t + sigma.float()[:, None, None, None] * eps).float(), alpha, sigma)
            texts = [NAMES[i] for i in side.tolist()]
            rows = pictures, clip.texts(texts), texts
            optimizer.zero_grad()
            contrastive(*rows, clip.logit_scale, *rows).mean().backward()
            optimizer.step()
    return clip.eval().requires_grad_(False)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "ddpm"])
def test_a_model_that_was_told_nothing_draws_what_a_trained_clip_is_told(trained: NoisyCLIP, sampler: str) -> None:
    """At least 90 of 100 samples, by the nearest of the four pictures; a quarter without guidance."""
    mixture, texts = Mixture(SIDES.flatten(1), 0.09), [NAMES[i % 4] for i in range(100)]

    def bare(x: Tensor, t: Tensor, c: Condition) -> Tensor:
        return mixture.x_0(x.flatten(1), *(v.item() for v in COSINE(t))).reshape(x.shape)

    times, right = diffkit.create("grid", "logsnr", steps=30, logsnr_min=-9.0, logsnr_max=9.0)(COSINE), {}
    for scale in (1.0, 5.0):
        branches = Branches(bare, Condition(), COSINE, {"text": texts})
        guided = ClipGuidance("trained", lambda run, spec: trained, PICTURES, scale)(branches, branches)
        noise = Noise(0, range(100))
        x = noise(torch.empty(100, 1, 4, 4))
        with torch.no_grad():
            for state in diffkit.create("sampler", sampler).steps(
                lambda x, t, guided=guided: guided(x, t, Condition()), COSINE, x, times, noise
            ):
                x = state.x
        found = (x[:, None] - SIDES).flatten(2).norm(dim=2).argmin(1)
        right[scale] = int((found == torch.arange(100) % 4).sum())
    assert right[1.0] < 45 and right[5.0] >= 90


def test_an_exported_clip_guides_as_the_one_that_it_was(trained: NoisyCLIP, tmp_path: Path) -> None:
    export(trained, tmp_path / "clip")
    x_t, texts = torch.randn(4, 1, 4, 4), list(NAMES)
    answers = [
        ask(
            [ClipGuidance(run, lambda run, spec: trained, PICTURES)],
            Branches(lambda x, t, c: 0.5 * x, Condition(), COSINE, {"text": texts}),
            x_t,
            Condition(),
        )
        for run in (str(tmp_path / "clip"), "trained")
    ]
    assert torch.equal(*answers) and not torch.allclose(answers[0], 0.5 * x_t)
    with pytest.raises(
        DiffkitError, match=r"sees noisy pictures of shape \[1, 4, 4\], and the data are of shape \[2\]"
    ):
        ClipGuidance(str(tmp_path / "clip"), diffkit.load_model, DataSpec((2,)))
