"""Plugins that are broken, and one that is not."""

from pathlib import Path

from strangers import SAMPLER, entry, write

OFFER = entry("sampler=wanted=parts:Still")
BROKEN = {
    "no-dependency": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "no-syntax": ("def broken(:", "SyntaxError"),
    "raises": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "raises-asked": (OFFER.replace("return", "raise ValueError('boom')\n    return"), "ValueError: boom"),
    "no-attribute": ("x = 1", "AttributeError: module 'no_attribute_entry' has no attribute 'plugin'"),
    "misspelt": (OFFER.replace("_components", "_component"), "did you mean 'diffkit_components'"),
    "other-hook": (OFFER.replace("components()", "components(colour)"), "{'colour'}"),
    "no-list": (OFFER.replace("return", "return 3 or"), "diffkit_components must return a list, not int"),
}
"""Entry modules that cannot be used, and what is said of each."""
_STEPS = "steps(self, denoise, schedule, x, times, noise)"
_DDIM = "from diffkit.standard.samplers.ddim import Ddim\n        yield from Ddim()." + _STEPS.replace("self, ", "")
_PART = """import torch
from diffkit.core import *


class Still({0}):
    '''Is wrong.'''
"""
_CLASS = "key = 'label'\n    spec = ConditionSpec(vector=4)\n    def forward(self, batch):\n        return "
UNFIT: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "no-module": ("sampler", "import diffkit.nowhere", ("No module named 'diffkit.nowhere'",)),
    "no-base": ("sampler", "class Still: ...", ("is no Sampler", "must inherit from it")),
    "no-method": ("sampler", SAMPLER.replace("def steps", "def stepz"), (f"lacks {_STEPS}", "'stepz'")),
    "too-few": ("sampler", SAMPLER.replace("x, times, noise", "x"), ("steps(self, denoise, schedule, x) ", _STEPS)),
    "swapped": ("sampler", SAMPLER.replace("x, times", "times, x"), ("schedule, times, x, noise) ", _STEPS)),
    "no-property": ("sampler", SAMPLER.replace("@property", ""), ("Still.order must be a property",)),
    "yields": ("sampler", SAMPLER.replace("yield from ()", "yield x"), ("must yield a State", "not Tensor")),
    "no-steps": ("sampler", SAMPLER, ("must yield a State", "not NoneType")),
    "tensor": ("conditioner", _PART + "    " + _CLASS + "torch.zeros(2, 4)\n", ("must give a Condition, not Tensor",)),
    "width": ("conditioner", _PART + "    " + _CLASS + "Condition(torch.zeros(2, 5))\n", ("vector=4", "width of 5")),
    "one": ("schedule", _PART + "    def __call__(self, t):\n        return t\n", ("could not be built",)),
    "rises": (
        "grid",
        _PART + "    steps: int = 2\n    def __call__(self, schedule):\n        return torch.linspace(0, 1, 3)\n",
        ("must give falling times in float64 that end at 0",),
    ),
    "scalar": (
        "density",
        _PART + "    def __call__(self, schedule, u):\n        return u[0]\n",
        ("of shape (2,), not ()",),
    ),
    "shape": (
        "denoiser",
        _PART
        + "    def __init__(self, shape, condition):\n        super().__init__()\n"
        + "    def forward(self, x, logsnr, condition):\n        return x[..., 1:]\n",
        ("the output F of shape (2, 2), not (2, 1)",),
    ),
    "guides": (
        "guidance",
        _PART + "    def __call__(self, denoise, branches):\n        return None\n",
        ("does not work",),
    ),
}
"""Classes that do not fit their kind: the kind, the source, and words of the refusal."""
_BASES = {"density": "TimeDensity", "denoiser": "DenoiserNetwork"}


def good(site: Path) -> Path:
    """Install a plugin that works, with the sampler `good`."""
    source = SAMPLER.replace("Still", "Good").replace("yield from ()", _DDIM)
    return write(site, "zz-good", entry("sampler=good=zz_good_parts:Good"), zz_good_parts=source)


def bad(site: Path, fault: str) -> tuple[str, str]:
    """Install a plugin of `BROKEN`; gives its distribution with the version, and the cause that must be said."""
    source, cause = BROKEN[fault]
    write(site, fault, source, version="0.7")
    if fault == "no-attribute":
        points = next(site.glob("no_attribute-*")) / "entry_points.txt"
        points.write_text(points.read_text().strip() + ":plugin\n")
    return f"{fault} 0.7", cause


def unfit(site: Path, fault: str) -> tuple[str, tuple[str, ...]]:
    """Install a plugin of `UNFIT`; gives what chooses its part, and the words of the refusal."""
    kind, source, words = UNFIT[fault]
    parts = f"{fault.replace('-', '_')}_parts"
    base = _BASES.get(kind, kind.capitalize())
    write(site, fault, entry(f"{kind}={fault}={parts}:Still"), version="0.8", **{parts: source.replace("{0}", base)})
    chosen = f"{kind}=[{fault}]" if kind in ("conditioner", "guidance") else f"{kind}={fault}"
    return chosen, (f"{kind} '{fault}' of {fault} 0.8", *words)
