from pathlib import Path

import forks
import numpy as np
import pytest
import torch

from diffkit import DiffkitError
from diffkit.run import bundle
from diffkit.run.checkpoint import Checkpoints, newest
from diffkit.run.folder import RunFolder

from .conftest import TINY, Run


def test_what_a_run_leaves_behind(run: Run) -> None:
    folder = run()
    assert RunFolder.resolve("last").path == folder
    expected = ["bundle/config.yaml", "bundle/model.safetensors", "checkpoints/last.ckpt", "checkpoints/previous.ckpt"]
    expected += ["config.yaml", "metrics.csv"]
    expected += [f"samples/{name}" for name in ("film.gif", "grid.png", "samples.npz", "strip.png")]
    expected += ["status.json"]
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == expected
    config = RunFolder(folder).read_config()
    assert config["name"] == "moons" and config["trainer"]["precision"] in ("bf16-mixed", "32-true")
    assert config["diffkit"]["data"]["rows"] > 0 and len(config["diffkit"]["data"]["sha256"]) == 64
    with np.load(folder / "samples" / "samples.npz") as file:
        assert file["x"].shape == (4, 2) and file["id"].tolist() == [0, 1, 2, 3] and set(file["seed"]) == {0}
        assert file["label"].tolist() == [0, 1, 0, 1]


def test_the_bundle_has_the_averaged_weights(run: Run) -> None:
    folder = run()
    state = Checkpoints().load_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]
    model = bundle.load(folder).model.state_dict()
    assert all(torch.equal(model[name], state[f"ema.{name}"]) for name in model)
    assert any(not torch.equal(model[name], state[f"model.{name}"]) for name in model)


def test_the_same_run_twice_has_the_same_bits(run: Run) -> None:
    a, b = (bundle.load(run(f"out={name}")).config["diffkit"]["sha256"] for name in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("trainer.strategy=nosuch",), "trainer"),
        (("trainer.max_steps=-1", "trainer.max_time=00:00:00:01"), "task.decay=linear needs"),
        (("condition_dropout=[0.1,0.2]",), "2 numbers"),
    ],
)
def test_a_mistake_leaves_no_folder(run: Run, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(DiffkitError, match=message):
        run(*overrides)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_time_ends_a_run_and_its_last_state_is_saved(run: Run) -> None:
    more = ("task.decay=constant", "trainer.max_steps=-1", "trainer.max_time=00:00:00:01", "callbacks.figures.every=1")
    folder = run(*more, "callbacks.saving.every=1000000")
    logged = [int(line.partition(",")[0]) for line in (folder / "metrics.csv").read_text().splitlines()[1:]]
    assert newest(folder / "checkpoints").step == max(logged) > 0


def test_two_processes_share_each_batch(run: Run) -> None:
    """DDP with gloo: the same rows, times and noise as on one device, so the same weights but for rounding."""
    alone = run("out=one", "trainer.precision=32-true", "trainer.accelerator=cpu")
    choices = ("out=two", "trainer.precision=32-true", "trainer.accelerator=cpu")
    command = ["-m", "diffkit.cli", "train", *TINY, *choices, "trainer.strategy=ddp", "trainer.devices=2"]
    done = forks.run(command)  # which starts the other one
    assert done.returncode == 0, done.stderr
    one, two = bundle.load(alone).model.state_dict(), bundle.load("two").model.state_dict()
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    assert [line.partition(",")[0] for line in Path("two/metrics.csv").read_text().splitlines()] == [
        "step",
        "2",
        "4",
        "6",
        "8",
    ]


def test_a_metric_of_the_model_itself_is_refused_before_training(run: Run) -> None:
    with pytest.raises(DiffkitError, match="metric=likelihood measures a model and no samples: use diffkit evaluate"):
        run("metric=[likelihood]")
    assert not list(Path.cwd().glob("runs/*"))
