"""The parts that come with diffkit, offered by the same hook as anybody's."""

from diffkit.compose.plugins import Component, hookimpl

_PARTS = {
    "schedule": {
        "linear": "schedules:Linear",
        "cosine": "schedules:Cosine",
        "flow": "schedules:Flow",
        "edm": "schedules:Edm",
    },
    "prediction": {
        "eps": "predictions:Eps",
        "x0": "predictions:X0",
        "v": "predictions:V",
        "flow": "predictions:Flow",
        "edm": "predictions:Edm",
    },
    "denoiser": {
        "unet": "denoisers.unet:UNet",
        "dit": "denoisers.dit:DiT",
        "mlp": "denoisers.mlp:Mlp",
    },
    "conditioner": {
        "class": "conditioners.label:ClassLabel",
        "text": "conditioners.text:Text",
    },
    "guidance": {"cfg": "guidance.cfg:Cfg"},
    "sampler": {
        "ddpm": "samplers.ddpm:Ddpm",
        "ddim": "samplers.ddim:Ddim",
        "heun": "samplers.heun:Heun",
        "dpmpp_2m": "samplers.dpmpp_2m:DpmPp2M",
    },
    "grid": {
        "uniform": "grids:Uniform",
        "logsnr": "grids:LogSnr",
        "karras": "grids:Karras",
    },
    "density": {
        "uniform": "objectives:UniformDensity",
        "logit_normal": "objectives:LogitNormal",
        "edm": "objectives:EdmDensity",
    },
    "weighting": {
        "unit": "objectives:Unit",
        "min_snr": "objectives:MinSnr",
    },
    "data": {
        "digits": "data.digits:Digits",
        "moons": "data.moons:Moons",
    },
    "codec": {"identity": "codecs:Identity"},
    "metric": {
        "agreement": "metrics.agreement:Agreement",
        "frechet": "metrics.frechet:Frechet",
        "sliced_wasserstein": "metrics.sliced_wasserstein:SlicedWasserstein",
        "nearest": "metrics.nearest:Nearest",
    },
}


@hookimpl
def diffkit_components() -> list[Component]:
    """Every standard part, and the task that a training run trains."""
    parts = [
        Component(kind, name, f"diffkit.standard.{target}")
        for kind, named in _PARTS.items()
        for name, target in named.items()
    ]
    return [*parts, Component("task", "diffusion", "diffkit.run.module:DiffusionTask")]
