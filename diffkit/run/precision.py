"""The precision that trains fastest, as measured: benchmarks/train_speed.py."""

from collections.abc import Mapping
from typing import Any

import torch

AUTO = "auto"


def resolve(trainer: Mapping[str, Any]) -> str:
    """What `trainer.precision` stands for on this machine; anything but `auto` stands for itself.

    bf16 mixed where the processor multiplies bf16 matrices by itself (a CPU with AVX512-BF16 or AMX, a CUDA GPU),
    else float32. It is a rule, not a measurement at each start, so that a run can be repeated.
    """
    asked = trainer.get("precision", AUTO)
    if asked != AUTO:
        return str(asked)
    device = trainer.get("accelerator", AUTO)
    if device in (AUTO, "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    on_cpu = device in (AUTO, "cpu") and not torch.backends.mps.is_available()
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if on_cpu and fast else "32-true"
