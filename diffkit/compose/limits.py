"""What Lightning and torch take, and then do nothing with, or something else: the ranges of their arguments."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from diffkit.core.types import Count, Fraction, Natural, NonNegative, Positive, Range


@dataclass(frozen=True)
class Form:
    """Texts that have this form."""

    pattern: str
    example: str

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return f"such as {self.example}"


_Time = Annotated[str, Form(r"\d+:\d\d:\d\d:\d\d", "00:01:30:00 (days, hours, minutes, seconds)")] | dict[str, Natural]
_Share = Annotated[float, Range(0, 1, open=True)]
"""Above 0 and at most 1."""
_Endless = Literal[-1]
"""Lightning's word for no limit, or for all that there is."""

TRAINER: dict[str, Any] = {
    "max_steps": Count | _Endless,
    "min_steps": Natural | None,
    "max_epochs": Count | _Endless | None,
    "min_epochs": Natural | None,
    "limit_train_batches": Count | _Share | None,
    "limit_val_batches": Natural | Fraction | None,
    "limit_test_batches": Natural | Fraction | None,
    "limit_predict_batches": Natural | Fraction | None,
    "overfit_batches": Natural | Fraction,
    "fast_dev_run": bool | Natural,
    "max_time": _Time | None,
    "val_check_interval": Count | _Share | _Time | None,
    "check_val_every_n_epoch": Count | None,
    "num_sanity_val_steps": Natural | _Endless | None,
    "log_every_n_steps": Natural | None,
    "accumulate_grad_batches": Count,
    "gradient_clip_val": NonNegative | None,
    "devices": Count | _Endless | list[Natural] | Annotated[str, Form(r"auto|[1-9]\d*|\d+,|\d+(,\d+)+", "auto or 0,1")],
    "num_nodes": Count,
    "reload_dataloaders_every_n_epochs": Natural,
}
OPTIMIZER: dict[str, Any] = {
    "lr": Positive,
    "weight_decay": NonNegative,
    "eps": NonNegative,
    "momentum": NonNegative,
    "betas": tuple[Fraction, Fraction],
}
_LIMITS: dict[str, Mapping[str, Any]] = {"trainer": TRAINER, "optimizer": OPTIMIZER}


def limited(group: str, name: str, hint: Any) -> Any:
    """The hint of an argument of an object of this group, with its range where one is known."""
    return _LIMITS.get(group, {}).get(name, hint)
