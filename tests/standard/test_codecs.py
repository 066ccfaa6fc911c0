"""Codecs: a round trip is the identity."""

import pytest
import torch
from parts import every

from diffkit.core.codec import Codec


@pytest.mark.parametrize("codec", every("codec", shape=(1, 8, 8)))
def test_round_trip(codec: Codec) -> None:
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(codec.decode(codec.encode(x)), x)
