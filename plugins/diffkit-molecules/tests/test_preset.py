"""The preset: it trains, and its model draws what any formula says; atoms of one element may change places."""

import sys
from contextlib import chdir
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

import diffkit
from diffkit_molecules.data import LICENCE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preset")
    short = "data.batch_size=4 denoiser.width=8 denoiser.depth=1 trainer.max_steps=1 samples=2 metric=[] logger=[]"
    train = ["diffkit", "train", "experiment=molecules", *short.split(), "grid.steps=2", "out=run"]
    (script,) = entry_points(group="console_scripts", name="diffkit")
    with chdir(folder), pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", train)
        sys.exit(script.load()())
    assert not ended.value.code
    return folder / "run"


def test_the_licence_goes_with_what_it_makes(run: Path) -> None:
    for config in ("config.yaml", "bundle/config.yaml"):
        assert LICENCE in " ".join((run / config).read_text(encoding="utf-8").split())
    assert all((run / "samples" / name).is_file() for name in ("grid.png", "strip.png", "film.gif"))


def test_any_formula_is_drawn_with_its_atoms_about_their_middle(run: Path) -> None:
    drawn = diffkit.load(run).sample(text=["CH3CH2OH", "C2H5F", "HCl"])
    assert drawn.x.isfinite().all(1).sum(1).tolist() == [9, 8, 2]
    assert drawn.x.nanmean(2).abs().max() < 1e-5
    with pytest.raises(diffkit.DiffkitError, match="U is none of the elements"):
        diffkit.load(run).sample(text="UF6")
    with pytest.raises(diffkit.DiffkitError, match="Atoms reads off a prompt how many points a sample has"):
        diffkit.load(run).sample(n=2)


def test_atoms_of_an_element_are_interchangeable(run: Path) -> None:
    """Hydrogens of water that change places in x_t change places in x_0; a hydrogen and the oxygen do not."""
    model = diffkit.load(run).model
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in model.parameters():  # far from the zeros that networks start with
            parameter.add_(0.3 * torch.randn_like(parameter))
        x, t = torch.randn(1, 3, 14), torch.tensor(0.5, dtype=torch.float64)
        water = model.conditioners({"text": ["H2O"]}, 1)
        x_0 = model.denoise(x, t, water)
        for places, alike in (([1, 0, 2], True), ([2, 1, 0], False)):
            index = torch.tensor([*places, *range(3, 14)])
            off = (model.denoise(x[:, :, index], t, water) - x_0[:, :, index]).abs()[:, :, :3].max()
            assert (off < 1e-4) == alike
