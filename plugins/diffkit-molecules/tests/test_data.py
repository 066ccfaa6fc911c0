"""The data: their contracts, ase's geometry, the split; and turns that are uniform and change nothing else."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from ase.collections import g2
from PIL import Image

from diffkit.testing import check_data
from diffkit_molecules.data import LICENCE, POINTS, Molecules, turns
from diffkit_molecules.formulas import ELEMENTS, atoms_of, kinds_of

SPLITS: tuple[Any, Any] = ("train", "test")


def pairwise(x: torch.Tensor) -> torch.Tensor:
    """The distances of all points of each molecule (b, 3, n), smallest first."""
    return torch.cdist(x.transpose(1, 2), x.transpose(1, 2)).flatten(1).sort(1).values


@pytest.mark.parametrize("rotate", [True, False])
def test_the_data_keep_their_contracts(rotate: bool) -> None:
    check_data(lambda seed: Molecules(rotate=rotate, seed=seed))


def test_every_molecule_of_two_atoms_or_more_is_there_in_angstrom() -> None:
    data = Molecules()
    found = []
    for split in SPLITS:
        rows = data.spec.own(data.reference(split))
        for x, text in zip(rows["x"], rows["text"], strict=True):
            n = len(atoms_of(text))
            assert x[:, n:].isnan().all() and x[:, :n].mean(1).abs().max() < 1e-5
            found.append((sorted(atoms_of(text)), pairwise(x[None, :, :n])[0].double()))
    wanted = [g2[name] for name in g2.names if len(g2[name]) > 1]
    assert len(found) == len(wanted) == 148
    for molecule in wanted:
        distances = torch.from_numpy(np.sort(molecule.get_all_distances().ravel()))
        elements = sorted(molecule.symbols)
        assert any(e == elements and (d - distances).abs().max() < 2e-3 for e, d in found), molecule


def test_points_are_of_the_elements_that_the_formula_says_in_its_order() -> None:
    """Bonds to hydrogen are the shortest: from each hydrogen of ethane 1.09 Angstrom to a carbon."""
    data = Molecules()
    rows = data.spec.own(data.reference("test"))
    x = rows["x"][rows["text"].index("C2H6")]
    near = torch.cdist(x[:, :2].T, x[:, 2:8].T).min(0).values
    torch.testing.assert_close(near, torch.full((6,), 1.09), rtol=0, atol=0.01)


def test_no_formula_is_in_both_splits_and_the_elements_are_those_said() -> None:
    train, test = (Molecules().reference(split)["text"] for split in SPLITS)
    assert not set(train) & set(test)
    assert (len(train), len(test)) == (123, 25)
    assert {element for text in (*train, *test) for element in atoms_of(text)} == set(ELEMENTS)


def test_turns_are_uniform_over_rotations_and_reflections() -> None:
    """Haar's moments: E R = 0, E R_ij R_kl = 1/3 if ij = kl; half of the determinants are -1.

    A rotation's trace is 1 + 2 cos of an angle with the density (1 - cos) / pi, so that its mean is 0 and its mean
    square 1; that of its square has the mean 1.
    """
    r = turns(40_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(r @ r.transpose(1, 2), torch.eye(3, dtype=r.dtype).expand_as(r))
    flat = r.flatten(1)
    assert flat.mean(0).abs().max() < 0.015
    torch.testing.assert_close(flat.T @ flat / len(flat), torch.eye(9, dtype=r.dtype) / 3, rtol=0, atol=0.015)
    sign = torch.linalg.det(r)
    assert (sign.abs() - 1).abs().max() < 1e-9 and sign.mean().abs() < 0.02
    trace = (r * sign[:, None, None]).diagonal(dim1=1, dim2=2).sum(1)  # of a rotation
    assert trace.mean().abs() < 0.02 and abs(trace.square().mean() - 1) < 0.03
    angle = ((trace - 1) / 2).clamp(-1, 1).arccos()
    for share in (0.25, 0.5, 0.75):  # of angles below a: (a - sin a) / pi
        at = angle.quantile(share)
        assert abs((at - at.sin()) / torch.pi - share) < 0.01


def test_rows_are_turned_as_wholes_anew_each_step_and_as_the_seed_says() -> None:
    plain, turned, again = (
        list(islice(iter(Molecules(rotate=r, batch_size=32, seed=1).train_dataloader()), 4))
        for r in (False, True, True)
    )
    for a, b, c in zip(plain, turned, again, strict=True):
        assert a["text"] == b["text"] and torch.equal(b["x"], c["x"])
        assert (a["x"] - b["x"]).abs().max() > 0.5
        torch.testing.assert_close(pairwise(a["x"]), pairwise(b["x"]), rtol=0, atol=3e-3)
        assert torch.equal(a["known"], b["known"]) and not b["x"][~b["known"]].any()
    # the first molecule of all, wherever it is seen again, is turned otherwise
    assert (turned[0]["x"][:2] - plain[0]["x"][:2]).abs().flatten(1).amax(1).min() > 1e-3


def colours(picture: Image.Image) -> set[str]:
    """Which of red (oxygen) and blue (nitrogen) a picture has."""
    pixels = np.asarray(picture.convert("RGB")).astype(int).reshape(-1, 3)
    red, blue = pixels[:, 0] - pixels[:, 1:].max(1), pixels[:, 2] - pixels[:, :2].max(1)
    return {name for name, more in (("red", red), ("blue", blue)) if more.max() > 60}


def test_atoms_are_drawn_in_the_colours_of_their_elements() -> None:
    data = Molecules()
    rows = data.spec.own(data.reference("train"))
    for text, wanted in (("H2O", {"red"}), ("H3N", {"blue"}), ("NO2", {"red", "blue"}), ("CH4", set())):
        x = rows["x"][rows["text"].index(text)][None, None]
        assert colours(data.depict(x, {"text": [text]}, [text])) == wanted
        assert not colours(data.depict(x, {}))
    assert not colours(data.draw(x))


def test_the_licence_says_where_they_come_from() -> None:
    assert Molecules().spec.licence == LICENCE
    assert all(word in LICENCE for word in ("LGPL", "ase", "Curtiss", "1997"))
    assert kinds_of(["H2O"], POINTS).shape == (1, POINTS)
