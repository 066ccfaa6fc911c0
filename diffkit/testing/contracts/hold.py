"""Contracts by name: for each kind an ordered table of functions, each of which raises `AssertionError` if broken."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, TypeVar

C = TypeVar("C")

Contract = Callable[[C], None]
"""Raises `AssertionError` with what was measured; its docstring is the sentence that must be true of every part."""
Table = Mapping[str, Contract[C]]
"""The contracts of a kind by name, those first whose breach explains the others'."""


def table(*contracts: Contract[C]) -> Table[C]:
    """A table of functions by their own names."""
    return {contract.__name__.rstrip("_"): contract for contract in contracts}


def sentence(contract: Contract[Any]) -> str:
    """What a contract says, in one sentence."""
    return " ".join((contract.__doc__ or "").split())


def hold(contracts: Table[C], *cases: C) -> None:
    """Hold each case against every contract; the error of a broken one notes its name and its sentence."""
    for name, contract in contracts.items():
        for case in cases:
            try:
                contract(case)
            except AssertionError as error:
                error.add_note(f"The contract {name!r}: {sentence(contract)}")
                raise


def made(make: Callable[..., Any], **given: Any) -> Any:
    """What a class, or a function in its place, builds from those of `given` that it asks for by name.

    A function that takes any is given all; a class without a constructor of its own asks for nothing.
    """
    asked = signature(make).parameters
    if not isinstance(make, type) and any(p.kind is p.VAR_KEYWORD for p in asked.values()):
        return make(**given)
    return make(**{name: value for name, value in given.items() if name in asked})
