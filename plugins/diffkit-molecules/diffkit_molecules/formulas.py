"""Formulas: the elements of a molecule's atoms, in the order in which its points are."""

import re
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from diffkit import DiffkitError

ELEMENTS = ("H", "Li", "Be", "B", "C", "N", "O", "F", "Na", "Al", "Si", "P", "S", "Cl")
"""Those of the molecules that are learned from, by atomic number."""
LONGEST = 80
"""The characters of a formula."""
_FORMULA = re.compile(r"[A-Z(][A-Za-z0-9()]*", re.ASCII)


def ase(module: str) -> Any:
    """A module of ase; raises `DiffkitError` where it is not installed."""
    try:
        return import_module(f"ase.{module}")
    except ModuleNotFoundError as error:
        raise DiffkitError("data=molecules and conditioner=atoms need the package ase: pip install ase") from error


def hill(text: str) -> str:
    """The formula in Hill's order, carbon, hydrogen, then the others by name: `"C2H6O"` for `"CH3CH2OH"`.

    Raises `DiffkitError` as `atoms_of` does.
    """
    atoms = atoms_of(text)
    return "".join(f"{e}{atoms.count(e) if atoms.count(e) > 1 else ''}" for e in dict.fromkeys(atoms))


@lru_cache(maxsize=4096)
def atoms_of(text: str) -> tuple[str, ...]:
    """The element of every atom of a formula, in Hill's order.

    Groups may follow each other, in brackets too: `"CH3CH2OH"`, `"(CH3)2O"`. Raises `DiffkitError` for what is no
    formula, and for elements other than `ELEMENTS`.
    """
    counts = _counts(text.strip())
    unknown = [element for element in counts if element not in ELEMENTS]
    if unknown:
        raise _refused(text, f"{unknown[0]} is none of the elements that are learned ({' '.join(ELEMENTS)})")
    first = ("C", "H") if counts.get("C") else ()
    ordered = [*(e for e in first if e in counts), *sorted(e for e in counts if e not in first)]
    return tuple(e for e in ordered for _ in range(counts[e]))


def _counts(text: str) -> dict[str, int]:
    if not _FORMULA.fullmatch(text) or len(text) > LONGEST or re.search(r"\d{4}", text):
        raise _refused(text, "that is no formula")
    try:
        counts: dict[str, int] = ase("formula").Formula(text, strict=False).count()
    except (ValueError, IndexError) as error:
        raise _refused(text, "that is no formula") from error
    some = {element: n for element, n in counts.items() if n}
    if not some:
        raise _refused(text, "that is no formula")
    return some


def _refused(text: str, why: str) -> DiffkitError:
    return DiffkitError(f"conditioner=atoms cannot read {text[:LONGEST]!r}: {why}; choose a formula such as C2H6O")


def kinds_of(texts: list[str | None], points: int) -> Int[Tensor, "b n"]:
    """For each of `points` points 1 + the place of its element in `ELEMENTS`; 0 where there is none.

    A row without a formula has no atoms. Raises `DiffkitError` for what is no formula, and for more atoms than points.
    """
    rows = torch.zeros(len(texts), points, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        atoms = () if text is None else atoms_of(text)
        if len(atoms) > points:
            raise _refused(str(text), f"it has {len(atoms)} atoms, and the data at most {points}")
        row[: len(atoms)] = torch.tensor([1 + ELEMENTS.index(element) for element in atoms], dtype=torch.long)
    return rows
