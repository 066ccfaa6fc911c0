"""Guided samples of normal data have the moments that the guidance's definition gives them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from standard.guidance.linear import NULL, TOLD, WORSE, Law, Matrix, Normal, agree, model, sampled, solved, wide
from torch import Tensor

from diffkit.core.guidance import Branches, guide
from diffkit.standard.guidance.apg import Apg
from diffkit.standard.guidance.auto import Auto
from diffkit.standard.guidance.cfg import Cfg
from diffkit.standard.guidance.interval import Interval
from diffkit.standard.guidance.rescale import Rescale
from diffkit.testing.contracts.walk import Quarter

T = torch.tensor(0.4, dtype=torch.float64)


def mixed(first: Normal, other: Normal, scale: float) -> Law:
    """other + scale (first - other)."""

    def law(alpha: float, sigma: float) -> tuple[Matrix, Matrix]:
        (a, b), (c, d) = first.law(alpha, sigma), other.law(alpha, sigma)
        return c + scale * (a - c), d + scale * (b - d)

    return law


def logsnr(alpha: float, sigma: float) -> float:
    return 2 * float(np.log(alpha / sigma))


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_classifier_free(scale: float) -> None:
    agree(sampled([Cfg(scale)]), solved(mixed(TOLD, NULL, scale)))


def test_the_bare_answers_are_the_distributions_themselves() -> None:
    """The solver of the moments, held against what it must find."""
    for normal, scale in ((TOLD, 1.0), (NULL, 0.0)):
        mean, covariance = solved(mixed(TOLD, NULL, scale))
        np.testing.assert_allclose(mean, normal.mean, atol=2e-3)
        np.testing.assert_allclose(covariance, normal.covariance, atol=2e-3)


def test_an_interval() -> None:
    def law(alpha: float, sigma: float) -> tuple[Matrix, Matrix]:
        inside = -1 <= logsnr(alpha, sigma) <= 3
        return mixed(TOLD, NULL, 4.0 if inside else 1.0)(alpha, sigma)

    agree(
        sampled([Cfg(4.0), Interval(-1.0, 3.0)]), solved(law), error=0.02
    )  # of first order: its ends are between two steps


def test_a_ramp() -> None:
    def law(alpha: float, sigma: float) -> tuple[Matrix, Matrix]:
        share = np.interp(logsnr(alpha, sigma), [-4, 0, 2], [0, 1, 0.5])
        return mixed(TOLD, NULL, 1 + 2 * float(share))(alpha, sigma)

    agree(sampled([Cfg(3.0, ramp=((-4.0, 0.0), (0.0, 1.0), (2.0, 0.5)))]), solved(law))


class Foreign(Auto):
    """Autoguidance by a worse answer that is known."""

    def __init__(self, scale: float) -> None:
        self.scale, self.ramp = scale, ()
        self.worse = self  # type: ignore[assignment]

    def with_schedule(self, schedule: Quarter) -> "Foreign":
        return self

    def parameters(self) -> Iterator[Tensor]:
        return iter([torch.zeros(1, dtype=torch.float64)])

    def to(self, device: torch.device) -> None: ...

    def conditioners(self, columns: object, rows: int) -> None: ...

    def denoise(self, x_t: Tensor, t: Tensor, condition: object) -> Tensor:
        return WORSE.denoise(x_t, t)


def test_autoguidance() -> None:
    agree(sampled([Foreign(2.5)]), solved(mixed(TOLD, WORSE, 2.5)))


def isotropic(variance: float, mean: float = 0.0) -> Normal:
    return Normal(np.full(2, mean), variance * np.eye(2))


CENTRED = isotropic(1.1), isotropic(0.4)
"""x_0 is a multiple of x_t for both, and of the guided answer a positive one."""


def test_rescaling_undoes_what_guidance_did_to_the_spread() -> None:
    """Of centred data x_0 is a x_t, whose direction guidance leaves alone: rescaled in full it is what it was."""
    agree(sampled([Cfg(3.0), Rescale(1.0)], CENTRED), (np.zeros(2), CENTRED[0].covariance))


def test_rescaling_in_part() -> None:
    def law(alpha: float, sigma: float) -> tuple[Matrix, Matrix]:
        (a, b), (guided, _) = CENTRED[0].law(alpha, sigma), mixed(*CENTRED, 2.0)(alpha, sigma)
        return 0.3 * guided + 0.7 * a, b

    agree(sampled([Cfg(2.0), Rescale(0.7)], CENTRED), solved(law))


def test_projection_leaves_no_step_along_the_answer() -> None:
    """Of centred data the whole step is along x_0."""
    agree(sampled([Apg(5.0, parallel=0.0, momentum=0.0)], CENTRED), (np.zeros(2), CENTRED[0].covariance))


def test_projection_keeps_a_share_of_the_step_along_the_answer() -> None:
    agree(sampled([Apg(3.0, parallel=0.25, momentum=0.0)], CENTRED), solved(mixed(*CENTRED, 1.5)))


def test_projection_in_full_is_classifier_free() -> None:
    condition, null = wide(5)
    x_t = torch.randn(5, 2, dtype=torch.float64)
    answers = [
        guide([guidance], Branches(model, null, Quarter()))(x_t, T, condition)
        for guidance in (Apg(3.0, parallel=1.0, momentum=0.0), Cfg(3.0))
    ]
    torch.testing.assert_close(*answers, rtol=1e-14, atol=1e-14)


def test_projection_by_its_definition() -> None:
    """Two calls: the second carries the first's step on; both are shortened to the limit."""
    condition, null = wide(1)
    scale, parallel, limit, momentum = 4.0, 0.3, 0.2, -0.5
    guided = guide([Apg(scale, parallel, limit, momentum)], Branches(model, null, Quarter()))
    before = np.zeros(2)
    for x_t in torch.randn(2, 1, 2, dtype=torch.float64):
        answer = guided(x_t, T, condition)[0].numpy()
        told, bare = (normal.denoise(x_t, T)[0].numpy() for normal in (TOLD, NULL))
        before = told - bare + momentum * before
        step = before * min(1, limit / np.sqrt(before @ before))
        along = (step @ told) / (told @ told) * told
        np.testing.assert_allclose(answer, told + (scale - 1) * (step - along + parallel * along), rtol=1e-12)
