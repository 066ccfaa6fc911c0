"""A saved run draws the same samples however often it is stopped, and on however many devices."""

import sys

import forks
import numpy as np
import pytest
import small
import torch
from PIL import Image

from diffkit.compose.build import create
from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.generate import Sampling, generate
from diffkit.run.predictor import Predictor
from diffkit.run.sample import sample
from diffkit.run.saved import open_run
from diffkit.run.shards import Shards, write_npz


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small.run_folder(tmp_path_factory.mktemp("runs") / "text")


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The samples of a run that nothing disturbed."""
    return sample(asked(run, out=str(tmp_path_factory.mktemp("whole"))))


def asked(run, **values):
    return small.asked(run, **{"prompt": ["a three", "four"], "n": 5, "batch_size": 3, "seed": 7, **values})


def stop_after(monkeypatch, batches):
    """Fail in the batch after these."""
    real = Predictor.predict_step

    def step(self, batch, batch_idx):
        if batch_idx >= batches:
            raise KeyboardInterrupt
        return real(self, batch, batch_idx)

    monkeypatch.setattr(Predictor, "predict_step", step)


def interrupted(run, out, monkeypatch, batches=2):
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        stop_after(patch, batches)
        sample(asked(run, out=str(out)))


def test_what_a_run_leaves(run, whole):
    assert sorted(p.name for p in whole.iterdir()) == [
        "film.gif",
        "grid.png",
        "samples.npz",
        "samples.yaml",
        "strip.png",
    ]
    with np.load(whole / "samples.npz", allow_pickle=False) as file:
        columns = dict(file)
    assert columns["id"].tolist() == list(range(10)) and set(columns["seed"]) == {7}
    assert columns["text"].tolist() == ["a three"] * 5 + ["four"] * 5
    saved = open_run(run)
    chosen = Sampling(
        create("sampler", "ddim"), create("grid", "uniform", steps=3), [create("guidance", "cfg", scale=2.0)]
    )
    expected = generate(saved.model, saved.spec, chosen, {"text": columns["text"].tolist()}, range(10), 7)
    torch.testing.assert_close(torch.from_numpy(columns["x"]), expected, rtol=0, atol=1e-3)
    for name in ("grid.png", "strip.png"):
        assert min(size(whole / name)) > 80


def size(path):
    with Image.open(path) as picture:
        return picture.size


def test_the_runs_own_folder_is_the_default(run):
    assert sample(asked(run, n=1)) == run.resolve() / "samples"
    assert (run / "samples" / "grid.png").is_file()


def test_an_interrupted_run_continues_to_the_same_bytes(run, whole, tmp_path, monkeypatch):
    interrupted(run, tmp_path, monkeypatch)
    (folder,) = (tmp_path / "unfinished").iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["000000000.npz", "000000003.npz"]
    assert not (tmp_path / "samples.npz").exists()
    drawn = []
    real = Predictor.predict_step

    def count(self, batch, batch_idx):
        drawn.append(int(batch["id"][0]))
        return real(self, batch, batch_idx)

    monkeypatch.setattr(Predictor, "predict_step", count)
    sample(asked(run, out=str(tmp_path)))
    assert drawn == [6, 9]
    assert_same(tmp_path, whole)
    assert not (tmp_path / "unfinished").exists()


def test_a_run_that_lost_only_its_end_continues(run, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(RunFailed):
        patch.setattr(Shards, "merge", lambda *_: (_ for _ in ()).throw(RunFailed("killed")))
        sample(asked(run, out=str(tmp_path)))
    monkeypatch.setattr(Predictor, "predict_step", lambda *_: pytest.fail("all batches are there already"))
    sample(asked(run, out=str(tmp_path)))
    assert_same(tmp_path, whole)


def test_a_damaged_batch_is_drawn_again(run, whole, tmp_path, monkeypatch):
    interrupted(run, tmp_path, monkeypatch)
    (folder,) = (tmp_path / "unfinished").iterdir()
    shard = folder / "000000003.npz"
    shard.write_bytes(shard.read_bytes()[:-40])
    sample(asked(run, out=str(tmp_path)))
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("other", [{"seed": 8}, {"prompt": ["a three", "five"]}, {"sampler": {"_part_": "heun"}}])
def test_other_settings_start_afresh(run, tmp_path, monkeypatch, other):
    interrupted(run, tmp_path / "a", monkeypatch)
    fresh = sample(asked(run, out=str(tmp_path / "b"), **other))
    assert_same(sample(asked(run, out=str(tmp_path / "a"), **other)), fresh)


def test_two_devices_continue_what_one_began_and_end_with_the_same_bytes(run, whole, tmp_path, monkeypatch):
    interrupted(run, tmp_path, monkeypatch, batches=1)
    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport pytest\nimport small\nfrom diffkit.run.sample import sample\n"
        "from trust.devices import forked\nforked(pytest.MonkeyPatch())\n"
        "trainer = {'_target_': 'lightning.pytorch.Trainer', 'accelerator': 'cpu', 'devices': 2, 'strategy': 'ddp'}\n"
        "values = dict(prompt=['a three', 'four'], n=5, batch_size=3, seed=7, out=sys.argv[2], trainer=trainer)\n"
        "sample(small.asked(Path(sys.argv[1]), **values))\n"
    )
    done = forks.run([script, run, tmp_path], env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path, whole)


def assert_same(a, b):
    for name in ("samples.npz", "grid.png", "strip.png", "film.gif", "samples.yaml"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"label": 3, "prompt": None}, "trained with text alone"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"out": "/proc/nowhere"}, "cannot write in /proc/nowhere"),
        ({"grid": {"_part_": "uniform", "steps": 0}}, "grid.steps=0"),
        ({"guidance": {}, "negative": "four"}, "does nothing without guidance"),
    ],
)
def test_mistakes_are_said_before_any_work(run, tmp_path, monkeypatch, values, message):
    monkeypatch.setattr(Predictor, "__init__", lambda *_: pytest.fail("work began"))
    with pytest.raises(DiffkitError, match=message):
        sample(asked(run, **{"out": str(tmp_path), **values}))


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(DiffkitError, match="does not exist"):
        sample(asked(tmp_path / "none"))


def test_points_get_one_panel_for_each_label(tmp_path):
    run = small.run_folder(tmp_path / "moons", "class", "moons")
    out = sample(small.asked(run, label=[0, 1], n=20, batch_size=64))
    with np.load(out / "samples.npz") as file:
        assert file["x"].shape == (40, 2) and file["label"].tolist() == [0] * 20 + [1] * 20
    assert size(out / "strip.png")[0] > 400


def test_a_missing_batch_is_named(tmp_path):
    shards = Shards.of(tmp_path, {"seed": 0})
    shards.write(0, {"x": np.zeros((2, 1)), "id": np.arange(2)})
    assert shards.has(0, 2) and not shards.has(0, 3) and not shards.has(2, 2)
    with pytest.raises(RunFailed, match="id 2 on are missing"):
        shards.merge({0: 2, 2: 2}, tmp_path / "samples.npz", {})


def test_the_bytes_of_a_file_depend_on_its_content_alone(tmp_path, monkeypatch):
    columns = {"x": np.arange(3.0), "text": np.array(["a", "bc", ""])}
    write_npz(tmp_path / "a.npz", columns)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_npz(tmp_path / "b.npz", columns)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_pictures_go_to_a_logger_that_was_asked_for(run, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    sample(asked(run, out=str(tmp_path), logger={"wandb": {"_target_": "diffkit.run.logging.Wandb"}}))
    shown = sorted(p.name.split("_")[0] for p in tmp_path.glob("wandb/offline-run-*/files/media/images/*.png"))
    assert shown == ["grid", "strip"]
    (clip,) = tmp_path.glob("wandb/offline-run-*/files/media/videos/*.gif")
    assert clip.read_bytes() == (tmp_path / "film.gif").read_bytes()
