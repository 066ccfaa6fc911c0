"""Bonds: which atoms are near enough to each other, by the covalent radii of their elements."""

from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diffkit_molecules.formulas import ELEMENTS, ase

BONDED = 1.3
"""Two atoms are bonded that are nearer than this times the sum of their radii.

In all molecules of the set it tells bonds (at most 1.25 of that sum) from other neighbours (at least 1.38).
"""
CLASH = 0.7
"""No two atoms are as near as this times the sum of their radii; in the set they are 0.77 apart or more."""


@cache
def radii() -> Float[Tensor, " kinds"]:
    """The covalent radius of each kind of atom in Angstrom, 0 for none. Cordero et al. 2008, from ase."""
    data = ase("data")
    known = [float(data.covalent_radii[data.atomic_numbers[element]]) for element in ELEMENTS]
    return torch.tensor([0.0, *known], dtype=torch.float64)


def distances(x: Float[Tensor, "b 3 n"], kinds: Int[Tensor, "b n"]) -> Float[Tensor, "b n n"]:
    """The distance of every two atoms over the sum of their radii; not finite where one of them is not there."""
    x, near = x.double(), radii()[kinds]
    there = (kinds > 0) & x.isfinite().all(1)
    points = x.nan_to_num(0.0).transpose(1, 2)
    ratio = torch.linalg.vector_norm(points[:, :, None] - points[:, None], dim=-1) / (near[:, :, None] + near[:, None])
    out = ~(there[:, :, None] & there[:, None]) | torch.eye(x.shape[2], dtype=torch.bool)
    found: Tensor = ratio.masked_fill(out, torch.inf)
    return found


def bonded(x: Float[Tensor, "b 3 n"], kinds: Int[Tensor, "b n"]) -> Bool[Tensor, "b n n"]:
    """Which two atoms are bonded: a symmetric matrix for each molecule."""
    return distances(x, kinds) < BONDED


def lengths(x: Float[Tensor, "b 3 n"], kinds: Int[Tensor, "b n"]) -> dict[tuple[int, int], Float[Tensor, " bonds"]]:
    """The lengths of all bonds in Angstrom, by the kinds of their two atoms, the lower one first."""
    ratio = distances(x, kinds)
    row, i, j = ((ratio < BONDED) & torch.ones_like(ratio, dtype=torch.bool).triu()).nonzero(as_tuple=True)
    a, b = kinds[row, i], kinds[row, j]
    length = ratio[row, i, j] * (radii()[a] + radii()[b])
    pairs = list(zip(torch.minimum(a, b).tolist(), torch.maximum(a, b).tolist(), strict=True))
    return {pair: length[torch.tensor([other == pair for other in pairs])] for pair in sorted(set(pairs))}


def connected(bonds: Bool[Tensor, "b n n"], kinds: Int[Tensor, "b n"]) -> Bool[Tensor, " b"]:
    """Whether bonds lead from the first atom of a molecule to all others."""
    there = kinds > 0
    reached = torch.zeros_like(there)
    reached[:, 0] = there[:, 0]
    for _ in range(kinds.shape[1]):
        reached = reached | (reached[:, :, None] & bonds).any(1)
    return there.any(1) & (reached | ~there).all(1)
