"""Folders and files of data that cannot be used, found before and while a run reads them."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import forks
import numpy as np
import pytest
from PIL import Image

from trust.command import diffkit, refused, tiny
from trust.faulty import FAULTS, LINKS
from trust.mutation import mutation
from trust.row import Trial, expect, row
from trust.trained import trained

SIDE = 4
PLACES: tuple[tuple[str, str], ...] = (
    ("image_folder data.folder=gone", "gone does not exist"),
    ("image_folder data.folder=empty", "empty holds no picture (.bmp"),
    ("webdataset data.shards=empty/part-*.tar", "empty/part-*.tar"),
    ("image_folder data.folder=looped", "looped/loop is a link to a folder that it is in"),
    ("table data.file=empty/gone.csv", "empty/gone.csv"),
    ("image_folder data.folder=closed", "the folder closed cannot be read: Permission denied"),
)
"""Data that are not there, and what is said of them."""


@row(
    "D1",
    fault="data in an empty, missing, forbidden or looped folder, or under a pattern that fits nothing",
    required="exit 2 with the path and what was looked for, within 5 s",
    bare="not measured",
    full=12,
    small=3,
)
def no_data(trial: Trial) -> None:
    for name in ("empty", "looped", "closed"):
        (trial.folder / name).mkdir()
    (trial.folder / "looped" / "loop").symlink_to(trial.folder / "looped")
    what, words = trial.pick(PLACES)
    with forbidden(trial.folder / "closed") as inject:
        forks.run(["-c", ""], cwd=trial.folder)  # what it loads once is not what is timed
        start = perf_counter()
        done = diffkit("train", *tiny("conditioner=[]", *f"data={what}".split()), cwd=trial.folder, inject=inject)
    trial.figure("slowest s", perf_counter() - start)
    refused(done, words)
    expect(not (trial.folder / "runs").exists(), "a run's folder was made")


@contextmanager
def forbidden(folder: Path) -> Iterator[list[str]]:
    """Nobody but root may read a folder within it, and the command is given up root's rights by what it yields."""
    folder.chmod(0)
    try:
        yield ["trust.data:without_rights"] if os.geteuid() == 0 else []
    finally:
        folder.chmod(0o700)


def without_rights(patch: pytest.MonkeyPatch) -> None:
    """Refuse what root may read and others may not, as the system does for them."""
    scan = os.scandir

    def scandir(path: Any = ".") -> Any:
        if not isinstance(path, int) and not os.stat(path).st_mode & 0o444:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    patch.setattr(os, "scandir", scandir)


@mutation("a folder without pictures is data of no rows", "D1", said="is not in")
def nothing_is_data(patch: pytest.MonkeyPatch) -> None:
    from diffkit.standard.data import tree

    def read(folder: Path, held_out: float) -> Any:
        names = {"train": tree.Packed([]), "test": tree.Packed([])}
        return tree.Tree(names, (), {split: np.zeros(0, dtype=np.int32) for split in names}, False)  # type: ignore[arg-type]

    patch.setattr("diffkit.standard.data.image_folder.read_tree", read)


GOOD = 300


@cache
def good() -> Path:
    """A folder of pictures without fault, in this process's own place."""
    import atexit
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="diffkit-trust-good-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    dice = np.random.default_rng(0)
    for i in range(GOOD):
        Image.fromarray(dice.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / f"{i:03}.png")
    return folder


def pictures(folder: Path) -> Path:
    """A folder with the good ones in its `train` and two of them in its `test`."""
    for split in ("train", "test"):
        (folder / "set" / split).mkdir(parents=True)
    (folder / "set" / "train" / "good").symlink_to(good())
    for name in ("000.png", "001.png"):
        shutil.copy(good() / name, folder / "set" / "test" / name)
    return folder / "set" / "train"


def put(name: str, folder: Path) -> Path:
    """A faulty file of this name in a folder."""
    file = folder / name
    file.symlink_to(LINKS[name]) if name in LINKS else file.write_bytes(FAULTS[name][0])
    return file


def run(folder: Path, policy: str) -> tuple[int, str, Path]:
    """Train one epoch on what is in `set`: exit status, error, the run's folder."""
    from diffkit.core.errors import DiffkitError, DiffkitWarning

    data = ("data=image_folder", "data.folder=set", f"data.resolution={SIDE}", "data.workers=0", "data.batch_size=32")
    more = ("conditioner=[]", "trainer.max_steps=10", "callbacks.saving.every=5", "out=run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiffkitWarning)  # of what was skipped
        try:
            return 0, "", trained(*data, f"data.on_bad={policy}", *more, cwd=folder)
        except DiffkitError as error:
            return error.status, str(error), folder / "run"


@row(
    "D2",
    fault="corrupt, truncated, empty files, web pages, bombs and dead links among 300 good pictures",
    required="error: exit 2 with the file's name; skip: counted and listed, and an end above 1 %; a scan finds them",
    bare="4/12 errors name the file",
    full=3 * (len(FAULTS) + len(LINKS)),
    small=3,
)
def bad_files(trial: Trial) -> None:
    folder = pictures(trial.folder)
    name = (*FAULTS, *LINKS)[trial.number // 3 % (len(FAULTS) + len(LINKS))]
    policy = trial.pick(("error", "skip", "many"))
    files = [put(name, folder)]
    if policy == "many":
        for i in range(5):
            files.append(folder / f"{i}-{name}")
            shutil.copy(files[0], files[-1], follow_symlinks=False)
    status, said, where = run(trial.folder, policy.replace("many", "skip"))
    if policy == "skip":
        expect(status == 0, f"status {status}: {said}")
        listed = [json.loads(line) for line in (where / "bad_samples.jsonl").read_text().splitlines()]
        expect([bad["file"] for bad in listed] == [f"set/train/{name}"], f"it was not listed: {listed}")
    else:
        expect(status == 2, f"status {status}, not 2: {said}")
        expect(name in said, f"the file was not named: {said}")
        expect(policy == "error" or "more than the 1%" in said, f"it was not said why: {said}")
    found = scanned(trial.folder)
    expect(sorted(found) == sorted(f"set/train/{file.name}" for file in files), f"the scan found {found}")


def scanned(folder: Path) -> list[str]:
    """What a scan of `set` finds."""
    from diffkit.standard.data.image_folder import ImageFolder

    before = Path.cwd()
    os.chdir(folder)
    try:
        return [bad.place for bad in ImageFolder("set", resolution=SIDE, workers=0).scan() if bad is not None]
    finally:
        os.chdir(before)


@mutation("what Pillow makes of the beginning of a file is a picture", "D2", said="status 0, not 2")
def truncated_pictures(patch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    from diffkit.standard.data import pixels

    patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    patch.setattr(pixels, "_check_parts", lambda content: None)


def gone(file: Path) -> None:
    """Delete it."""
    file.unlink()


def changed(file: Path) -> None:
    """Put a web page in its place."""
    file.write_bytes(b"<html>404 Not Found</html>")


def folded(file: Path) -> None:
    """Put a folder in its place, which cannot be read as a file."""
    file.unlink()
    file.mkdir()


def cut(file: Path) -> None:
    """Leave its first half."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


CHANGES: tuple[Callable[[Path], None], ...] = (gone, changed, folded, cut)


@row(
    "D6",
    fault="a file that is deleted, changed or made unreadable while it is trained on",
    required="what is set for bad files: an error with its name, or it is skipped and listed; never a hang",
    bare="not measured",
    full=16,
    small=8,
)
def files_that_change(trial: Trial) -> None:
    from diffkit import DiffkitError
    from diffkit.core.bad import BadSamples
    from diffkit.standard.data.image_folder import ImageFolder

    folder, policy = pictures(trial.folder), "error" if trial.number // len(CHANGES) % 2 else "skip"
    file = folder / "late.png"
    shutil.copy(good() / "007.png", file)
    workers = trial.number // 8  # with processes that read ahead in the second half of the full trials
    bad = BadSamples(policy, GOOD + 3)  # type: ignore[arg-type]
    data = ImageFolder(str(trial.folder / "set"), resolution=SIDE, batch_size=32, workers=workers, on_bad=policy)  # type: ignore[arg-type]
    data.__dict__["_bad"] = bad
    stream = iter(data.train_dataloader())
    next(stream)
    trial.pick(CHANGES)(file)
    epoch = -(-(GOOD + 1) // 32)
    try:
        batches = list(islice(stream, 2 * epoch))
    except DiffkitError as error:
        expect(policy == "error" and error.status == 2, f"it was not skipped: {error}")
        expect("late.png" in str(error), f"the file was not named: {error}")
    else:
        expect(policy == "skip", "nothing was said")
        expect(all(len(batch["x"]) == 32 for batch in batches), "a batch is short")
        expect(any("late.png" in place for place in bad.known), f"it was not counted: {bad.known}")


@mutation("a file that cannot be read is black", "D6", said="it was not counted")
def black_pictures(patch: pytest.MonkeyPatch) -> None:
    import torch

    from diffkit.core.bad import BadSample
    from diffkit.standard.data.image_folder import ImageFolder

    load = ImageFolder.load

    def loaded(self: Any, split: Any, number: int) -> Any:
        try:
            return load(self, split, number)
        except BadSample:
            return {"x": torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)}

    patch.setattr(ImageFolder, "load", loaded)
