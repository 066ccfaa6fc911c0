"""The parts that come with diffkit, offered by the same hook as anybody's."""

from diffkit.compose.hooks import API, Component, hookimpl

diffkit_api = API

_PARTS = {
    "schedule": {
        "linear": "schedules.chain:Linear",
        "scaled_linear": "schedules.chain:ScaledLinear",
        "quadratic": "schedules.chain:ScaledLinear",
        "exponential": "schedules.chain:Exponential",
        "tabulated": "schedules.chain:Tabulated",
        "cosine": "schedules.continuous:Cosine",
        "sigmoid": "schedules.logsnr:Sigmoid",
        "laplace": "schedules.logsnr:Laplace",
        "vp": "schedules.continuous:Vp",
        "subvp": "schedules.continuous:SubVp",
        "ve": "schedules.continuous:Ve",
        "edm": "schedules.continuous:Edm",
        "flow": "schedules.continuous:Flow",
        "shifted": "schedules.wrappers:Shifted",
        "zero_snr": "schedules.wrappers:ZeroSnr",
    },
    "prediction": {
        "eps": "predictions:Eps",
        "x0": "predictions:X0",
        "v": "predictions:V",
        "flow": "predictions:Flow",
        "edm": "predictions:Edm",
        "score": "predictions:Score",
    },
    "denoiser": {
        "unet": "denoisers.unet:UNet",
        "dit": "denoisers.dit:DiT",
        "mlp": "denoisers.mlp:Mlp",
        "set_transformer": "denoisers.set_transformer:SetTransformer",
    },
    "conditioner": {
        "class": "conditioners.label:ClassLabel",
        "text": "conditioners.text:Text",
        "low_resolution": "conditioners.low_resolution:LowResolution",
    },
    "guidance": {
        "cfg": "guidance.cfg:Cfg",
        "interval": "guidance.interval:Interval",
        "rescale": "guidance.rescale:Rescale",
        "apg": "guidance.apg:Apg",
        "auto": "guidance.auto:Auto",
        "classifier": "guidance.classifier:ClassifierGuidance",
        "static_threshold": "guidance.threshold:StaticThreshold",
        "dynamic_threshold": "guidance.threshold:DynamicThreshold",
    },
    "sampler": {
        "ddpm": "samplers.ddpm:Ddpm",
        "ddim": "samplers.ddim:Ddim",
        "euler": "samplers.euler:Euler",
        "euler_ancestral": "samplers.euler_ancestral:EulerAncestral",
        "heun": "samplers.heun:Heun",
        "edm": "samplers.edm:EdmSampler",
        "midpoint": "samplers.midpoint:Midpoint",
        "dpm_2s": "samplers.dpm_2s:Dpm2S",
        "dpm2": "samplers.dpm_2s:Dpm2S",
        "dpm_2s_ancestral": "samplers.dpm_2s_ancestral:Dpm2SAncestral",
        "dpm2_ancestral": "samplers.dpm_2s_ancestral:Dpm2SAncestral",
        "dpm_3s": "samplers.dpm_3s:Dpm3S",
        "dpmpp_2s": "samplers.dpmpp_2s:DpmPp2S",
        "dpmpp_2s_ancestral": "samplers.dpmpp_2s_ancestral:DpmPp2SAncestral",
        "dpmpp_sde": "samplers.dpmpp_sde:DpmPpSde",
        "dpmpp_3s": "samplers.dpmpp_3s:DpmPp3S",
        "exponential_rk": "samplers.exponential_rk:ExponentialRk",
        "ipndm": "samplers.ipndm:Ipndm",
        "pndm": "samplers.pndm:Pndm",
        "rk45": "samplers.rk45:Rk45",
        "predictor_corrector": "samplers.predictor_corrector:PredictorCorrector",
        "restart": "samplers.restart:Restart",
        "dpmpp_2m": "samplers.dpmpp_2m:DpmPp2M",
        "dpmpp_2m_sde": "samplers.dpmpp_2m_sde:DpmPp2MSde",
        "dpmpp_3m": "samplers.dpmpp_3m:DpmPp3M",
        "dpmpp_3m_sde": "samplers.dpmpp_3m_sde:DpmPp3MSde",
        "lms": "samplers.lms:Lms",
        "abm": "samplers.abm:Abm",
        "deis": "samplers.deis:Deis",
        "unipc": "samplers.unipc:UniPC",
        "sa_solver": "samplers.sa_solver:SaSolver",
    },
    "grid": {
        "uniform": "grids.times:Uniform",
        "quadratic": "grids.times:Quadratic",
        "beta": "grids.times:Beta",
        "trailing": "grids.spacings:Trailing",
        "leading": "grids.spacings:Leading",
        "linspace": "grids.spacings:Linspace",
        "logsnr": "grids.levels:LogSnr",
        "exponential": "grids.levels:Exponential",
        "karras": "grids.levels:Karras",
        "flow": "grids.levels:Flow",
        "tabulated": "grids.tabulated:Tabulated",
        "optimised": "grids.optimised:Optimised",
    },
    "density": {
        "uniform": "densities:UniformDensity",
        "logit_normal": "densities:LogitNormal",
        "edm": "densities:EdmDensity",
        "mode": "densities:Mode",
        "cosine_map": "densities:CosineMap",
        "importance": "densities:Importance",
    },
    "weighting": {
        "unit": "weightings:Unit",
        "snr": "weightings:Snr",
        "truncated_snr": "weightings:TruncatedSnr",
        "snr_plus_one": "weightings:SnrPlusOne",
        "min_snr": "weightings:MinSnr",
        "soft_min_snr": "weightings:SoftMinSnr",
        "p2": "weightings:P2",
        "edm": "weightings:EdmWeighting",
        "vlb": "weightings:Vlb",
        "sigmoid": "weightings:Sigmoid",
        "uncertainty": "weightings:Uncertainty",
    },
    "data": {
        "digits": "data.digits:Digits",
        "moons": "data.moons:Moons",
        "shapes": "data.shapes:Shapes",
        "iris": "data.iris:Iris",
        "penguins": "data.penguins:Penguins",
        "table": "data.table:Table",
    },
    "codec": {"identity": "codecs.identity:Identity", "vae": "codecs.vae:Vae"},
    "features": {"classifier": "features:Classifier", "values": "features:Values"},
    "metric": {
        "agreement": "metrics.agreement:Agreement",
        "frechet": "metrics.frechet:Frechet",
        "kernel": "metrics.kernel:KernelDistance",
        "manifold": "metrics.manifold:Manifold",
        "sliced_wasserstein": "metrics.sliced_wasserstein:SlicedWasserstein",
        "energy": "metrics.energy:Energy",
        "mmd": "metrics.mmd:Mmd",
        "two_sample": "metrics.two_sample:TwoSample",
        "column_wasserstein": "metrics.column_wasserstein:ColumnWasserstein",
        "correlation": "metrics.correlation:Correlation",
        "nearest": "metrics.nearest:Nearest",
        "likelihood": "metrics.likelihood:Likelihood",
        "bound": "metrics.bound:Bound",
    },
}


@hookimpl
def diffkit_components() -> list[Component]:
    """Every standard part, and the tasks that a training run trains."""
    parts = [
        Component(kind, name, f"diffkit.standard.{target}")
        for kind, named in _PARTS.items()
        for name, target in named.items()
    ]
    tasks = {
        "diffusion": "diffusion:DiffusionTask",
        "classifier": "classifier:ClassifierTask",
        "autoencoder": "autoencoder:AutoencoderTask",
    }
    return [*parts, *(Component("task", name, f"diffkit.run.{where}") for name, where in tasks.items())]
