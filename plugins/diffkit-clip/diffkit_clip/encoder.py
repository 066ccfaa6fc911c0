"""A frozen text encoder: every text is encoded once."""

import json
import sys
import warnings
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pad_sequence

from diffkit.core import Condition, DiffkitError, DiffkitWarning
from diffkit_clip import cache
from diffkit_clip.pretrained import Pretrained
from diffkit_clip.table import Table
from diffkit_clip.towers import Tower

Gives = Literal["vector", "sequence", "both"]
TOKENS = 8192
"""How many tokens are encoded at once."""
UNLIMITED = 512
"""The tokens of a text where the encoder itself sets no limit."""
VERSION = 1
"""Of what the cache holds: a change of what is computed here needs another."""


class Encoder:
    """Texts to conditions, by a tower that learns nothing; its weights are read when a text is met that is not known.

    It is no module: it has no part in training, and its weights are in no checkpoint. A copy is the same object.
    """

    def __init__(self, tower: Tower, pretrained: Pretrained, gives: Gives, length: int | None, normalise: bool) -> None:
        self.tower, self.pretrained, self.gives, self.normalise = tower, pretrained, gives, normalise
        whole = pretrained.config()
        self.config = whole.get_text_config()
        self.alone = whole is self.config
        self.tokenizer = pretrained.tokenizer()
        self.length = _length(pretrained.name, self.config, self.tokenizer, length)
        self._digest: bytes | None = None
        self._network: nn.Module | None = None
        self._table: Table | None = None
        self._announced = False

    def __deepcopy__(self, memo: object) -> "Encoder":
        return self

    @property
    def digest(self) -> bytes:
        """The digest of the weights, read once."""
        if self._digest is None:
            self._digest = self.pretrained.digest()
        return self._digest

    def prepare(self, texts: Sequence[str], device: torch.device) -> None:
        """Have the table of `texts`, on `device`: from the cache, else by the tower, which is then let go."""
        if self._table is not None and all(text in self._table.place for text in texts):
            return
        ids = self._tokenise(texts)
        key = self._key(ids)
        tensors = cache.load(key)
        if tensors is None:
            print(f"Encoding {len(texts)} texts with {self.pretrained.name}, once", file=sys.stderr)
            tensors = self._encode(ids, device)
            cache.save(key, tensors)
        self._table, self._network = Table.of(texts, tensors, device), None

    def __call__(self, texts: Sequence[str], device: torch.device, keep: bool) -> Condition:
        """The condition of `texts`; those that the table lacks are encoded, and stay in it if `keep`."""
        known = {} if self._table is None else self._table.place
        unseen = [text for text in dict.fromkeys(texts) if text not in known]
        table = self._table
        if unseen:
            more = Table.of(unseen, self._encode(self._tokenise(unseen), device), device)
            table = more if table is None else table.joined(more)
            self._table = table if keep else self._table
        assert table is not None
        return table(texts)

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text's tokens, at least one and at most `length`."""
        clean = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates are no text
        ids: list[list[int]] = self.tokenizer(clean, verbose=False)["input_ids"] if clean else []
        long = [i for i, row in enumerate(ids) if len(row) > self.length]
        if long:
            self._announce([len(ids[i]) - self.length for i in long], len(texts))
            cut = self.tokenizer([clean[i] for i in long], truncation=True, max_length=self.length)["input_ids"]
            for i, row in zip(long, cut, strict=True):
                ids[i] = row
        return [row or [self.tokenizer.eos_token_id or 0] for row in ids]

    def _announce(self, lost: list[int], texts: int) -> None:
        if not self._announced:
            self._announced = True
            warnings.warn(
                f"{len(lost)} of {texts} texts are longer than the {self.length} tokens that {self.pretrained.name} "
                f"is given, and are cut there: the longest loses {max(lost)} tokens",
                DiffkitWarning,
                stacklevel=2,
            )

    def _encode(self, ids: list[list[int]], device: torch.device) -> dict[str, Tensor]:
        """What a table is made of, on the CPU; texts of like lengths are encoded together."""
        if self._network is None:
            self._network = self.tower.load(self.pretrained, self.config)
        network = self._network.to(device)
        pad = self.tokenizer.pad_token_id or 0
        vectors: list[Tensor] = [torch.empty(0)] * len(ids)
        tokens: list[Tensor] = [torch.empty(0)] * len(ids)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            for some in _batches(list(map(len, ids))):
                rows = pad_sequence([torch.tensor(ids[i]) for i in some], batch_first=True, padding_value=pad)
                mask = torch.arange(rows.shape[1]) < torch.tensor([len(ids[i]) for i in some])[:, None]
                vector, sequence = self.tower.encode(network, rows.to(device), mask.to(device))
                for i, v, s in zip(some, self._scaled(vector), self._scaled(sequence), strict=True):
                    vectors[i], tokens[i] = v, s[: len(ids[i])]
        named = {"size": torch.tensor(list(map(len, ids)))}
        if self.gives != "sequence":
            named["vector"] = torch.stack(vectors)
        if self.gives != "vector":
            named["tokens"] = torch.cat(tokens)
        return named

    def _scaled(self, said: Tensor) -> Tensor:
        """On the CPU, normalised where that is asked for."""
        said = said.float().cpu()
        return layer_norm(said, said.shape[-1:]) if self.normalise else said

    def _key(self, ids: list[list[int]]) -> str:
        """The digest of all that the encoder's answers depend on."""
        total = sha256(self.digest)
        config = {k: v for k, v in self.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
        for value in (VERSION, repr(self.tower), self.gives, self.normalise, config, ids):
            total.update(json.dumps(value, sort_keys=True, default=str).encode() + b"\n")
        return total.hexdigest()


def _length(name: str, config: Any, tokenizer: Any, length: int | None) -> int:
    """The most tokens of a text; raises `DiffkitError` for a length that the encoder cannot take."""
    limits = (tokenizer.model_max_length, config.to_dict().get("max_position_embeddings"))
    most = min((int(n) for n in limits if n and n < 1e9), default=None)
    least = tokenizer.num_special_tokens_to_add() + 1
    if length is not None and (length < least or (most is not None and length > most)):
        allowed = f"at least {least}" if most is None else f"from {least} to {most}"
        raise DiffkitError(f"length={length} does not suit pretrained={name}: give {allowed} tokens")
    return length or most or UNLIMITED


def _batches(lengths: list[int]) -> list[list[int]]:
    """The texts in batches of at most `TOKENS` tokens with padding, or one text; the shortest first."""
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or lengths[i] * (len(batches[-1]) + 1) > TOKENS:
            batches.append([])
        batches[-1].append(i)
    return batches
