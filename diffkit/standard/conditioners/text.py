"""Text, by a small transformer over bytes that is trained with the denoiser."""

import warnings
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner
from diffkit.core.errors import DiffkitWarning
from diffkit.core.types import Batch, Count
from diffkit.standard.denoisers.layers import Attention, feed_forward

START = 256
"""The token before the first byte, so that the empty text has one too."""
NEIGHBOURS = 5
"""How many bytes a token sees before the transformer."""


class Text(Conditioner):
    """A transformer over the UTF-8 bytes of a text; reads the column `"text"`, strings.

    Each byte is joined to its neighbours by a convolution, so that words stand out from the first steps of training
    on. The text's vector is the maximum over its tokens, normalised; it gives this vector, or the tokens as a sequence,
    or both. Texts longer than `length` bytes are cut there, which a warning says once. Only the different texts of a
    batch are encoded, so that a few captions for many pictures cost little.
    """

    key: ClassVar[str] = "text"

    def __init__(
        self,
        width: Count = 32,
        depth: Count = 1,
        heads: Count = 2,
        length: Count = 64,
        gives: Literal["vector", "sequence", "both"] = "vector",
    ) -> None:
        super().__init__()
        self.length, self.gives, self.width = length, gives, width
        self._announced = False
        self.bytes = nn.Embedding(START + 1, width)
        self.position = nn.Parameter(0.1 * torch.randn(length + 1, width))
        self.neighbours = nn.Conv1d(width, width, NEIGHBOURS, padding=NEIGHBOURS // 2)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))

    @property
    def spec(self) -> ConditionSpec:
        """A vector, a sequence, or both, of the encoder's width."""
        vector = None if self.gives == "sequence" else self.width
        return ConditionSpec(vector, None if self.gives == "vector" else self.width)

    def forward(self, batch: Batch) -> Condition:
        """The encoding of `batch["text"]`."""
        texts = batch[self.key]
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        tokens, mask = self._tokens(list(place))
        h = self._encode(tokens, mask)
        rows = torch.tensor([place[text] for text in texts], device=h.device)
        vector = None
        if self.gives != "sequence":
            highest = h.masked_fill(~mask[..., None], -torch.inf).amax(1)
            vector = layer_norm(highest, highest.shape[-1:])[rows]
        if self.gives == "vector":
            return Condition(vector)
        return Condition(vector, layer_norm(h, h.shape[-1:])[rows], mask[rows])

    def _encode(self, tokens: Int[Tensor, "n l"], mask: Bool[Tensor, "n l"]) -> Float[Tensor, "n l w"]:
        h: Tensor = (self.bytes(tokens) + self.position[: tokens.shape[1]]) * mask[..., None]
        h = h + self.neighbours(h.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            h = block(h, mask)
        return h

    def _tokens(self, texts: Sequence[str]) -> tuple[Int[Tensor, "n l"], Bool[Tensor, "n l"]]:
        """Bytes after a start token, padded to the longest text, and where they are."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        if not self._announced and max(map(len, encoded)) > self.length:
            self._announced = True
            message = f"Text reads the first {self.length} bytes of a text: longer ones are cut there"
            warnings.warn(message, DiffkitWarning, stacklevel=1)
        rows = [[START, *text[: self.length]] for text in encoded]
        longest = max(map(len, rows))
        padded = torch.tensor([row + [START] * (longest - len(row)) for row in rows])
        size = torch.tensor([len(row) for row in rows])
        device = self.position.device
        return padded.to(device), (torch.arange(longest) < size[:, None]).to(device)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed_forward = feed_forward(width, 2)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        h = h + self.attention(layer_norm(h, h.shape[-1:]), mask=mask)
        answer: Tensor = self.feed_forward(layer_norm(h, h.shape[-1:]))
        return h + answer
