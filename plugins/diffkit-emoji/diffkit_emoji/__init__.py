"""Captioned colour pictures for diffkit, presets that train on them, and a model that was: `run=emoji`."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """The data."""
    return [diffkit.Component("data", "emoji", "diffkit_emoji.data:Emoji")]


@diffkit.hookimpl
def diffkit_configs() -> list[str]:
    """The presets."""
    return ["diffkit_emoji.conf"]


@diffkit.hookimpl
def diffkit_bundles() -> list[diffkit.NamedBundle]:
    """What `experiment=emoji_text` made."""
    return [diffkit.NamedBundle("emoji", "diffkit_emoji:bundles/emoji", "Emoji of 32 x 32 pixels from words.")]
