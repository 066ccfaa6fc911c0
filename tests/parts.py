"""The parts on offer, for tests that hold every one of them against its contract."""

from typing import Any

import pytest

from diffkit.compose.build import create
from diffkit.compose.registry import registry


def every(kind: str, **injected: Any) -> list[Any]:
    """A parameter for each registered part of a kind, built with its defaults."""
    return [pytest.param(create(kind, name, **injected), id=name) for name in registry().names(kind)]


SCHEDULES = list(dict.fromkeys(create("schedule", name) for name in registry().names("schedule")))
"""Every registered schedule, once where it has two names."""
