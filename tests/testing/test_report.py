"""The report: what is run, what it says of good parts, bad ones and those that it cannot judge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.sampler import Sampler, State
from diffkit.core.schedule import Schedule
from diffkit.core.types import Fraction, Range
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.samplers.heun import Heun
from diffkit.testing import kinds, report
from diffkit.testing.accuracy import flow_error, moment_error, steps_within, times
from diffkit.testing.contracts.convergence import slope
from diffkit.testing.contracts.moments import Estimate, drawn_moments, linear_moments, moments
from diffkit.testing.contracts.walk import Quarter, gaussian, start, times_of, uneven_times
from diffkit.testing.figures import draw
from diffkit.testing.report import Setting, chosen, verify
from diffkit.testing.settings import settings, written
from diffkit.testing.table import HEAD, cells, failures, markdown


@dataclass(frozen=True)
class Many:
    form: Literal["a", "b"] = "a"
    eta: Fraction = 0.5
    order: Annotated[int, Range(1, 3)] = 2
    width: int = 8


def test_settings_are_the_choices_that_make_another_method() -> None:
    others = [{"form": "b"}, {"eta": 0.0}, {"eta": 1.0}, {"order": 1}, {"order": 3}]
    assert settings(Many) == [{}, *others]
    assert [written(s) for s in others] == ["form=b", "eta=0", "eta=1", "order=1", "order=3"]


def test_what_is_chosen() -> None:
    assert chosen(["prediction=eps"]) == [Setting("prediction", "eps", {})]
    assert [str(s) for s in chosen(["sampler=ddim"])] == ["sampler=ddim", "sampler=ddim eta=1"]
    assert {s.kind for s in chosen([])} >= {"schedule", "prediction", "sampler", "denoiser", "metric", "task"}
    for word in ("predicton", "prediction=epsilon"):
        with pytest.raises(DiffkitError, match="There is no"):
            chosen([word])


@pytest.mark.parametrize("kind", ["prediction", "codec", "conditioner", "guidance", "grid", "data", "metric"])
def test_one_part_of_each_kind_passes(kind: str) -> None:
    (row,) = verify(chosen([kind])[:1])
    assert (row.verdict, row.sentence, row.figures) == ("pass", "", None)


def test_whatever_a_part_raises_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def says(error: Exception) -> tuple[str, str]:
        def prove(*part: object) -> None:
            raise error

        monkeypatch.setattr(report, "prove", prove)
        (row,) = verify([Setting("grid", "karras", {})])
        return row.verdict, row.sentence

    assert says(AssertionError("Grid(): is\nbroken")) == ("fail", "Grid(): is broken")
    assert says(ZeroDivisionError("division by zero")) == ("fail", "ZeroDivisionError: division by zero")
    assert says(DiffkitError("no")) == ("fail", "no")
    assert says(kinds.Unproven("needs a, b")) == ("skip", "needs a, b")


def test_a_row_has_a_cell_for_each_column() -> None:
    rows = list(verify(chosen(["sampler=ddim", "prediction=eps"])))
    for row in rows:
        assert len(cells(row)) == len(HEAD)
    ddim, noisy, eps = (dict(zip(HEAD, cells(row), strict=True)) for row in rows)
    assert (ddim["order"], ddim["calls"], ddim["mean"], ddim["verdict"]) == ("1", "1", "-", "pass")
    assert noisy["part"] == "sampler=ddim eta=1" and noisy["mixture 10"] == "-" and noisy["variance"] != "-"
    assert eps["order"] == "-" and eps["verdict"] == "pass"
    assert markdown(rows).count("\n| ddim") == 2 and "| prediction=eps | pass |" in markdown(rows)
    assert failures(rows) == []


def test_slope() -> None:
    assert slope((10, 20, 40), [n**-3.0 for n in (10, 20, 40)]) == pytest.approx(3)
    assert slope((10, 20, 40), [1e-12] * 3) == float("inf")


@pytest.mark.parametrize(("sampler", "calls", "steps"), [(Ddim(), 10, 10), (Heun(), 10, 5), (Heun(), 11, 6)])
def test_steps_within_a_number_of_calls(sampler: Sampler, calls: int, steps: int) -> None:
    assert steps_within(sampler, calls) == steps


def test_uneven_times_are_of_two_lengths() -> None:
    lengths = Quarter().logsnr(uneven_times(Quarter(), 6, -9.0, 6.0)[:-1]).diff()
    torch.testing.assert_close(lengths, torch.tensor([2.0, 3.0] * 3, dtype=torch.float64))


def test_flow_error_of_ddim_is_that_of_its_factors() -> None:
    """On normal data DDIM multiplies each eigenvector's part by a number in each step, and so does the exact flow."""
    alpha, sigma = Quarter()(times(10))
    variances = gaussian().variances[:, None]
    keep = sigma[1:] / sigma[:-1]
    gain = alpha[:-1] * variances / (alpha[:-1] ** 2 * variances + sigma[:-1] ** 2)
    found = (keep + (alpha[1:] - alpha[:-1] * keep) * gain).prod(1)
    exact = (variances[:, 0] / (alpha[0] ** 2 * variances[:, 0] + sigma[0] ** 2)).sqrt()
    from_mean = (alpha[0] ** 2 + sigma[0] ** 2).sqrt() * start(64, 64) - alpha[0] * gaussian().mean
    off = (found - exact) * (from_mean @ gaussian().basis)
    wanted = off.square().mean().sqrt().item() / gaussian().spread
    assert flow_error(Ddim(), gaussian(), 10) == pytest.approx(wanted, rel=1e-9)


def test_moment_error_of_ddpm_is_that_of_its_recursion() -> None:
    """With the small variance: V_s = a^2 V_t + n^2 along each eigenvector."""
    alpha, sigma = Quarter()(times(10))
    v = gaussian().variances
    total = alpha[0] ** 2 * v + sigma[0] ** 2
    for i in range(10):
        q = sigma[i + 1] * alpha[i] / (alpha[i + 1] * sigma[i])
        x_0 = alpha[i] * v / (alpha[i] ** 2 * v + sigma[i] ** 2)
        factor = q * sigma[i + 1] / sigma[i] + alpha[i + 1] * (1 - q**2) * x_0
        total = factor**2 * total + sigma[i + 1] ** 2 * (1 - q**2)
    assert moment_error(Ddpm(), 10) == pytest.approx((total.sum() / v.sum() - 1).item(), rel=1e-9)


def test_drawn_moments_agree_with_the_exact_ones_within_their_interval() -> None:
    grid = times_of(Quarter(), 8, -5.0, 9.0)
    exact, drawn = (f(Ddpm(), Quarter(), grid, gaussian(), 8) for f in (moments, drawn_moments))
    assert exact.variance.half == 0 and 0 < drawn.variance.half < 0.02
    assert abs(drawn.variance.value - exact.variance.value) < 1.5 * drawn.variance.half
    assert drawn.mean.value < drawn.mean.half


@dataclass(frozen=True)
class Crooked(Sampler):
    """DDPM with noise that depends on x: not linear."""

    order = 1

    def steps(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        x: Tensor,
        times: Tensor,
        noise: Callable[[Tensor], Tensor],
    ) -> Iterator[State]:
        return Ddpm().steps(denoise, schedule, x, times, lambda x: noise(x) * (1 + 0.1 * x.tanh()))


def test_a_sampler_that_is_not_linear_is_drawn_from() -> None:
    grid = times_of(Quarter(), 5, -5.0, 9.0)
    assert linear_moments(Crooked(), Quarter(), grid, gaussian(), 5) is None
    assert moments(Crooked(), Quarter(), grid, gaussian()).variance.half > 0


def test_an_estimate_is_written_with_its_interval() -> None:
    assert str(Estimate(-0.00123)) == "-1.2e-3"
    assert str(Estimate(0.5, 0.02)) == "5.0e-1 ± 2e-2"


def test_pictures_are_drawn(tmp_path: Path) -> None:
    rows = list(verify(chosen(["sampler=ddim"])))
    files = draw(rows, tmp_path / "new")
    assert [f.name for f in files] == ["convergence.png", "trajectories.png"]
    assert all(f.read_bytes().startswith(b"\x89PNG") for f in files)
    assert draw([], tmp_path) == []
