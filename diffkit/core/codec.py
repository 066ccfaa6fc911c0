"""Codecs: from the data's space to the one that is diffused, and back."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class Codec(nn.Module, ABC):
    """A pair of maps between standardised data and what the model diffuses."""

    @abstractmethod
    def encode(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *e"]:
        """Latents of standardised data."""

    @abstractmethod
    def decode(self, z: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
        """Standardised data of latents."""
