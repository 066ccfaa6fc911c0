"""Formulas, and the conditioner that reads them."""

import pytest
import torch

from diffkit import DiffkitError
from diffkit.testing import check_conditioner
from diffkit_molecules.atoms import Atoms
from diffkit_molecules.formulas import ELEMENTS, atoms_of, hill, kinds_of

ETHANOL = ("C", "C", *"HHHHHH", "O")


@pytest.mark.parametrize("text", ["C2H6O", "CH3CH2OH", "HOCH2CH3", "(CH3)2O", " C2OH6 ", "C2H6O1N0"])
def test_a_formula_is_summed_and_sorted(text: str) -> None:
    assert atoms_of(text) == ETHANOL and hill(text) == "C2H6O"


@pytest.mark.parametrize(("text", "wanted"), [("HCl", "ClH"), ("SiH4", "H4Si"), ("C60", "C60"), ("CO2", "CO2")])
def test_hills_order(text: str, wanted: str) -> None:
    """Carbon, hydrogen, the others by name; without carbon all by name. Hill 1900."""
    assert hill(text) == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ethanol", "that is no formula"),
        ("a three", "that is no formula"),
        ("", "that is no formula"),
        ("C2H6O+", "that is no formula"),
        ("2H2O", "that is no formula"),
        ("C-1", "that is no formula"),
        ("C0", "that is no formula"),
        ("(CH3", "that is no formula"),
        ("C\u0663", "that is no formula"),
        ("C" * 99, "that is no formula"),
        ("C99999", "that is no formula"),
        ("(" * 40 + ")" * 40, "that is no formula"),
        ("UF6", "U is none of the elements"),
        ("Qq2", "Qq is none of the elements"),
        ("C6H12", "it has 18 atoms, and the data at most 14"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(text: str, why: str) -> None:
    with pytest.raises(DiffkitError, match=why) as error:
        kinds_of([text], 14)
    assert "\n" not in str(error.value) and "choose a formula such as C2H6O" in str(error.value)


def test_kinds_are_places_among_the_elements() -> None:
    kinds = kinds_of(["H2O", None], 5)
    assert [ELEMENTS[k - 1] for k in kinds[0, :3]] == ["H", "H", "O"]
    assert not kinds[0, 3:].any() and not kinds[1].any()


def test_the_conditioner_keeps_its_contracts() -> None:
    check_conditioner(lambda: Atoms((3, 6), width=4), {"text": ["H2O", "CH4", "HCl", "CO2"]}, (3, 6))


def test_atoms_of_an_element_are_told_alike_and_places_without_atoms_nothing() -> None:
    told = Atoms((3, 6), width=4)({"text": ["CH4", "H2O"]})
    assert told.present is not None and told.present.sum(1).tolist() == [5, 3]
    a = told.spatial
    assert a is not None
    assert torch.equal(a[0, :, 1:5], a[0, :, 1:2].expand(-1, 4)) and torch.equal(a[0, :, 1], a[1, :, 0])
    assert not torch.equal(a[0, :, 0], a[0, :, 1]) and not a[1, :, 3:].any()


def test_pictures_are_refused() -> None:
    with pytest.raises(DiffkitError, match=r"for points \(coordinates, points\), not \(1, 8, 8\): choose another"):
        Atoms((1, 8, 8))
