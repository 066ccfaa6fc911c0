"""Files that run a program when they are unpickled, given to every reader of a file."""

import io
import pickle
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trust import plugins_files
from trust._formats import FORMATS, folder, refusal, seal
from trust.command import diffkit, refused
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row
from trust.trained import trained


class Evil:
    """Touches a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def _sealed(file: Path, evil: Evil) -> None:
    torch.save({"global_step": 9, "state_dict": {"ema.w": torch.ones(2)}, "extra": evil}, file)
    seal(file, 9)


def _archive(file: Path, evil: Evil) -> None:
    torch.save({"state_dict": {"w": torch.ones(2)}, "extra": evil}, file)


def _old(file: Path, evil: Evil) -> None:
    torch.save({"extra": evil}, file, _use_new_zipfile_serialization=False)


def _raw(file: Path, evil: Evil) -> None:
    file.write_bytes(pickle.dumps(evil))


def _objects(evil: Evil) -> Any:
    made = np.empty(1, dtype=object)
    made[0] = evil
    return made


def _npy(file: Path, evil: Evil) -> None:
    with file.open("wb") as opened:
        np.save(opened, _objects(evil), allow_pickle=True)


def _npz(file: Path, evil: Evil) -> None:
    with file.open("wb") as opened:
        objects = dict.fromkeys(("x", "id", "mask", "text"), _objects(evil))
        np.savez(opened, **objects)


def _tar(file: Path, evil: Evil) -> None:
    """As torch's oldest files, and as a shard with a pickle among its members."""
    with tarfile.open(file, "w") as tar:
        rows = [f"{row}.{what}" for row in range(40) for what in ("pyd", "png")]
        for name in ("storages", "tensors", "pickle", "a.pkl", *rows):
            info, content = tarfile.TarInfo(name), pickle.dumps(evil)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _yaml(file: Path, evil: Evil) -> None:
    """Python's own types in YAML."""
    of = "!!python/object/apply:pathlib"
    file.write_text(f"a: {of}.Path.touch [{of}.Path ['{evil.mark}']]\n")


PAYLOADS = (_sealed, _archive, _old, _raw, _npy, _npz, _tar, _yaml)


def _readers() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """What reads a file that a user names, by the name that the file has to have."""
    from diffkit.compose.saved import read_choices
    from diffkit.core.data import DataSpec
    from diffkit.run import bundle
    from diffkit.run.checkpoint import read
    from diffkit.run.export import export
    from diffkit.run.given import drawn_mask, given_rows
    from diffkit.run.prompts import texts_of
    from diffkit.run.rows import read_rows
    from diffkit.standard.data.captions import captions_file, captions_of

    table, pictures = DataSpec((2,)), DataSpec((1, 8, 8), low=0.0, high=1.0)
    yield "last.ckpt", read
    yield "last.ckpt", lambda file: export(file, file.with_name("weights.safetensors"))
    yield "model.pt", bundle.load
    yield "config.yaml", lambda file: read_choices(str(file.parent))
    for name in ("rows.npz", "rows.csv", "rows.png"):
        yield name, lambda file: given_rows(str(file), pictures)
    for name in ("rows.npz", "rows.csv", "rows.npy", "rows.pt"):
        yield name, lambda file: read_rows(file, table)
    for name in ("mask.npy", "mask.npz", "mask.png"):
        yield name, lambda file: drawn_mask(str(file), pictures, 1)
    yield "prompts.txt", lambda file: texts_of({"prompts": str(file)})
    yield "captions.csv", captions_file
    yield "captions.jsonl", captions_file
    yield "a.txt", lambda file: captions_of(file.read_bytes(), str(file))
    yield "a.png", _folder_of_pictures
    yield "a-0.tar", lambda file: _data("webdataset", shards=str(file), resolution=8)
    yield "table.csv", lambda file: _data("table", file=str(file))
    yield "table.parquet", lambda file: _data("table", file=str(file))


def _folder_of_pictures(file: Path) -> object:
    """With one that is held out, since there must be some."""
    split = file.parent / "pictures"
    for number in range(4):
        (split / "kind").mkdir(parents=True, exist_ok=True)
        shutil.copy(file, split / "kind" / f"{number}.png")
    return _data("image_folder", path=str(split), resolution=8)


def _data(name: str, **keys: Any) -> object:
    from diffkit import create

    data: Any = create("data", name, seed=0, **keys)
    data.setup("fit")
    return data.reference("train")


@row(
    "S1",
    fault="a pickle with a program in it: as .ckpt, .pt, .npy, .npz, raw, tar, YAML, in every place that is read",
    required="the program never runs, and the file is refused",
    bare="0/6 by default, 6/6 opted out",
    full=48,
    small=8,
)
def unpickled(trial: Trial) -> None:
    from diffkit.core.errors import DiffkitError

    write, mark = trial.pick(PAYLOADS), trial.folder / "ran"
    write(trial.folder / "payload", Evil(mark))
    content = (trial.folder / "payload").read_bytes()
    if trial.number >= len(PAYLOADS):
        _commands(trial, content, mark)
        return
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        patch.setenv("DIFFKIT_CACHE", str(trial.folder / "cache"))
        for number, (name, read) in enumerate(_readers()):
            file = trial.folder / str(number) / name
            file.parent.mkdir()
            file.write_bytes(content)
            try:
                read(file)
            except DiffkitError:
                pass
            except Exception as error:
                raise Fault(f"{name}: {type(error).__name__}: {error}") from error
            expect(not mark.exists(), f"{name}: {write.__name__} ran")
        made = shutil.copytree(folder(), trial.folder / "made")
        for form in FORMATS:
            path = form.path(made)
            whole = path.read_bytes()
            path.write_bytes(content)
            form.found(made)
            expect(not mark.exists(), f"{form.name}: {write.__name__} ran")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(whole)


def _commands(trial: Trial, content: bytes, mark: Path) -> None:
    """The same through the command: in a run's checkpoints, in its bundle, and as a path."""
    made = shutil.copytree(folder() / "run", trial.folder / "run")
    kind = trial.number // len(PAYLOADS) % 5
    if kind == 4:
        plugins_files.refused(trial.folder, content, mark)
    (trial.folder / "file.ckpt").write_bytes(content)
    places = {
        0: [made / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous", "best")],
        1: [made / "bundle" / "model.safetensors"],
        2: [made / "bundle" / "config.yaml"],
    }
    for file in places.get(kind, ()):
        file.write_bytes(content)
    calls = {
        0: (["train", "resume=run"], ["export", "run", "out=a.safetensors"]),
        1: (["sample", "run=run", "n=1"], ["evaluate", "run=run"], ["compare", "run=run", "grid.steps=1,2"]),
        2: (["sample", "run=run/bundle", "n=1"],),
        3: (["train", "resume=file.ckpt"], ["sample", "run=file.ckpt"], ["export", "file.ckpt", "out=a.safetensors"]),
        4: (["train", "data=digits", "codec=vae", "codec.run=file.ckpt"],),
    }[kind]
    for call in calls:
        refused(diffkit(*call, cwd=trial.folder))
        expect(not mark.exists(), f"{' '.join(call)}: it ran")


class _Server(HTTPServer):
    asked: int = 0


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        self.server.asked += 1
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *what: object) -> None:
        """Nothing."""


@contextmanager
def _served() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@row(
    "S2",
    fault="the same with TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1; a path that is http(s)",
    required="the program never runs; nothing is fetched",
    bare="ran",
    full=16,
    small=8,
)
def forced(trial: Trial) -> None:
    from diffkit.run.checkpoint import read

    write, mark, file = trial.pick(PAYLOADS), trial.folder / "ran", trial.folder / "last.ckpt"
    write(file, Evil(mark))
    if trial.number >= len(PAYLOADS):
        variable = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
        refused(diffkit("export", file, "out=a.safetensors", cwd=trial.folder, env=variable), "last.ckpt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        with suppress(Fault):  # that the program ran is worse, and told below
            expect("last.ckpt" in refusal(read, file), "another file is named")
            file.unlink()
    expect(not mark.exists(), f"{write.__name__} ran")
    expect(not file.exists(), f"{write.__name__} is not refused")
    with _served() as server:
        _fetched(server, trial.number)


def _fetched(server: _Server, number: int) -> None:
    """No command takes an address for a path."""
    from diffkit.run import bundle
    from diffkit.run.export import export
    from diffkit.run.given import given_rows
    from diffkit.run.prompts import texts_of

    address = f"http://127.0.0.1:{server.server_address[1]}/runs/last.ckpt"
    reads: tuple[Callable[[], object], ...] = (
        lambda: trained(f"resume={address}", cwd=Path.cwd()),
        lambda: bundle.load(address),
        lambda: export(address, Path("never.safetensors")),
        lambda: given_rows(f"{address}.npz", bundle.load(folder() / "run").spec),
        lambda: texts_of({"prompts": address}),
    )
    refusal(reads[number % len(reads)])
    expect(not server.asked, f"{address} was fetched")


@mutation("torch.load is told that it may run what it finds", "S1", said="_sealed ran")
def trusting_torch(patch):  # type: ignore[no-untyped-def]
    load = torch.load
    patch.setattr(torch, "load", lambda *a, **keys: load(*a, **{**keys, "weights_only": False}))


@mutation("numpy.load is told that it may run what it finds", "S1", said=" ran")
def trusting_numpy(patch):  # type: ignore[no-untyped-def]
    load = np.load
    patch.setattr(np, "load", lambda *a, **keys: load(*a, **{**keys, "allow_pickle": True}))


@mutation("torch.load is told nothing, so that the environment decides", "S2", said="_sealed ran")
def untold(patch):  # type: ignore[no-untyped-def]
    load = torch.load
    patch.setattr("warnings.warn", lambda *_, **__: None)  # that the environment decides
    patch.setattr(torch, "load", lambda *a, weights_only=None, **keys: load(*a, **keys))
