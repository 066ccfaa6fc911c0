"""Captioned colour pictures for diffkit: `data=emoji`, and `experiment=emoji` that trains on them."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """The data."""
    return [diffkit.Component("data", "emoji", "diffkit_emoji.data:Emoji")]


@diffkit.hookimpl
def diffkit_configs() -> list[str]:
    """The preset."""
    return ["diffkit_emoji.conf"]
