"""Captions that are no text, and prompts of every kind."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import small
import torch
from PIL import Image

from trust.command import diffkit
from trust.data import SIDE
from trust.mutation import mutation
from trust.row import Trial, expect, row

CAPTIONS: dict[str, tuple[bytes | None, tuple[str, ...] | str]] = {
    "latin-1": ("caf\u00e9 cr\u00e8me".encode("latin1"), "1.txt, byte 3 (0xe9): it is not UTF-8"),
    "latin-1 after a mark": (b"\xef\xbb\xbfcaf\xe9", "1.txt, byte 6 (0xe9): it is not UTF-8"),
    "surrogate": (b"\xed\xa0\x80 cat", "1.txt, byte 0 (0xed): it is not UTF-8"),
    "NUL": (b"a cat\0on a mat", "1.txt, byte 5: there is a NUL"),
    "empty": (b"", "1.txt: there is no caption in it"),
    "blank": (b"\xef\xbb\xbf \r\n", "1.txt: there is no caption in it"),
    "missing": (None, "1.txt: there is no such file"),
    "mark": (b"\xef\xbb\xbfa cat", ("a cat",)),
    "lines": ("\u202ea cat\r\n\n  second line \n".encode(), ("\u202ea cat", "second line")),
    "long": (b"a very long prompt " * 5264, (("a very long prompt " * 5264).strip(),)),
}
"""What stands in a caption's file, and what is made or said of it."""


@row(
    "D4",
    fault="captions that are not UTF-8, have NUL, marks or half letters, are empty, missing or 100,000 letters long",
    required="exit 2, or skipped and listed, with file and byte; byte order marks are taken off",
    bare="2 raise, without the name",
    full=2 * len(CAPTIONS),
    small=2 * len(CAPTIONS),
)
def captions(trial: Trial) -> None:
    from diffkit import DiffkitError
    from diffkit.core.bad import BadSample
    from diffkit.standard.data.image_folder import ImageFolder

    name, policy = trial.pick(tuple(CAPTIONS)), "error" if trial.number // len(CAPTIONS) else "skip"
    content, wanted = CAPTIONS[name]
    train = trial.folder / "set" / "train"
    for file in (train / "1.png", train / "2.png", trial.folder / "set" / "test" / "3.png"):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE)).save(file)
        file.with_suffix(".txt").write_text("a dog")
    if content is None:
        (train / "1.txt").unlink()
    else:
        (train / "1.txt").write_bytes(content)
    data = ImageFolder(str(trial.folder / "set"), resolution=SIDE, workers=0, on_bad=policy)  # type: ignore[arg-type]
    if isinstance(wanted, tuple):
        expect(data.load("train", 0)["text"] == wanted, f"{name}: it was read as {data.load('train', 0)['text']!r:.80}")
        return
    found = [f"{bad.place}: {bad.fault}" for bad in data.scan() if bad is not None]
    expect(len(found) == 1 and f"{train}/{wanted}" in found[0], f"{name}: the scan found {found}, not {wanted}")
    try:
        data.reference("train")
    except BadSample:
        raise
    except DiffkitError as error:
        expect(error.status == 2, f"{name}: status {error.status}")
        expect(wanted in str(error), f"{name}: it was not said where: {error}")
    else:
        expect(False, f"{name}: nothing was said")


@mutation("what is no UTF-8 is read as if it were latin-1", "D4", said="the scan found []")
def any_bytes(patch: pytest.MonkeyPatch) -> None:
    from diffkit.standard.data import captions

    patch.setattr(captions, "decoded", lambda content, file, offset=0: content.decode("latin-1"))


PROMPTS = (
    "w " * 50_000,
    "\N{RED APPLE} red\napple",
    "\u202e\u05e9\u05dc\u05d5\u05dd",
    "../../../escape",
    "",
    "e\u0301\u0301\u200d\x07",
    "/absolute",
    "$x_2 {a} 'c'",
)


@cache
def bundle() -> Path:
    """A small model of digits that reads text."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="diffkit-trust-words-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return small.run_folder(folder / "run")


@row(
    "D5",
    fault="a prompt of 100,000 letters, of none, of emoji, from right to left, with newlines, like a path",
    required="samples, or exit 2; a cut is announced once; files have the names that they always have; within 2 s",
    bare="not measured",
    full=16,
    small=8,
)
def prompts(trial: Trial) -> None:
    prompt = trial.pick(PROMPTS)
    written = prompt + "${not} looked up" * bool(prompt)
    if trial.number >= len(PROMPTS):  # by a file, through the command
        (trial.folder / "p.txt").write_text(written, encoding="utf-8")
        words = [f"run={bundle()}/bundle", "prompts=p.txt", "n=2", "out=out", "grid.steps=2"]
        done = diffkit("sample", *words, cwd=trial.folder)
        status, said = done.returncode, done.stderr
    else:
        start = perf_counter()
        status, said = sampled(trial.folder, prompt)
        trial.figure("slowest s", perf_counter() - start)
    expect(status == (0 if prompt.strip() else 2), f"status {status}: {said[-500:]}")
    expect(said.count("longer ones are cut") == (len(prompt) > 64), f"a cut was announced otherwise: {said[:500]}")
    expect(len(said.splitlines()) <= 10, f"{len(said.splitlines())} lines were said")
    out = trial.folder / "out"
    names = sorted(file.name for file in out.rglob("*") if file.is_file()) if out.exists() else []
    usual = ["film.gif", "grid.png", "samples.npz", "samples.yaml", "strip.png"]
    expect(names == (usual if status == 0 else []), f"the files are {names}")
    others = {file.name for file in trial.folder.iterdir()} - {"out", "p.txt"}
    expect(not others, f"there are files elsewhere: {others}")
    if status == 0:
        texts = {str(text)[:50] for text in np.load(out / "samples.npz")["text"]}
        wanted = {line.strip()[:50] for line in (prompt, *written.split("\n"))}
        expect(texts <= wanted, f"the texts are {texts}")


def sampled(folder: Path, prompt: str) -> tuple[int, str]:
    """Two samples in this process: the exit status that the command would have, and what it would say."""
    from diffkit.core.errors import DiffkitError, DiffkitWarning
    from diffkit.run.sample import sample

    with inside(folder), warnings.catch_warnings(record=True) as warned, redirect_stdout(StringIO()):
        warnings.simplefilter("always")
        try:
            sample(small.asked(bundle(), prompt=prompt, n=2, out="out", guidance={}))
            status, said = 0, ""
        except DiffkitError as error:
            status, said = error.status, str(error)
    ours = [str(w.message) for w in warned if issubclass(w.category, DiffkitWarning)]
    return status, "\n".join([said, *ours]).strip()


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """In this folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@mutation("a text that is too long is cut in silence", "D5", said="a cut was announced otherwise")
def cut_in_silence(patch: pytest.MonkeyPatch) -> None:
    from diffkit.standard.conditioners.text import Text

    tokens = Text._tokens

    def silent(self: Any, texts: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self._announced = True
        return tokens(self, texts)

    patch.setattr(Text, "_tokens", silent)
