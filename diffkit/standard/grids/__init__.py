"""Grids: where a sampler stops on its way from noise to data. All end exactly at t = 0."""

from diffkit.standard.grids.levels import Exponential, Flow, Karras, LogSnr
from diffkit.standard.grids.spacings import Leading, Linspace, Trailing
from diffkit.standard.grids.times import Beta, Quadratic, Uniform

__all__ = [
    "Beta",
    "Exponential",
    "Flow",
    "Karras",
    "Leading",
    "Linspace",
    "LogSnr",
    "Quadratic",
    "Trailing",
    "Uniform",
]
