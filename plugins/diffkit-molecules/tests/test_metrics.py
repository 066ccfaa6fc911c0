"""The metrics: exact values, and nothing changes them that changes no molecule."""

from typing import Any

import pytest
import torch
from torch import Tensor

from diffkit import DiffkitError
from diffkit.core import Data
from diffkit.testing import check_metric
from diffkit_molecules.bonds import bonded, connected, lengths, radii
from diffkit_molecules.data import Molecules, turns
from diffkit_molecules.formulas import ELEMENTS, atoms_of, kinds_of
from diffkit_molecules.metrics import BondLengths, SoundMolecules, wasserstein

BOTH = pytest.mark.parametrize("metric", [BondLengths, SoundMolecules])


@pytest.fixture(scope="module")
def data() -> Molecules:
    return Molecules()


def value(metric: Any, data: Data, x: Tensor, columns: dict[str, Any]) -> float:
    made = metric(data)
    made.update(x, columns)
    return float(made.compute())


def rough(data: Molecules) -> tuple[Tensor, dict[str, Any]]:
    """Held-out molecules whose atoms are off by 0.15 Angstrom."""
    rows = data.spec.own(data.reference("test"))
    return rows["x"] + 0.15 * torch.randn(rows["x"].shape, generator=torch.Generator().manual_seed(0)), rows


@BOTH
def test_the_metrics_keep_their_contracts(metric: Any, data: Molecules) -> None:
    check_metric(metric, data)


@BOTH
def test_moving_turning_and_mirroring_changes_nothing(metric: Any, data: Molecules) -> None:
    x, rows = rough(data)
    g = torch.Generator().manual_seed(1)
    moved = turns(len(x), g) @ x.double() + 5 * torch.randn(len(x), 3, 1, generator=g)
    assert value(metric, data, moved, rows) == pytest.approx(value(metric, data, x, rows), abs=1e-5)


@BOTH
def test_atoms_of_one_element_may_change_places(metric: Any, data: Molecules) -> None:
    x, rows = rough(data)
    mixed = x.clone()
    for row, text in enumerate(rows["text"]):
        atoms, places = atoms_of(text), torch.arange(14)
        for element in set(atoms):
            some = torch.tensor([i for i, e in enumerate(atoms) if e == element])
            places[some] = some.flip(0)
        mixed[row] = x[row][:, places]
    assert not torch.equal(mixed.nan_to_num(), x.nan_to_num())
    assert value(metric, data, mixed, rows) == pytest.approx(value(metric, data, x, rows), abs=1e-6)


@BOTH
def test_rougher_is_worse(metric: Any, data: Molecules) -> None:
    rows = data.spec.own(data.reference("test"))
    noise = torch.randn(rows["x"].shape, generator=torch.Generator().manual_seed(0))
    values = [value(metric, data, rows["x"] + size * noise, rows) for size in (0.0, 0.1, 0.3, 1.0)]
    assert values == sorted(values, reverse=metric is SoundMolecules) and values[0] != values[-1]


def test_all_real_molecules_are_sound(data: Molecules) -> None:
    for split in ("train", "test"):
        rows = data.spec.own(data.reference(split))  # type: ignore[arg-type]
        assert value(SoundMolecules, data, rows["x"], rows) == 1.0


WATER = torch.tensor([[0.0, 0.96, 0.0], [0.0, 0.0, 0.93], [0.0, 0.0, 0.0]])[:, [1, 2, 0]]
"""Two hydrogens and an oxygen."""


@pytest.mark.parametrize(
    ("change", "sound"),
    [
        (lambda x: x, True),
        (lambda x: x * torch.tensor([[1.0], [2.5], [1.0]]), False),  # a hydrogen is far away
        (lambda x: x[:, [2, 1, 0]], False),  # a hydrogen in the middle has two neighbours
        (lambda x: x * torch.tensor([[0.5], [1.0], [1.0]]), False),  # two atoms are in one place, nearly
    ],
    ids=["water", "apart", "swapped", "clash"],
)
def test_what_is_sound(change: Any, sound: bool, data: Molecules) -> None:
    x = torch.full((1, 3, 14), torch.nan)
    x[0, :, :3] = change(WATER)
    assert value(SoundMolecules, data, x, {"text": ["H2O"]}) == float(sound)


def test_bonds_are_as_long_as_they_are() -> None:
    x, kinds = WATER[None], kinds_of(["H2O"], 3)
    assert bonded(x, kinds)[0].tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    pair = (1, 1 + ELEMENTS.index("O"))
    found = lengths(x, kinds)
    assert list(found) == [pair]
    torch.testing.assert_close(found[pair].sort().values, torch.tensor([0.93, 0.96]).double(), rtol=0, atol=1e-6)
    assert connected(bonded(x, kinds), kinds).all()
    assert radii()[0] == 0 and radii()[1].item() == pytest.approx(0.31)


def test_bond_lengths_is_the_mean_shift_in_angstrom(data: Molecules) -> None:
    """Of diatomic molecules alone, each pair a hundredth longer than the training ones: what that is, and no more."""
    a = torch.tensor([1.0, 2.0, 3.0]).double()
    assert wasserstein(a, a + 0.01).item() == pytest.approx(0.01)
    assert wasserstein(a, a.repeat(2)).item() == pytest.approx(0.0)
    train = data.spec.own(data.reference("train"))
    assert value(BondLengths, data, train["x"], train) == 0.0


def test_bonds_that_no_sample_has_count_as_the_longest(data: Molecules) -> None:
    """Atoms that are all far apart: the share of each pair in held-out bonds times what its lengths fall short."""
    rows = data.spec.own(data.reference("test"))
    real, held = (lengths(*BondLengths(data).rows(split)) for split in ("train", "test"))  # type: ignore[arg-type]
    shares = {pair: len(found) for pair, found in held.items() if pair in real}
    short = sum(n * (1.3 * radii()[list(pair)].sum() - real[pair].mean()) for pair, n in shares.items())
    wanted = float(short) / sum(shares.values())
    assert value(BondLengths, data, 100 * rows["x"], rows) == pytest.approx(wanted, abs=1e-6)


@BOTH
def test_other_data_are_refused(metric: Any) -> None:
    from diffkit import create

    for other in ("digits", "moons"):
        with pytest.raises(DiffkitError, match="choose data=molecules"):
            metric(create("data", other, seed=0))
