"""Pictures of molecules."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.standard.data import cloud_grid
from diffkit_molecules.bonds import bonded, radii
from diffkit_molecules.formulas import ELEMENTS, kinds_of

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = {
    "H": (240, 240, 240), "C": (105, 105, 105), "N": (60, 90, 220), "O": (215, 40, 40), "F": (130, 200, 90),
    "P": (235, 140, 40), "S": (225, 195, 50), "Cl": (40, 170, 60), "Si": (205, 170, 140), "B": (240, 165, 160),
}  # fmt: skip
"""Those that chemists are used to (Corey, Pauling and Koltun)."""
METAL, UNKNOWN = (160, 120, 200), (150, 165, 185)
SIZE = 0.25, 0.3
"""A ball's radius: so many Angstrom, and so much of the covalent radius."""


def molecule_grid(
    x: Float[Tensor, "rows columns 3 n"], formulas: Sequence[str | None], titles: Sequence[str], unit: str
) -> "Image":
    """Balls in the colours of their elements, with bonds between them, one molecule a tile.

    `formulas` are those of the molecules, row by row; where there is none all atoms are alike, without bonds.
    """
    rows, columns, _, n = x.shape
    kinds = kinds_of(list(formulas), n)
    flat = x.reshape(-1, 3, n)
    palette = torch.tensor([UNKNOWN, *(COLOURS.get(element, METAL) for element in ELEMENTS)])
    known = (kinds > 0).any(1, keepdim=True)
    seen = flat.where((kinds > 0)[:, None] | ~known[:, None], torch.nan)
    size = SIZE[0] + SIZE[1] * radii()[kinds].where(known, 0.5)
    bonds = [[(i, j) for i, j in row.triu().nonzero().tolist()] for row in bonded(flat, kinds)]
    return cloud_grid(
        seen.reshape(x.shape),
        titles,
        unit,
        colours=palette[kinds].reshape(rows, columns, n, 3),
        radii=size.reshape(rows, columns, n),
        bonds=bonds,
    )
