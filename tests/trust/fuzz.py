"""Files with random changes, given to every reader: an error of diffkit's own, and at once."""

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random

from trust._fork import forked
from trust._formats import FORMATS, Gone, folder, seal
from trust.bombs import _loaded
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row

SECONDS = 2.0
TIMES = 100
"""The changes of a trial."""
WORDS = (
    b"\0", b"\n", b"\r", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b": ", b"- ", b"? ", b"[",
    b"]", b"{", b"}", b"&a ", b"*a", b"!!python/name:os.system ", b"!!set ", b"<<: ", b"%YAML 9.9\n", b"---\n",
    b"${oc.env:HOME}", b"| ", b"> ", b"#", b"0", b"-1", b"1e999", b".nan", b"inf", b"9" * 5000, b"0x_", b"2001-99-99",
    b"2001-01-01", b"1:99", b"null", b"true", b"_part_", b"_target_", b"PK\5\6", b"PK\1\2", b"\x80\2}q\0.",
    b"cposix\nsystem\n", b"\xff" * 8, b"\0" * 4096, b"[" * 3000,
)  # fmt: skip
"""What some reader or other gives a meaning to."""


def changed(content: bytes, draw: Random) -> bytes:
    """A file with one to four random changes."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(made) + 1)
        end = min(len(made), at + draw.choice((1, 4, 40, 400)))
        what = draw.randrange(6)
        if what == 0 and at < len(made):
            made[at] ^= 1 << draw.randrange(8)
        elif what == 1:
            del made[at:end]
        elif what == 2:
            made[at:at] = draw.choice(WORDS)
        elif what == 3:
            made[at:end] = draw.randbytes(end - at)
        elif what == 4:
            made[at:at] = made[draw.randrange(len(made) + 1) :][:400]
        else:
            made[at:end] = draw.choice(WORDS)
    return bytes(made)


def _checkpoint(path: Path) -> None:
    """With a digest that is right."""
    from diffkit.run import checkpoint

    path.write_bytes(path.read_bytes() + b"\0\0")
    seal(path, 1)
    checkpoint.read(path)


def _weights(path: Path) -> None:
    from diffkit.run.bundle import read_weights

    read_weights(path, sha256(path.read_bytes()).hexdigest())


def _bundle(path: Path) -> None:
    """Its config leads to a model, or to an error."""
    from diffkit.run import bundle

    bundle.load(path.parent)


def _captions(path: Path) -> None:
    from diffkit.standard.data.captions import captions_file

    captions_file(path)


def _caption(path: Path) -> None:
    from diffkit.standard.data.captions import captions_of

    captions_of(path.read_bytes(), str(path))


def _prompts(path: Path) -> None:
    from diffkit.run.prompts import texts_of

    texts_of({"prompts": str(path)})


def _rows(path: Path) -> None:
    from diffkit.core.data import DataSpec
    from diffkit.run.rows import read_rows

    read_rows(path, DataSpec((2,), conditions={"text": None}))


def _table(path: Path) -> None:
    from diffkit.standard.data.tables.columns import Wanted
    from diffkit.standard.data.tables.convert import convert
    from diffkit.standard.data.tables.source import open_table

    out = path.with_suffix(".out")
    out.mkdir(exist_ok=True)
    convert(open_table(path, "comma"), Wanted(None, {}, (), None), 10, out)


def _mask(path: Path) -> None:
    from diffkit.core.data import DataSpec
    from diffkit.run.given import drawn_mask

    drawn_mask(str(path), DataSpec((1, 8, 8)), 1)


def _unsealed(path: Path) -> bytes:
    """A config without the line that would refuse every change."""
    return path.read_bytes().partition(b"\n")[2]


def _png() -> bytes:
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.radial_gradient("L").resize((8, 8)).save(out, "PNG")
    return out.getvalue()


LINES = b'file_name,text\na.png,a word\nb.png,"two, words"\n'
OBJECTS = b'{"file_name": "a.png", "text": ["a", "b"]}\n{"file_name": "b.png", "text": null}\n'
NUMBERS = b"a,b\n" + b"".join(b"%d,%d.5\n" % (i, i * i) for i in range(40))


def _readers() -> dict[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]]:
    run = folder() / "run"
    sealed = {
        "checkpoint": ("last.ckpt", lambda: (run / "checkpoints" / "last.ckpt").read_bytes()[:-99], _checkpoint),
        "weights": ("model.safetensors", lambda: (run / "bundle" / "model.safetensors").read_bytes(), _weights),
        "bundle": ("config.yaml", lambda: _unsealed(run / "bundle" / "config.yaml"), _bundle),
        "captions.csv": ("captions.csv", lambda: LINES, _captions),
        "captions.jsonl": ("captions.jsonl", lambda: OBJECTS, _captions),
        "caption": ("a.txt", lambda: "a word\nzwei Wörter\n".encode(), _caption),
        "prompts": ("prompts.txt", lambda: "a word\nzwei Wörter\n".encode(), _prompts),
        "rows.csv": ("rows.csv", lambda: NUMBERS, _rows),
        "rows.npz": ("rows.npz", lambda: (folder() / "000000000.npz").read_bytes(), _rows),
        "mask": ("mask.png", _png, _mask),
        "table": ("table.csv", lambda: NUMBERS, _table),
    }
    return sealed


OWN = ("run/config.yaml", "run/snapshots/000000002.safetensors", "run/status.json", "run/metrics.csv", "compare.jsonl")
NAMES = (
    *("checkpoint", "weights", "bundle", "captions.csv", "captions.jsonl", "caption", "prompts", "rows.csv"),
    *("rows.npz", "mask", "table", *OWN, "run/bad_samples.jsonl"),
)


@row(
    "S8",
    fault="random changes to every file that is read",
    required="only diffkit's own error; no crash, 2 s at most",
    bare="not measured",
    full=len(NAMES) * 10_000 // TIMES,
    small=len(NAMES),
)
def fuzzed(trial: Trial) -> None:
    _loaded()
    name = trial.pick(NAMES)
    made = {form.file: form for form in FORMATS}.get(name)
    if made is not None:
        import shutil

        here = shutil.copytree(folder(), trial.folder / "made")
        path, content, read = made.path(here), made.path(here).read_bytes(), lambda _: made.read(here)
        if path.suffix == ".yaml":
            content = _unsealed(path)
    else:
        file, given, read = _readers()[name]
        if name == "bundle":
            (trial.folder / "model.safetensors").write_bytes(_readers()["weights"][1]())
        path, content = trial.folder / file, given()
    try:
        slowest = forked(lambda: _all(trial.random, path, content, read), 60.0, 3 << 30)
    except Fault as fault:
        raise Fault(f"{name}: {fault}") from None
    expect(slowest <= SECONDS, f"{name}: {slowest:.1f} s")
    trial.figure("slowest in s", slowest)


def _all(draw: Random, path: Path, content: bytes, read: Callable[[Path], object]) -> float:
    """Read the file with one change after the other; the longest time of a processor that it took."""
    from contextlib import redirect_stderr, suppress
    from io import StringIO

    from diffkit.core.errors import DiffkitError

    path.write_bytes(content)
    with suppress(DiffkitError, Gone):
        read(path)  # what it imports is no part of its time
    slowest = 0.0
    for number in range(TIMES):
        path.write_bytes(changed(content, draw))
        start = time.process_time()
        try:
            with redirect_stderr(StringIO()):
                read(path)
        except (DiffkitError, Gone):
            pass
        except Exception as error:
            raise Fault(f"change {number}: {type(error).__name__}: {error}") from error
        slowest = max(slowest, time.process_time() - start)
    return slowest


@mutation("a checkpoint is given to torch.load, and what that raises is raised", "S8", said="change 0: ")
def untold(patch):  # type: ignore[no-untyped-def]
    """As yaml.safe_load and json.loads without anything about them."""

    import torch

    from diffkit.run import checkpoint

    patch.setattr(checkpoint, "read", lambda path: torch.load(path, weights_only=True))
