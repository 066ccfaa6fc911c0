"""Contracts: what every part of a kind keeps to, as functions that raise `AssertionError` with what they measured.

A plugin's test is one line: `check_sampler(MySampler(), schedules)`.
"""

from diffkit.testing.contracts.data import check_codec, check_data, check_metric
from diffkit.testing.contracts.network import check_conditioner, check_denoiser, check_guidance
from diffkit.testing.contracts.path import (
    check_density,
    check_grid,
    check_prediction,
    check_schedule,
    check_weighting,
)
from diffkit.testing.contracts.sampler import check_sampler

__all__ = [
    "check_codec",
    "check_conditioner",
    "check_data",
    "check_denoiser",
    "check_density",
    "check_grid",
    "check_guidance",
    "check_metric",
    "check_prediction",
    "check_sampler",
    "check_schedule",
    "check_weighting",
]
