"""Words and pictures for diffkit: pretrained text encoders, a CLIP of noisy pictures, and guidance by it."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """The parts."""
    return [
        diffkit.Component("conditioner", "clip_text", "diffkit_clip.encoders:ClipText"),
        diffkit.Component("conditioner", "hf_text", "diffkit_clip.encoders:HFText"),
        diffkit.Component("guidance", "clip", "diffkit_clip.guidance:ClipGuidance"),
        diffkit.Component("task", "clip", "diffkit_clip.task:CLIPTask"),
        diffkit.Component("metric", "alignment", "diffkit_clip.metrics:Alignment"),
        diffkit.Component("metric", "r_precision", "diffkit_clip.metrics:RPrecision"),
    ]


@diffkit.hookimpl
def diffkit_configs() -> list[str]:
    """The presets."""
    return ["diffkit_clip.conf"]


@diffkit.hookimpl
def diffkit_commands() -> list[diffkit.Command]:
    """The export."""
    summary = "write a run's CLIP in the format of transformers"
    return [diffkit.Command("clip-export", "diffkit_clip.export:command", summary)]
