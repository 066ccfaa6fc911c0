"""Conditioners that were trained on text elsewhere, and stay as they are."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import nn

from diffkit.core import Batch, Condition, Conditioner, ConditionSpec, Count, DiffkitError, Prepared, Range
from diffkit_clip.encoder import Encoder, Gives
from diffkit_clip.pretrained import Pretrained
from diffkit_clip.towers import AnyTower, ClipTower, Tower

Layer = Annotated[int, Range(high=-1)]
"""A layer, counted from the last, which is -1."""


class FrozenText(Conditioner, Prepared):
    """A conditioner that looks up what an encoder says of a text, and learns nothing.

    The encoder's weights are in no checkpoint and no bundle: there is their digest, and other weights are refused.
    """

    key: ClassVar[str] = "text"
    digest: torch.Tensor
    _like: torch.Tensor

    def __init__(self, tower: Tower, pretrained: str, gives: Gives, length: int | None, normalise: bool) -> None:
        super().__init__()
        self.encoder = Encoder(tower, Pretrained.find(pretrained), gives, length, normalise)
        self.register_buffer("digest", torch.zeros(32, dtype=torch.uint8))
        self.register_buffer("_like", torch.zeros(()), persistent=False)  # its device and precision are the model's
        self._checked = False
        self.register_load_state_dict_post_hook(_unchecked)  # type: ignore[no-untyped-call]

    @property
    def spec(self) -> ConditionSpec:
        """A vector, a sequence, or both, of the encoder's width."""
        gives, width = self.encoder.gives, int(self.encoder.config.hidden_size)
        return ConditionSpec(None if gives == "sequence" else width, None if gives == "vector" else width)

    def prepare(self, texts: Sequence[str]) -> None:
        """See `Prepared`."""
        self._check()
        self.encoder.prepare(texts, self._like.device)

    def forward(self, batch: Batch) -> Condition:
        """What the encoder says of `batch["text"]`."""
        self._check()
        like = self._like
        told = self.encoder(batch[self.key], like.device, keep=self.training)
        return told.map(lambda a: a.to(like if a.is_floating_point() else like.device))

    def _check(self) -> None:
        """Take note of the encoder's digest; raise `DiffkitError` if it is not the one that was trained with."""
        if self._checked:
            return
        own, name = self.encoder.digest, self.encoder.pretrained.name
        known = bytes(self.digest.tolist())
        if any(known) and known != own:
            raise DiffkitError(
                f"pretrained={name} holds other weights (sha256 {own.hex()[:12]}) than the encoder that this model was "
                f"trained with (sha256 {known.hex()[:12]}): put that one in its place"
            )
        self.digest.copy_(torch.tensor(list(own), dtype=torch.uint8))
        self._checked = True


def _unchecked(module: nn.Module, faults: Any) -> None:
    """A digest that was loaded is compared when the encoder is used next."""
    assert isinstance(module, FrozenText)
    module._checked = False


class ClipText(FrozenText):
    """The text tower of a trained CLIP, frozen; reads the column `"text"`, strings.

    `pretrained` is a folder in the format of transformers, `package:folder` for one that a package ships, or a name at
    the Hugging Face hub. The sequence is the tokens after the given `layer`, -1 the last and -2 the one before it, and
    after the tower's final layer norm, whichever the layer; the vector is the tower's own pooled output, always of the
    last layer. With `normalise` each of them has mean 0 and variance 1 over its entries; without, it is what
    transformers gives. Texts are cut at `length` tokens, by default as many as the tower takes, and a warning says so
    once. Each text is encoded once, and what training data need is kept on disk. Raises `DiffkitError` for files that
    are not there, and for what is no CLIP.
    Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision.
    """

    def __init__(
        self,
        pretrained: str,
        gives: Gives = "vector",
        layer: Layer = -1,
        length: Count | None = None,
        normalise: bool = True,
    ) -> None:
        super().__init__(ClipTower(layer), pretrained, gives, length, normalise)
        config = self.encoder.config
        if config.model_type != "clip_text_model":
            raise DiffkitError(f"pretrained={pretrained} is a {config.model_type}, no CLIP: use conditioner=[hf_text]")
        if layer < -config.num_hidden_layers:
            raise DiffkitError(f"layer={layer}: pretrained={pretrained} has {config.num_hidden_layers} layers")


class HFText(FrozenText):
    """Any text encoder that transformers can load, frozen (T5, BERT, MiniLM); reads the column `"text"`, strings.

    `pretrained`, `normalise` and `length` are those of `clip_text`. The sequence is the tokens of the last layer, the
    vector their mean or the first of them, as `pooling` says; of an encoder and decoder only the encoder is used. Each
    text is encoded once, and what training data need is kept on disk. Raises `DiffkitError` for files that are not
    there, and for a network of texts and pictures.
    Raffel et al. 2020, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer; Reimers and
    Gurevych 2019, Sentence-BERT.
    """

    def __init__(
        self,
        pretrained: str,
        gives: Gives = "vector",
        pooling: Literal["mean", "cls"] = "mean",
        length: Count | None = None,
        normalise: bool = True,
    ) -> None:
        super().__init__(AnyTower(pooling), pretrained, gives, length, normalise)
        if not self.encoder.alone:
            raise DiffkitError(f"pretrained={pretrained} is more than text: for a CLIP use conditioner=[clip_text]")
