"""Proving a part: contracts and oracles that a plugin author imports.

Names are loaded when they are first asked for, so that importing this package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffkit.testing.contracts.codec import check_codec as check_codec
    from diffkit.testing.contracts.conditioner import check_conditioner as check_conditioner
    from diffkit.testing.contracts.data import check_data as check_data
    from diffkit.testing.contracts.denoiser import check_denoiser as check_denoiser
    from diffkit.testing.contracts.density import check_density as check_density
    from diffkit.testing.contracts.features import check_features as check_features
    from diffkit.testing.contracts.grid import check_grid as check_grid
    from diffkit.testing.contracts.guidance import check_guidance as check_guidance
    from diffkit.testing.contracts.metric import check_metric as check_metric
    from diffkit.testing.contracts.model_metric import check_model_metric as check_model_metric
    from diffkit.testing.contracts.prediction import check_prediction as check_prediction
    from diffkit.testing.contracts.sampler import check_sampler as check_sampler
    from diffkit.testing.contracts.schedule import check_schedule as check_schedule
    from diffkit.testing.contracts.task import check_task as check_task
    from diffkit.testing.contracts.weighting import check_weighting as check_weighting
    from diffkit.testing.given import Unproven as Unproven
    from diffkit.testing.kinds import check_part as check_part
    from diffkit.testing.oracle import Gaussian as Gaussian, Mixture as Mixture, Oracle as Oracle, denoiser as denoiser

_KINDS = (
    *("data", "codec", "conditioner", "denoiser", "prediction", "schedule", "density", "weighting", "task"),
    *("sampler", "grid", "guidance", "features", "metric"),
)
_WHERE = {
    **{f"check_{kind}": f"contracts.{kind}" for kind in _KINDS},
    "check_model_metric": "contracts.model_metric",
    "check_part": "kinds",
    "Unproven": "given",
    **dict.fromkeys(("Gaussian", "Mixture", "Oracle", "denoiser"), "oracle"),
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"diffkit.testing.{_WHERE[name]}"), name)
