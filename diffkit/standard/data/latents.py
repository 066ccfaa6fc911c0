"""What is made of rows, on disk: once for each row, whoever asks for it, for as long as the row is what it was."""

import os
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError

Make = Callable[[Tensor], Tensor]
_SIZE = 8


def digest(x: Tensor) -> bytes:
    """Of the content of a row."""
    return blake2b(x.contiguous().view(torch.uint8).numpy().tobytes(), digest_size=_SIZE).digest()


class Latents:
    """A column of `rows` float32 rows in two files that begin with `path`: the values, and a digest for each.

    The digest is of a row's content and of what was made of it, so that what is not there yet, is damaged, or was made
    of another row is made anew. Several processes may write: what they write is the same. Raises `DiffkitError` where
    the files cannot be written.
    """

    def __init__(self, path: Path, rows: int, make: Make) -> None:
        self._path, self._rows, self._make = path, rows, make
        self._files: tuple[Tensor, Tensor] | None = None

    def __call__(self, rows: Sequence[int], digests: Sequence[bytes], x: Float[Tensor, " b *d"]) -> Tensor:
        """The values for these rows of the column, on the device of `x`, the rows as `make` is given them."""
        values, seals = self._files or self._opened(tuple(self._make(x[:1]).shape[1:]))
        index = torch.tensor(rows)
        found = values[index]
        known = torch.tensor([_seal(*pair) for pair in zip(digests, found, strict=True)]) == seals[index]
        if not known.all():
            new = (~known).nonzero().squeeze(1)
            found[new] = self._make(x[new.to(x.device)]).to(found)
            values[index[new]] = found[new]
            seals[index[new]] = torch.tensor([_seal(digests[i], found[i]) for i in new.tolist()])
        return found.to(x.device)

    def _opened(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        size = self._rows * torch.Size(shape).numel()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _reserve(f"{self._path}.values", 4 * size)
            _reserve(f"{self._path}.seals", 8 * self._rows)
            values = torch.from_file(f"{self._path}.values", shared=True, size=size, dtype=torch.float32)
            seals = torch.from_file(f"{self._path}.seals", shared=True, size=self._rows, dtype=torch.int64)
        except (OSError, RuntimeError) as error:
            raise DiffkitError(f"cannot write in {self._path.parent}: {error}; set DIFFKIT_CACHE") from error
        self._files = values.view(self._rows, *shape), seals
        return self._files


def _reserve(path: str, size: int) -> None:
    """Take the room on the disk now: later, a process that writes into its memory and finds none is killed."""
    if sys.platform == "linux":
        with open(path, "ab") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def _seal(content: bytes, value: Tensor) -> int:
    found = blake2b(content, digest_size=_SIZE, key=b"diffkit")
    found.update(value.numpy().tobytes())
    return int.from_bytes(found.digest(), "big", signed=True)
