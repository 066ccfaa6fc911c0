"""The codec that changes nothing."""

import torch

from diffkit.standard.codecs.identity import Identity


def test_the_identity_changes_nothing() -> None:
    x = torch.randn(3, 1, 8, 8)
    codec = Identity()
    assert codec.encode(x) is x and codec.decode(x) is x
