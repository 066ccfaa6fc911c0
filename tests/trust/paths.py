"""Names that are paths: what is written stays in the run's folder."""

import io
import os
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row
from trust.targets import edited, refused
from trust.trained import trained

NAMES = (
    "../escaped", "../../escaped", "/tmp/diffkit-trust-escaped", "a/../../escaped", "a/b", "..", ".", "...", " ",
    "nul\0byte", "two\nlines", "tab\tand\rreturn", "x" * 300, "é" * 200, "CON", "NUL.txt", "aux", "COM1", "a:b", "x.",
    "..\\..\\escaped", "C:\\escaped", "\\\\host\\share", "%2e%2e%2fescaped", "file:///tmp/diffkit-trust-escaped",
    "~/escaped", "$HOME/escaped", "-rf", "\u202egnp.exe", "\u05de\u05d1\u05d7\u05df", "*?<>|", ".hidden",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_seen: list[list[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    path: Any = None
    if not _seen:
        return
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        path = arguments[0]
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"):
        path = None if isinstance(arguments[-1], int) and arguments[-1] >= 0 and event != "os.mkdir" else arguments[0]
    elif event in ("os.rename", "os.symlink", "os.link"):
        path = arguments[1]
    if isinstance(path, str | bytes | os.PathLike):  # else a file that is open, or below a folder that is
        _seen[-1].append(os.path.abspath(os.fsdecode(path)))


@contextmanager
def _within(folder: Path, allowed: Path) -> Iterator[None]:
    """Raises `Fault` for what is written below `folder`, or anywhere but among caches, and is not in `allowed`."""
    if _note not in _hooks:
        _hooks.append(_note)
        sys.addaudithook(_note)
    caches = (str(Path.home()), sys.prefix, os.devnull, "/dev/", f"{tempfile.gettempdir()}/tmp")
    _seen.append([])
    try:
        yield
        places = [path for path in _seen[-1] if "__pycache__" not in path and not path.startswith(caches)]
    finally:
        _seen.pop()
    out = [path for path in places if not Path(path).is_relative_to(allowed)]
    expect(not out, f"written outside: {out}")
    expect(not list(folder.glob("escaped*")) and not list(Path("/tmp").glob("diffkit-trust-escaped*")), "it escaped")


_hooks: list[Any] = []


def _run(trial: Trial, work: Path) -> None:
    """A run's name, group and tags."""
    from diffkit import DiffkitError
    from diffkit.run.folder import RunFolder

    runs = work / "runs"
    name = NAMES[trial.number // len(WAYS) % len(NAMES)]
    with _within(trial.folder, runs):
        for each in NAMES:
            made = RunFolder.create(each, root=runs).path
            expect(made.parent == runs and made.is_dir(), f"{each!r} became {made}")
        try:
            folder = trained("trainer.max_steps=1", cwd=work, parts={"name": name, "group": name, "tags": [*NAMES]})
        except DiffkitError as error:
            raise Fault(f"{name!r} was refused: {error}") from error
    expect(folder.resolve().parent == runs.resolve(), f"{name!r} became {folder}")


def _samples(trial: Trial, work: Path) -> None:
    """Prompts of a sample."""
    import small

    from diffkit.run.sample import sample

    run = small.run_folder(work / "run", "text")
    prompts = [name for name in NAMES if name.strip()]
    with _within(trial.folder, run / "samples"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # long prompts are cut, which is said
        sample(small.asked(run, prompt=prompts, n=1, batch_size=64))
    names = sorted(file.name for file in (run / "samples").iterdir() if file.name != ".lock")
    expect(names == ["film.gif", "grid.png", "samples.npz", "samples.yaml", "strip.png"], f"files: {names}")


def _links(trial: Trial, work: Path) -> None:
    """A stranger's run, with links that lead out, or a config that lets loggers write elsewhere."""
    import small

    from diffkit.run.sample import sample

    outside = trial.folder / "outside"
    outside.mkdir()
    run = small.run_folder(work / "run", "none", "moons")
    edited(run, {})
    with _within(trial.folder, work):
        for name in ("samples", "snapshots", "metrics.csv", ".lock", "wandb/id", "samples/unfinished"):
            (run / name).parent.mkdir(exist_ok=True)
            (run / name).symlink_to(outside)
            refused(lambda: sample(small.asked(run, n=1)), "is a link that leads out")
            refused(lambda: trained("resume=run", cwd=work), "is a link that leads out")
            (run / name).unlink()
        for key, value in (("save_dir", "x"), ("save_dir", str(outside)), ("name", "../x")):
            node = {"_target_": "lightning.pytorch.loggers.CSVLogger", key: value}
            edited(run, {"logger": {"x": node}})
            refused(lambda: trained("resume=run", cwd=work), "leads out of the run's folder")
    expect(not any(outside.iterdir()), f"written: {list(outside.iterdir())}")


def _archives(trial: Trial, work: Path) -> None:
    """Members of a tar of pictures, and the names of what plugins ship."""
    from PIL import Image

    from diffkit import DiffkitError, NamedBundle, create

    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    with tarfile.open(work / "x.tar", "w") as tar:
        for number, name in enumerate(NAMES):
            for ending, content in (("png", picture.getvalue()), ("txt", b"a word")):
                member = f"{name}/{number}.{ending}"
                info = tarfile.TarInfo(member.replace("\0", ""))
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("link.png")
            info.type, info.linkname = kind, "/etc/hostname"
            tar.addfile(info)
    with pytest.MonkeyPatch.context() as patch, _within(trial.folder, work / "cache"):
        patch.setenv("DIFFKIT_CACHE", str(work / "cache"))
        keys = {"resolution": 4, "workers": 0, "batch_size": 2, "on_bad": "skip"}
        data = create("data", "webdataset", shards=str(work / "x.tar"), **keys)
        expect(len(data.reference("train")["x"]) > 10, "the pictures were not read")
    for name in NAMES:
        try:
            place = NamedBundle(name, "small:x").name
        except DiffkitError:
            continue
        expect(Path(place).name == place, f"a bundle may be called {name!r}")


WAYS = (_run, _samples, _links, _archives)


@row(
    "S6",
    fault="../, absolute paths, links and the like in names: of runs, prompts, tags, archive members, bundles",
    required="nothing is written outside the run's folder",
    bare="not measured",
    full=4 * len(NAMES),
    small=4,
)
def escapes(trial: Trial) -> None:
    work = trial.folder / "a/b/work"
    work.mkdir(parents=True)
    trial.pick(WAYS)(trial, work)


@mutation("a run's name is used as it is", "S6", said="became")
def as_it_is(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import folder

    patch.setattr(folder, "_file_name", lambda name: name.replace("\0", "")[:_LONGEST_NAME])


_LONGEST_NAME = 100
