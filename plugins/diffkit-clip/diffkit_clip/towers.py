"""Networks that were trained on text elsewhere: how each kind is loaded, and what is taken from it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from diffkit_clip.pretrained import Pretrained


@dataclass(frozen=True)
class Tower(ABC):
    """A kind of network, and what is asked of it."""

    @abstractmethod
    def load(self, pretrained: Pretrained, config: Any) -> nn.Module:
        """The network."""

    @abstractmethod
    def encode(
        self, network: nn.Module, ids: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b e"], Float[Tensor, "b l e"]]:
        """The vector of each text, and those of its tokens; what is behind a text's end has no effect on them."""


@dataclass(frozen=True)
class ClipTower(Tower):
    """The text tower of a CLIP."""

    layer: int

    def load(self, pretrained: Pretrained, config: Any) -> nn.Module:
        """See `Tower`."""
        from transformers import CLIPTextModel

        return pretrained.network(CLIPTextModel)

    def encode(
        self, network: nn.Module, ids: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b e"], Float[Tensor, "b l e"]]:
        """The tower's own pooled output, and the tokens after the layer and the last norm."""
        clip: Any = network
        said = clip(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
        return said.pooler_output, clip.final_layer_norm(said.hidden_states[self.layer])


@dataclass(frozen=True)
class AnyTower(Tower):
    """An encoder, or the encoder of an encoder and decoder."""

    pooling: Literal["mean", "cls"]

    def load(self, pretrained: Pretrained, config: Any) -> nn.Module:
        """See `Tower`."""
        from transformers import AutoModel, AutoModelForTextEncoding

        return pretrained.network(AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel)

    def encode(
        self, network: nn.Module, ids: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b e"], Float[Tensor, "b l e"]]:
        """The mean of the last layer's tokens or the first of them, and the tokens."""
        tokens = network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        if self.pooling == "cls":
            return tokens[:, 0], tokens
        there = mask[..., None].to(tokens)
        return (tokens * there).sum(1) / there.sum(1), tokens
