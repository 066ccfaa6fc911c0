"""Every pair of parts, in some combination: it trains two steps and samples, or one sentence refuses it."""

from collections.abc import Iterator
from functools import cache
from itertools import combinations, product

import pytest
import torch

from diffkit.compose.build import part
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.testing.combinations import (
    SAMPLING,
    TRAINING,
    Pair,
    choices,
    covering,
    fit,
    guidance,
    loss_of,
    pairs,
    sample,
    train,
)
from diffkit.testing.given import tiny

KINDS = choices(*TRAINING, *SAMPLING)
MODEL = ("data", "conditioner", "denoiser", "codec")
DEFAULTS = {
    "data": "digits", "codec": "identity", "conditioner": "-", "denoiser": "mlp", "prediction": "v",
    "schedule": "cosine", "density": "uniform", "weighting": "unit", "sampler": "ddim", "grid": "uniform",
    "guidance": "-",
}  # fmt: skip


def refusal(kind: str, name: str, other: str, another: str) -> str | None:
    """The sentence that refuses two parts, all else being as simple as can be; with whatever data, if none is given.

    What data hold is read with the first loss: only where the pair has data is that needed.
    """
    sentence = None
    for data in [DEFAULTS["data"], *KINDS["data"]] if kind != "data" else [name]:
        choice = {**DEFAULTS, "data": data, kind: name, other: another}
        try:
            made = fit(choice)
            guidance(made, choice)
            if kind == "data":
                loss_of(made, choice)
        except DiffkitError as error:
            sentence = str(error)
        else:
            return None
    return sentence


with pytest.MonkeyPatch.context() as patch, torch.no_grad():
    patch.setattr(Schedule, "span", cache(Schedule.span))  # it is searched for, and the same each time
    REFUSED: dict[Pair, str] = {
        frozenset({(kind, name), (other, another)}): sentence
        for kind, other in combinations((*MODEL, "guidance"), 2)
        for name, another in product(KINDS[kind], KINDS[other])
        if (sentence := refusal(kind, name, other, another)) is not None
    }
"""Pairs that are refused by themselves, and the sentence."""


@pytest.mark.parametrize("choice", covering(KINDS, REFUSED), ids=lambda choice: ",".join(choice.values()))
def test_what_is_not_refused_trains_and_samples(choice: dict[str, str]) -> None:
    sample(train(choice), choice)


def test_the_array_covers_every_pair_that_fits() -> None:
    covered = {frozenset(pair) for row in covering(KINDS, REFUSED) for pair in combinations(row.items(), 2)}
    assert pairs(KINDS) - covered == set(REFUSED)


@pytest.mark.parametrize("pair", sorted(REFUSED, key=sorted), ids=lambda pair: "-".join(sorted(n for _, n in pair)))
def test_a_refusal_is_one_sentence_that_names_the_part(pair: Pair) -> None:
    sentence = REFUSED[pair]
    assert "\n" not in sentence
    assert any(name in sentence.lower() for _, name in pair), sentence
    assert "choose" in sentence, sentence


def test_refusals_are_those_known() -> None:
    standard = {pair for pair in REFUSED if all(registry().entry(*part).plugin.standard for part in pair)}
    names = [name for name in KINDS["data"] if registry().entry("data", name).plugin.standard]
    known = {frozenset({("data", name), part}) for name in names for part in refused_by(name)}
    known |= {frozenset(pair) for pair in product(RANGES, [("codec", "vae"), *POINTS])}
    assert standard == known | {frozenset({("codec", "vae"), ("conditioner", "low_resolution")})}


RANGES = (("guidance", "static_threshold"), ("guidance", "dynamic_threshold"))
"""What needs data with a lowest and a highest value, which neither latents nor points have."""
POINTS = (("denoiser", "set_transformer"), ("denoiser", "egnn"))
"""What is for sets of points."""


def refused_by(name: str) -> Iterator[tuple[str, str]]:
    """What cannot be with rows of one axis, of others than two, without words, without classes, and without a range."""
    spec = part("data", tiny("data", name), seed=0).spec
    if len(spec.shape) == 1:
        yield from [("denoiser", "unet"), ("denoiser", "dit"), ("conditioner", "low_resolution"), ("codec", "vae")]
    if len(spec.shape) != 2:
        yield from POINTS
    if "text" not in spec.conditions:
        yield "conditioner", "text"
    if "label" not in spec.conditions:
        yield "conditioner", "class"
    if spec.low is None or spec.high is None:
        yield from RANGES
