"""Every pair of parts, in some combination: it trains two steps and samples, or one sentence refuses it."""

from itertools import combinations, product

import pytest

from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError
from diffkit.testing.combinations import SAMPLING, TRAINING, Pair, choices, covering, pairs, sample, train

KINDS = choices(*TRAINING, *SAMPLING)
MODEL = ("data", "conditioner", "denoiser", "codec")
DEFAULTS = {
    "data": "digits", "codec": "identity", "conditioner": "-", "denoiser": "mlp", "prediction": "v",
    "schedule": "cosine", "density": "uniform", "weighting": "unit", "sampler": "ddim", "grid": "uniform",
    "guidance": "-",
}  # fmt: skip

REFUSED: dict[Pair, str] = {}
"""Pairs that are refused by themselves, all else being as simple as can be, and the sentence."""
for kind, other in [*combinations(MODEL, 2), ("data", "guidance")]:
    for name, another in product(KINDS[kind], KINDS[other]):
        choice = {**DEFAULTS, kind: name, other: another}
        try:
            trained = train(choice)
            if other == "guidance":
                sample(trained, choice)
        except DiffkitError as error:
            REFUSED[frozenset({(kind, name), (other, another)})] = str(error)


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
    known = {
        ("denoiser", "unet"): "moons",
        ("denoiser", "dit"): "moons",
        ("conditioner", "text"): "moons",
        ("conditioner", "low_resolution"): "moons",
        ("guidance", "static_threshold"): "moons",
        ("guidance", "dynamic_threshold"): "moons",
    }
    standard = {pair for pair in REFUSED if all(registry().entry(*part).plugin.standard for part in pair)}
    assert {frozenset({part, ("data", data)}) for part, data in known.items()} == standard
