"""Words as CLIP reads them: byte pairs in the order in which they were learned from captions."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

START, END = "<|startoftext|>", "<|endoftext|>"
WORD = "</w>"
"""What marks the last piece of a word."""
BYTES = 256
_PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokens(nn.Module):
    """A byte-level tokeniser in CLIP's form whose merges are a tensor, so that they travel with the weights.

    Tokens 0 to 255 are bytes, 256 to 511 bytes that end a word, then come at most `merges` pairs of earlier tokens, a
    place for each, and the start and the end of a text. Any text has tokens; of more than `length`, with start and end,
    the last ones are left out.
    Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units; Radford et al. 2021.
    """

    merges: Tensor

    def __init__(self, merges: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.size = 2 * BYTES + merges + 2
        """How many tokens there are."""
        self.register_buffer("merges", torch.full((merges, 2), -1, dtype=torch.int32))
        self._tokenizer: Any = None
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    @property
    def start(self) -> int:
        """The token before a text."""
        return self.size - 2

    @property
    def end(self) -> int:
        """The token after a text, and the one that fills the rest of a row."""
        return self.size - 1

    def learn(self, texts: Iterable[str]) -> None:
        """Merge the pairs that are most frequent in `texts`, one after the other, as far as there are places."""
        from tokenizers import trainers

        trained, first = tokenizer({}, []), self._pieces([])[: 2 * BYTES]
        # among pairs as frequent as each other the numbers of the pieces decide: these must not be as a hash has them
        trainer = trainers.BpeTrainer(
            vocab_size=self.size, show_progress=False, special_tokens=first, end_of_word_suffix=WORD
        )
        trained.train_from_iterator(texts, trainer)
        self.take(json.loads(trained.to_str())["model"]["merges"])

    def take(self, merges: Sequence[Sequence[str]]) -> None:
        """Make these pairs of pieces the merges, as far as there are places."""
        place = {piece: i for i, piece in enumerate(self._pieces([])[: 2 * BYTES])}
        pairs = []
        for left, right in merges[: len(self.merges)]:
            pairs.append((place[left], place[right]))
            place.setdefault(left + right, 2 * BYTES + len(pairs) - 1)
        rows = torch.tensor(pairs, dtype=torch.int32).reshape(-1, 2)
        with torch.no_grad():
            self.merges.fill_(-1)
            self.merges[: len(rows)] = rows.to(self.merges.device)
        self._tokenizer = None

    def files(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """The vocabulary and the merges, as a tokeniser of CLIP's form is made of them."""
        pairs = [(a, b) for a, b in self.merges.tolist() if a >= 0]
        pieces = self._pieces(pairs)
        vocabulary: dict[str, int] = {}
        for i, piece in enumerate(pieces):
            vocabulary[piece if piece not in vocabulary else f"<|{i}|>"] = i
        return vocabulary, [(pieces[a], pieces[b]) for a, b in pairs]

    def forward(self, texts: Sequence[str]) -> Int[Tensor, "n l"]:
        """The tokens of each text with start and end, filled with ends to the longest of them."""
        if self._tokenizer is None:
            self._tokenizer = tokenizer(*self.files())
        encoded = self._tokenizer.encode_batch(list(map(_text, texts)), add_special_tokens=False)
        rows = [[self.start, *row.ids[: self.length - 2], self.end] for row in encoded]
        longest = max(map(len, rows), default=2)
        padded = [row + [self.end] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64, device=self.merges.device).reshape(len(rows), longest)

    def _pieces(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """The string of each token; a place for a merge that was not learned has a name that no text has."""
        from tokenizers.pre_tokenizers import ByteLevel

        pieces = sorted(ByteLevel.alphabet())
        pieces += [piece + WORD for piece in pieces]
        for a, b in pairs:
            pieces.append(pieces[a] + pieces[b])
        pieces += [f"<|{i}|>" for i in range(len(pieces), self.size - 2)]
        return [*pieces, START, END]


def tokenizer(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> Any:
    """A tokeniser of the `tokenizers` library that does what CLIP's does: NFC, one space, lower case, byte pairs."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    made = Tokenizer(
        models.BPE(vocabulary, list(merges), unk_token=END, end_of_word_suffix=WORD, continuing_subword_prefix="")
    )
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    made.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    if vocabulary:
        made.add_special_tokens([AddedToken(piece, special=True) for piece in (START, END)])
    return made


def _text(text: str) -> str:
    """The text without halves of surrogate pairs, which have no bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _forget(module: nn.Module, keys: Any) -> None:
    assert isinstance(module, Tokens)
    module._tokenizer = None
