"""The report catches known slips: each is planted in copies of the samplers' sources, and the copy is refused."""

import inspect
import sys
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import NamedTuple

import pytest

from diffkit.core.sampler import Sampler
from diffkit.standard import samplers
from diffkit.testing import check_sampler

PACKAGE = "diffkit.standard.samplers"


class Slip(NamedTuple):
    """One expression is replaced in the first of the modules, and all of them are executed anew."""

    what: str
    modules: str
    """From the one with the slip to the one with the sampler."""
    sampler: str
    right: str
    wrong: str
    said: str
    """What the report says of it."""


SLIPS = [
    Slip(
        "wrong sign in a third-order term",
        *("exponential dpm_3s", "Dpm3S()"),
        *("phi(2, 1) * 3 / 2", "-phi(2, 1) * 3 / 2", "has order 1"),
    ),
    Slip(
        "half the second difference",
        *("dpmpp_3m", "DpmPp3M()", "return multistep("),
        'table.pull[:, :2] += adams(in_lambda("x0", Ends.of(schedule, times)), 2).pull; table.pull.div_(2); '
        "return multistep(",
        "has order 2",
    ),
    Slip(
        "sigma_t for sigma_s",
        *("ends stages exponential dpm_2s_ancestral", "Dpm2SAncestral()"),
        *("self.sigma_s * fresh.sqrt()", "(self.sigma_s > 0) * self.sigma_t * fresh.sqrt()", "the sample on"),
    ),
    Slip(
        "a repeated last time",
        *("stages runge_kutta heun", "Heun()"),
        *("1.0: (times[1:], ", "1.0: (times[:-1], ", "the sample on"),
    ),
    Slip(
        "a large variance where the small one belongs",
        *("dpmpp_2m dpmpp_2m_sde", "DpmPp2MSde()"),
        *("(-torch.expm1(-2 * eta * h)).sqrt()", "torch.expm1(2 * eta * h.clamp(max=9)).sqrt()", "has order 1"),
    ),
    Slip(
        "noise that is not scaled",
        *("multistep ddim", "Ddim(eta=1.0)"),
        *("noise(x).mul_(spreads[i])", "noise(x)", "the sample on"),
    ),
    Slip(
        "a history shifted by one",
        *("multistep adams lms", "Lms()"),
        *("zip(pulls[i], slopes", "zip(pulls[i - 1], slopes", "the sample on|has order"),
    ),
    Slip(
        "a history in the wrong order",
        *("multistep adams deis", "Deis(order=2)"),
        *("slopes.appendleft(", "slopes.append(", "has order"),
    ),
    Slip(
        "alpha missing in one term",
        *("adams dpmpp_3m", "DpmPp3M()"),
        *("(ends.alpha_s * rate)", "(ends.alpha_s / ends.alpha_s * rate)", "the sample on|has order"),
    ),
    Slip(
        "eta applied twice",
        *("ends ddim", "Ddim(eta=0.5)"),
        *("self.sigma_s * fresh.sqrt()", "eta * self.sigma_s * fresh.sqrt()", "has order -?0"),
    ),
    Slip(
        "a wrong stage weight",
        *("runge_kutta heun", "Heun()"),
        *("((1.0,), (1 / 2, 1 / 2))", "((1.0,), (1 / 3, 2 / 3))", "has order 1"),
    ),
    Slip(
        "steps taken for equal",
        *("dpmpp_2m", "DpmPp2M()"),
        *("h[1:] / (2 * h[:-1])", "torch.full_like(h[1:], 1 / 2)", "has order 1"),
    ),
    Slip(
        "a corrector that adds to the prediction",
        *("adams unipc", "UniPC()"),
        *("pull[1:, 1 : order + 1] -=", "pull[1:, 1 : order + 1] +=", "has order -?0"),
    ),
    Slip(
        "a variance for a standard deviation",
        *("edm", "EdmSampler()"),
        *("self.s_noise * std", "self.s_noise * std.square()", "the sample on"),
    ),
]


for found in iter_modules(samplers.__path__, f"{PACKAGE}."):
    import_module(found.name)  # none is to be loaded for the first time, and to stay, while copies stand in for others


def copy(slip: Slip, monkeypatch: pytest.MonkeyPatch) -> Sampler:
    """The sampler of the modules' copies, the first with the slip. The package's own stay as they are."""
    scope: dict[str, object] = {}
    with monkeypatch.context() as patch:
        for name in slip.modules.split():
            source = inspect.getsource(import_module(f"{PACKAGE}.{name}"))
            if not scope:
                assert source.count(slip.right) == 1, f"{name} has changed: {slip.right!r} is there no more, or twice"
                source = source.replace(slip.right, slip.wrong)
            module = ModuleType(f"{PACKAGE}.{name}")
            patch.setitem(sys.modules, module.__name__, module)
            scope = vars(module)
            exec(compile(source, name, "exec"), scope)
        sampler = eval(slip.sampler, scope)
    assert isinstance(sampler, Sampler)
    return sampler


@pytest.mark.parametrize("slip", SLIPS, ids=[slip.what for slip in SLIPS])
def test_a_slip_is_caught(slip: Slip, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=slip.said):
        check_sampler(copy(slip, monkeypatch))


@pytest.mark.parametrize("what", ["a repeated last time", "a history in the wrong order"])
def test_a_copy_without_its_slip_passes(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is the slips that are caught, and not the copying: once for each of the two loops."""
    (slip,) = [slip for slip in SLIPS if slip.what == what]
    check_sampler(copy(slip._replace(wrong=slip.right), monkeypatch))
