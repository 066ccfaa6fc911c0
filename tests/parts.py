"""The standard parts, for tests that hold every one of them against its contract; plugins have tests of their own."""

from typing import Any

import pytest

from diffkit.compose.build import create
from diffkit.compose.registry import registry


def every(kind: str, **injected: Any) -> list[Any]:
    """A parameter for each standard part of a kind, built with its defaults."""
    names = [name for name in registry().names(kind) if registry().entry(kind, name).plugin.standard]
    return [pytest.param(create(kind, name, **injected), id=name) for name in names]


SCHEDULES = list(dict.fromkeys(create("schedule", name) for name in registry().names("schedule")))
"""Every registered schedule, once where it has two names."""
