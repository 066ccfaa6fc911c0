"""What drawn molecules are worth: the lengths of their bonds, and whether they are molecules at all."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from diffkit import DiffkitError
from diffkit.core import Batch, Data, SampleMetric
from diffkit_molecules.bonds import BONDED, CLASH, bonded, connected, distances, lengths, radii
from diffkit_molecules.formulas import kinds_of


class _OfMolecules(Metric, SampleMetric):
    """Keeps the samples and the elements that they were asked with."""

    real: ClassVar[Literal["train", "test"]] = "test"
    conditional: ClassVar[bool] = True
    x: list[Tensor]
    kinds: list[Tensor]

    def __init__(self, data: Data) -> None:
        super().__init__()
        spec = data.spec
        try:
            if len(spec.shape) != 2 or spec.shape[0] != 3 or "text" not in spec.conditions:
                raise DiffkitError(f"data of {spec.shape} with {', '.join(spec.conditions) or 'no columns'}")
            kinds_of(data.reference("test")["text"], spec.shape[1])
        except DiffkitError as error:
            raise DiffkitError(f"it is for molecules with formulas, choose data=molecules: {error}") from error
        self.data = data
        self.add_state("x", [], dist_reduce_fx="cat")
        self.add_state("kinds", [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, "b 3 n"], columns: Batch) -> None:
        """Take in samples, and their formulas."""
        self.x.append(x.double().cpu())
        self.kinds.append(kinds_of(columns["text"], x.shape[2]))

    def rows(self, split: Literal["train", "test"]) -> tuple[Float[Tensor, "b 3 n"], Int[Tensor, "b n"]]:
        """Real molecules in Angstrom."""
        rows = self.data.reference(split)
        return self.data.spec.restore(rows["x"]).double(), kinds_of(rows["text"], rows["x"].shape[2])


class BondLengths(_OfMolecules):
    r"""The Wasserstein distance of the samples' bond lengths to those of training molecules, in Angstrom.

    $$ \sum_{ab} w_{ab} \int_0^1 |F_{ab}^{-1}(p) - G_{ab}^{-1}(p)| \, dp $$

    over pairs of elements that are bonded in training molecules and in held-out ones, of which w is the share of bonds.
    A bond is any distance below 1.3 times the sum of the covalent radii; a pair that no sample has bonded counts as at
    that distance. The value to compare with is that of the held-out molecules, whose formulas the samples have.
    """

    higher_is_better = False

    def compute(self) -> Float[Tensor, ""]:
        """The distance, 0 or more."""
        drawn, real = lengths(torch.cat(self.x), torch.cat(self.kinds)), lengths(*self.rows("train"))
        share = {pair: len(found) for pair, found in lengths(*self.rows("test")).items() if pair in real}
        total = torch.zeros((), dtype=torch.float64)
        for pair, bonds in share.items():
            apart = BONDED * radii()[list(pair)].sum().reshape(1)
            total = total + bonds * wasserstein(drawn.get(pair, apart), real[pair])
        return total / sum(share.values())


class SoundMolecules(_OfMolecules):
    """The share of samples that are molecules, 0 to 1.

    Those are connected by bonds, without two atoms nearer than 0.7 times the sum of their covalent radii; and each atom
    has a number of neighbours that its element has in some real molecule: so all of those are.
    """

    higher_is_better = True

    def compute(self) -> Float[Tensor, ""]:
        """The share."""
        x, kinds = torch.cat(self.x), torch.cat(self.kinds)
        bonds = bonded(x, kinds)
        allowed = _neighbours(*self.rows("train")) | _neighbours(*self.rows("test"))
        usual = (allowed[kinds, bonds.sum(2)] | (kinds == 0)).all(1)
        apart = (distances(x, kinds) > CLASH).flatten(1).all(1)
        return (connected(bonds, kinds) & usual & apart).double().mean()


def _neighbours(x: Float[Tensor, "b 3 n"], kinds: Int[Tensor, "b n"]) -> Bool[Tensor, "kinds n"]:
    """Which numbers of neighbours the atoms of each kind have."""
    seen = torch.zeros(len(radii()), kinds.shape[1], dtype=torch.bool)
    seen[kinds, bonded(x, kinds).sum(2)] = True
    return seen


def wasserstein(a: Float[Tensor, " n"], b: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """The distance of order 1 of two sets of numbers: the area between their distribution functions."""
    from scipy.stats import wasserstein_distance

    return torch.tensor(wasserstein_distance(a.numpy(), b.numpy()), dtype=torch.float64)
