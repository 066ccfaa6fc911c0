"""The files that diffkit writes and reads again: how each is made, and what a reader gets of it."""

import atexit
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from trust.row import Fault, expect
from trust.trained import trained

REFUSED = object()


@dataclass(frozen=True)
class Format:
    """A kind of file: its place in a folder with all of them, and what it says, `Gone` where it is to be made anew."""

    name: str
    file: str
    read: Callable[[Path], Any]
    """Of the folder; raises `DiffkitError`."""
    sealed: bool = True
    """Whether any change is noticed; of the others damage that leaves them readable is not."""
    lines: bool = False
    """Whether each line stands for itself, so that those that are whole are read."""

    def path(self, made: Path) -> Path:
        """The file in the folder."""
        return next(made.glob(self.file))

    def found(self, made: Path) -> Any:
        """What a reader gets, `REFUSED` where it is told so with the file's name; anything else is a `Fault`."""
        from diffkit.core.errors import DiffkitError

        try:
            return self.read(made)
        except Gone:
            return REFUSED
        except DiffkitError as error:
            name = self.path(made).name
            expect(error.status == 2 and name in str(error), f"{self.name}: status {error.status}: {error}")
            return REFUSED
        except Exception as error:
            raise Fault(f"{self.name}: {type(error).__name__}: {error}") from error


def refusal(call: Callable[..., object], *given: object) -> str:
    """What a call is refused with; a `Fault` where it is not, or with another error."""
    from diffkit.core.errors import DiffkitError

    try:
        call(*given)
    except DiffkitError as error:
        expect(error.status == 2, f"status {error.status}: {error}")
        return str(error)
    except Exception as error:
        raise Fault(f"{type(error).__name__}: {error}") from error
    raise Fault("it was not refused")


def seal(path: Path, step: int) -> None:
    """Give an archive the digest of a checkpoint, as whoever makes one to harm can do."""
    from diffkit.run import checkpoint

    content = path.read_bytes()[:-2]
    path.write_bytes(content + checkpoint._mark("sha256", sha256(content), step))


class Gone(Exception):
    """The file is damaged, and what it holds is made again."""


@cache
def folder() -> Path:
    """A run that ended, with one of each file; to be copied."""
    made = Path(mkdtemp(prefix="diffkit-trust-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    keeping = ("callbacks=[figures,saving,snapshots]", "callbacks.snapshots.every=2")
    trained("out=run", "trainer.max_steps=4", "trainer.precision=32-true", *keeping, cwd=made)
    _beside(made)
    for form in FORMATS:
        form.read(made)
    return made


def _beside(made: Path) -> None:
    """What sampling, comparing, and the data leave."""
    import numpy as np

    from diffkit.core.bad import BadSample, BadSamples
    from diffkit.run.ledger import Ledger, Record
    from diffkit.run.shards import Shards
    from diffkit.standard.data.shards import headers, index

    columns = {"id": np.arange(8), "x": np.random.default_rng(0).normal(size=(8, 2)), "text": np.array(["a word"] * 8)}
    Shards(made).write(0, columns)
    for number in range(3):
        score = {"energy": {"value": 0.5, "real": 0.25, "real_sd": 0.125}}
        Ledger(made).add(f"{number:016x}", Record(4.0, 4.0, 1.5, score), {"n": number})
    bad = BadSamples("skip", 1000)
    bad.note([BadSample(f"pictures/{i}.png", "it is empty") for i in range(3)], made / "run")
    rows = np.concatenate([headers.fault(-1)] * 5)
    index._write(made / "rows.npy", iter([rows]), len(rows))
    (made / "table.csv").write_text("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(50)))
    _table(made)


def _checkpoint(made: Path) -> Any:
    from diffkit.run.checkpoint import read

    return read(made / "run" / "checkpoints" / "last.ckpt")


def _weights(made: Path) -> Any:
    from diffkit.run import bundle

    place = made / "run" / "bundle"
    known = str(_config("run", "bundle", "config.yaml")(made)["diffkit"]["sha256"])
    return bundle.read_weights(place / bundle.WEIGHTS, known)


def _config(*place: str) -> Callable[[Path], Any]:
    def read(made: Path) -> Any:
        from diffkit.compose.plain import read_yaml

        return read_yaml(made.joinpath(*place))

    return read


def _snapshots(made: Path) -> Any:
    from diffkit.run.snapshots import Snapshots

    kept = Snapshots(made / "run" / "snapshots")
    return {update: [kept._lengths(update), kept._read(update)] for update in (2, 4)}


def _shard(made: Path) -> Any:
    from diffkit.run.shards import Shards

    found = Shards(made)._read(0, 8)
    if found is None:
        raise Gone
    return {name: column.tolist() for name, column in found.items()}


def _latents(made: Path) -> Any:
    from diffkit.standard.data.latents import Latents, digest

    x = torch.arange(40.0).view(20, 2)
    latents = Latents(made / "latents" / "moons", 20, lambda rows: rows * 2)
    return latents(range(20), [digest(row) for row in x], x)


def _table(made: Path) -> Any:
    from diffkit.standard.data.tables import cache as tables
    from diffkit.standard.data.tables.columns import Wanted

    given, tables_root = tables._state, tables.root
    tables._state, tables.root = lambda file: {"file": "table.csv"}, lambda: made  # the same wherever it is copied to
    try:
        kept = tables.kept(made / "table.csv", Wanted(None, {}, (), None), "comma", 10)
        return {name: a.clone() for split in ("train", "test") for name, a in kept.columns(split).items()} | kept.about
    finally:
        tables._state, tables.root = given, tables_root


def _index(made: Path) -> Any:
    from diffkit.standard.data.shards import index

    found = index._mapped(made / "rows.npy")
    if found is None:
        raise Gone
    return found.tolist()


def _status(made: Path) -> Any:
    from diffkit.run import status

    return status.read(made / "run")


def _metrics(made: Path) -> Any:
    from diffkit.run.metrics_file import read

    return read(made / "run" / "metrics.csv").rows


def _ledger(made: Path) -> Any:
    from diffkit.run.ledger import Ledger

    with redirect_stderr(StringIO()):
        return list(Ledger(made).read().items())


def _bad(made: Path) -> Any:
    from diffkit.core.bad import BadSamples

    bad = BadSamples("skip", 1000)
    bad.list(made / "run")
    return list(bad.known.items())


FORMATS = (
    Format("a checkpoint", "run/checkpoints/last.ckpt", _checkpoint),
    Format("a bundle's weights", "run/bundle/model.safetensors", _weights),
    Format("a bundle's config", "run/bundle/config.yaml", _config("run", "bundle", "config.yaml")),
    Format("a run's config", "run/config.yaml", _config("run", "config.yaml")),
    Format("a snapshot", "run/snapshots/000000002.safetensors", _snapshots),
    Format("finished samples", "000000000.npz", _shard),
    Format("latents", "latents/moons.values", _latents),
    Format("latents' digests", "latents/moons.seals", _latents),
    Format("a table's columns", "tables/*/train.x", _table),
    Format("what a table was read as", "tables/*/table.json", _table),
    Format("the rows of a tar", "rows.npy", _index),
    Format("a run's status", "run/status.json", _status, sealed=False),
    Format("figures", "run/metrics.csv", _metrics, sealed=False, lines=True),
    Format("a comparison's points", "compare.jsonl", _ledger, sealed=False, lines=True),
    Format("the list of bad rows", "run/bad_samples.jsonl", _bad, sealed=False, lines=True),
)
