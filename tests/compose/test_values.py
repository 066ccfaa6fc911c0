"""Values against annotations: what is let through, as what, and how the rest is refused."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest

from diffkit.compose.values import convert, hyperparameters
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Count, Fraction, Natural, NonNegative, Positive, Range, Shape

FITS = [
    (3, Count, 3),
    (0, Natural, 0),
    (1, float, 1.0),
    (0.5, Fraction, 0.5),
    (0, NonNegative, 0.0),
    (None, Count | None, None),
    ([1, 2], tuple[int, ...], (1, 2)),
    ([1, 2], Sequence[int], [1, 2]),
    ([1, 2], tuple[float, float], (1.0, 2.0)),
    ("a", Literal["a", "b"], "a"),
    (7, str, "7"),
    (7, str | list[str], "7"),
    (["x", 7], str | list[str], ["x", "7"]),
    (2, Fraction | list[Fraction] | Count, 2),
    ({"a": 1}, dict[str, int], {"a": 1}),
]


@pytest.mark.parametrize(("value", "hint", "expected"), FITS)
def test_what_fits_has_the_type_that_was_asked_for(value: Any, hint: Any, expected: Any) -> None:
    converted = convert("key", value, hint)
    assert converted == expected and type(converted) is type(expected)


REFUSED = [
    (0, Count, "a whole number, at least 1"),
    (-1, Natural, "a whole number, at least 0"),
    (True, int, "a whole number"),
    (2.5, int, "a whole number"),
    ("3", int, "a whole number"),
    (1, bool, "true or false"),
    (math.nan, float, "a finite number"),
    (math.inf, float, "a finite number"),
    (-math.inf, NonNegative, "a finite number, at least 0"),
    (math.nan, Positive, "a finite number, above 0"),
    (0, Positive, "a finite number, above 0"),
    (1.1, Fraction, "a finite number, at least 0 and at most 1"),
    (None, float, "a finite number"),
    ("c", Literal["a", "b"], "one of a, b"),
    (True, Literal[1, 2], "one of 1, 2"),
    ([1, "x"], tuple[int, ...], "a list, each of which is a whole number"),
    ([1, 2, 3], tuple[int, int], "a list of 2 values"),
    ("ab", Sequence[str], "a list, each of which is text"),
    ([0], list[Count], "at least 1"),
    (5, Annotated[float, Range(-1, 1)], "at least -1 and at most 1"),
    ([1], dict[str, int], "a mapping"),
]


@pytest.mark.parametrize(("value", "hint", "words"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_key_and_what_is_allowed(value: Any, hint: Any, words: str) -> None:
    with pytest.raises(DiffkitError) as caught:
        convert("place.key", value, hint)
    message = str(caught.value)
    assert "place.key" in message and words in message and "\n" not in message


def test_injected_parameters_are_no_hyperparameters() -> None:
    class Network:
        def __init__(self, shape: Shape, condition: Any, width: Count = 3) -> None: ...

    assert list(hyperparameters(Network)) == ["width"]
