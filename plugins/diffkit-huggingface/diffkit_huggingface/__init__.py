"""Data sets of the library datasets for diffkit."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """The data."""
    return [diffkit.Component("data", "huggingface", "diffkit_huggingface.data:Huggingface")]
