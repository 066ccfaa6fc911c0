"""What a part is: the interfaces, and the model that binds them.

Names are loaded when they are first asked for, so that importing this package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffkit.core.bad import BadSample as BadSample, Policy as Policy
    from diffkit.core.bound import variational_bound as variational_bound
    from diffkit.core.codec import Codec as Codec, LearnedCodec as LearnedCodec
    from diffkit.core.condition import Condition as Condition, ConditionSpec as ConditionSpec
    from diffkit.core.conditioner import (
        Conditioner as Conditioner,
        Conditioners as Conditioners,
        Prepared as Prepared,
    )
    from diffkit.core.data import (
        Augmented as Augmented,
        Captioned as Captioned,
        Data as Data,
        DataSpec as DataSpec,
        Depicted as Depicted,
        Drawing as Drawing,
        Keeping as Keeping,
        Portable as Portable,
        Scanned as Scanned,
    )
    from diffkit.core.denoiser import DenoiserNetwork as DenoiserNetwork
    from diffkit.core.errors import DiffkitError as DiffkitError, DiffkitWarning as DiffkitWarning
    from diffkit.core.evidence import Density as Density
    from diffkit.core.features import Features as Features
    from diffkit.core.grid import Grid as Grid
    from diffkit.core.guidance import (
        Branches as Branches,
        Denoise as Denoise,
        Guidance as Guidance,
        Ramp as Ramp,
        check_ramp as check_ramp,
        strength as strength,
    )
    from diffkit.core.likelihood import log_likelihood as log_likelihood
    from diffkit.core.metric import (
        Figure as Figure,
        Measured as Measured,
        ModelMetric as ModelMetric,
        SampleMetric as SampleMetric,
    )
    from diffkit.core.model import DiffusionModel as DiffusionModel, Network as Network
    from diffkit.core.noise import Noise as Noise
    from diffkit.core.objective import (
        AdaptiveDensity as AdaptiveDensity,
        LearnedWeighting as LearnedWeighting,
        TimeDensity as TimeDensity,
        Weighting as Weighting,
        on_chain as on_chain,
    )
    from diffkit.core.prediction import Prediction as Prediction, convert as convert
    from diffkit.core.sampler import (
        Denoiser as Denoiser,
        Draw as Draw,
        Rows as Rows,
        Sampler as Sampler,
        State as State,
        Times as Times,
    )
    from diffkit.core.schedule import Schedule as Schedule
    from diffkit.core.sde import reverse_sde as reverse_sde
    from diffkit.core.types import (
        Batch as Batch,
        Count as Count,
        Fraction as Fraction,
        Natural as Natural,
        NonNegative as NonNegative,
        Positive as Positive,
        Range as Range,
        Shape as Shape,
    )

_HOME = {
    "bad": ["BadSample", "Policy"],
    "bound": ["variational_bound"],
    "codec": ["Codec", "LearnedCodec"],
    "condition": ["Condition", "ConditionSpec"],
    "conditioner": ["Conditioner", "Conditioners", "Prepared"],
    "data": ["Augmented", "Captioned", "Data", "DataSpec", "Depicted", "Drawing", "Keeping", "Portable", "Scanned"],
    "denoiser": ["DenoiserNetwork"],
    "errors": ["DiffkitError", "DiffkitWarning"],
    "evidence": ["Density"],
    "features": ["Features"],
    "grid": ["Grid"],
    "guidance": ["Branches", "Denoise", "Guidance", "Ramp", "check_ramp", "strength"],
    "likelihood": ["log_likelihood"],
    "metric": ["Figure", "Measured", "ModelMetric", "SampleMetric"],
    "model": ["DiffusionModel", "Network"],
    "noise": ["Noise"],
    "objective": ["AdaptiveDensity", "LearnedWeighting", "TimeDensity", "Weighting", "on_chain"],
    "prediction": ["Prediction", "convert"],
    "sampler": ["Denoiser", "Draw", "Rows", "Sampler", "State", "Times"],
    "schedule": ["Schedule"],
    "sde": ["reverse_sde"],
    "types": ["Batch", "Count", "Fraction", "Natural", "NonNegative", "Positive", "Range", "Shape"],
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"diffkit.core.{_WHERE[name]}"), name)
