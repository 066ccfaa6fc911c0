"""Random numbers as functions of what they are for: nothing here or elsewhere keeps hidden state."""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor


def key(*parts: int | str) -> int:
    """A 63-bit seed from `parts`, such as a run's seed and a step; different parts give unrelated seeds."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator that depends on `parts` alone."""
    return torch.Generator().manual_seed(key(*parts))


class Noise:
    """Standard normal noise for b samples, each with a stream of its own that depends on `(seed, id)` alone.

    So sample i gets the same noise in a batch of any size, in any order, and on any number and kind of devices.
    Numbers are drawn in float32 on the CPU.
    """

    def __init__(self, seed: int, ids: Sequence[int]) -> None:
        self._streams = [generator("sample", seed, i) for i in ids]

    def __call__(self, x: Tensor) -> Tensor:
        """The next noise for each row of `x`, with its shape, dtype and device."""
        cuda = x.device.type == "cuda"
        noise = torch.empty(x.shape, dtype=torch.float32, pin_memory=cuda)
        for row, stream in zip(noise, self._streams, strict=True):
            row.normal_(generator=stream)
        return noise.to(device=x.device, dtype=x.dtype, non_blocking=cuda)
