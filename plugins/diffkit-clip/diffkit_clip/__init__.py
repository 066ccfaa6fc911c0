"""Words and pictures for diffkit: pretrained text encoders, a CLIP of noisy pictures, and guidance by it."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """The parts."""
    return []
