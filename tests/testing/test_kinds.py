"""Every kind has its contracts, each with a sentence; parts of a plugin's own kind have the general ones."""

import sys
from pathlib import Path

import pytest
from caught import caught

import diffkit
import diffkit.testing
from diffkit.compose.registry import KINDS, registry
from diffkit.testing import Unproven, check_part
from diffkit.testing.contracts.generic import ANY, GENERIC
from diffkit.testing.contracts.hold import sentence
from diffkit.testing.kinds import TABLES, Subject
from diffkit.testing.settings import Setting

PLUGIN = '''
"""A kind of its own, with three parts."""
from dataclasses import dataclass
import diffkit

class Corrector:
    """What corrects."""

@dataclass(frozen=True)
class Good(Corrector):
    """Corrects."""
    strength: float = 1.0

@dataclass
class Soft(Corrector):
    """Can be changed."""

@dataclass(frozen=True)
class Silent(Corrector):
    strength: float

Silent.__doc__ = None

@diffkit.hookimpl
def diffkit_kinds():
    return [diffkit.Kind("corrector", f"{__name__}:Corrector")]

@diffkit.hookimpl
def diffkit_components():
    named = {"good": Good, "soft": Soft, "silent": Silent, "stray": int}
    return [diffkit.Component("corrector", name, part) for name, part in named.items()]
'''


def test_every_kind_has_a_table_and_a_function() -> None:
    assert set(TABLES) == {kind.name for kind in KINDS}
    for kind in KINDS:
        assert callable(getattr(diffkit.testing, f"check_{kind.name}"))


@pytest.mark.parametrize("kind", [*TABLES, "generic", "any"])
def test_a_contract_is_a_function_of_its_name_with_one_sentence(kind: str) -> None:
    for name, contract in {**TABLES, "generic": GENERIC, "any": ANY}[kind].items():
        assert contract.__name__.rstrip("_") == name
        said = sentence(contract)
        assert said.endswith(".") and said.count(". ") == 0, said


def test_parts_of_a_new_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "corrector.py").write_text(PLUGIN)
    try:
        diffkit.use(str(tmp_path / "corrector.py"))
        assert [*Subject(Setting("corrector", "good", {})).contracts] == [
            *("interface", "documented", "composes", "builds", "value"),
        ]
        check_part("corrector", "good", strength=2.0)
        caught(lambda: check_part("corrector", "soft"), "value", "no frozen dataclass")
        caught(lambda: check_part("corrector", "silent", strength=1.0), "documented", "has no docstring")
        assert [*Subject(Setting("corrector", "stray", {})).contracts] == ["interface"]
        with pytest.raises(diffkit.DiffkitError, match="must inherit from it"):
            check_part("corrector", "stray")
    finally:
        registry.cache_clear()


def test_a_part_that_lacks_what_only_its_user_has_is_unproven() -> None:
    with pytest.raises(Unproven, match="needs run"):
        check_part("guidance", "auto")


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(diffkit.DiffkitError, match="There is no sampler 'nothing'"):
        check_part("sampler", "nothing")
