"""Small molecules: where their atoms are, and which elements they are of."""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffkit.core import Augmented, Batch, Count, DataSpec, Depicted
from diffkit.standard.data import MemoryData
from diffkit_molecules.drawing import molecule_grid
from diffkit_molecules.formulas import ase, atoms_of, hill, kinds_of

if TYPE_CHECKING:
    from PIL.Image import Image

POINTS = 14
"""The atoms of the largest molecules."""
LICENCE = (
    "Molecules of the G2/97 test set (Curtiss, Raghavachari, Redfern and Pople 1997, doi:10.1063/1.473182), MP2(full)/"
    "6-31G(d) geometries, as the package ase has them (ase.collections.g2, LGPL-2.1-or-later), centred and turned"
)
TESTED = 6
"""One formula in so many is in the test split."""


class Molecules(MemoryData, Augmented, Depicted):
    """The 148 molecules of the G2/97 set that have two atoms or more, and their formulas as captions.

    A sample is (3, 14): x, y and z in Angstrom of up to 14 atoms, about the mean of their positions, in Hill's order of
    their elements; which points there are is in the column `"known"`. Isomers share a formula, and no formula is in
    both splits; one in six is in the test split. With `rotate` each training row is turned at random each time it is
    seen, and half of them are mirrored too, since a mirror image is as good a molecule. Raises `DiffkitError` if ase is
    not installed.
    """

    def __init__(self, rotate: bool = True, batch_size: Count = 64, seed: int = 0) -> None:
        self.augments = rotate
        self._formulas, self._x = _molecules()
        self._known = kinds_of(list(self._formulas), POINTS) > 0
        self._rows: dict[str, list[int]] = {"train": [], "test": []}
        for i in sorted(range(len(self._formulas)), key=lambda i: _place(self._formulas[i])):
            self._rows["test" if _place(self._formulas[i]) % TESTED == 0 else "train"].append(i)
        train = self._rows["train"]
        spec = DataSpec(
            shape=(3, POINTS),
            conditions={"text": None},
            unit="Angstrom",
            # one scale for all directions: what is turned is standardised as it was
            scale=(_spread(self._x[train], self._known[train]),),
            licence=LICENCE,
            names=("x", "y", "z"),
            centred=True,
        )
        super().__init__(spec, batch_size, seed)

    def read(self, split: Literal["train", "test"]) -> Batch:
        """The positions, which of them there are, and the formula of each molecule."""
        rows = self._rows[split]
        known = self._known[rows][:, None].expand(-1, 3, -1).clone()
        x = self.spec.standardise(self._x[rows]).float()
        return {"x": x, "known": known, "text": [(self._formulas[i],) for i in rows]}

    def augment(self, rows: Batch, stream: torch.Generator) -> Batch:
        """The molecules, each turned and mirrored at random about its middle."""
        return {**rows, "x": turns(len(rows["x"]), stream).to(rows["x"]) @ rows["x"]} if self.augments else rows

    def draw(self, x: Float[Tensor, "rows columns 3 n"], titles: Sequence[str] = ()) -> "Image":
        """A tile for each cloud of atoms, whose elements are not known."""
        return molecule_grid(x, [None] * (x.shape[0] * x.shape[1]), titles, self.spec.units[0])

    def depict(self, x: Float[Tensor, "rows columns 3 n"], columns: Batch, titles: Sequence[str] = ()) -> "Image":
        """A tile for each molecule: balls in the colours of their elements, with bonds between them."""
        unknown = [None] * (x.shape[0] * x.shape[1])
        return molecule_grid(x, columns.get("text", unknown), titles, self.spec.units[0])


def turns(n: int, stream: torch.Generator) -> Float[Tensor, "n 3 3"]:
    """Rotations and reflections, uniform over all of them.

    Mezzadri 2007, How to generate random matrices from the classical compact groups.
    """
    q, r = torch.linalg.qr(torch.randn(n, 3, 3, generator=stream, dtype=torch.float64))
    made: Tensor = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]
    return made


@cache
def _molecules() -> tuple[tuple[str, ...], Float[Tensor, "molecules 3 points"]]:
    """The formula of each molecule, and the positions of its atoms in that order, about their mean, then zeros."""
    g2 = ase("collections").g2
    formulas, positions = [], []
    for name in g2.names:
        atoms = g2[name]
        if len(atoms) < 2:
            continue
        formula = hill("".join(atoms.symbols))
        elements = atoms_of(formula)
        order = sorted(range(len(atoms)), key=lambda i: elements.index(atoms.symbols[i]))
        x = torch.from_numpy(atoms.positions[order]).T
        formulas.append(formula)
        positions.append(torch.nn.functional.pad(x - x.mean(1, keepdim=True), (0, POINTS - len(atoms))))
    return tuple(formulas), torch.stack(positions)


def _spread(x: Float[Tensor, "n 3 points"], known: Bool[Tensor, "n points"]) -> float:
    """The standard deviation of the coordinates of all atoms."""
    return x.square().sum().div(3 * known.sum()).sqrt().item()


def _place(formula: str) -> int:
    """A number that depends on a formula alone, and on nothing that it means."""
    return int.from_bytes(blake2b(formula.encode(), digest_size=8).digest(), "big")
