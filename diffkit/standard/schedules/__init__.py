"""Noise schedules: how much of the data and how much noise is left at each time."""

from diffkit.standard.schedules.chain import Exponential, Linear, ScaledLinear, Tabulated
from diffkit.standard.schedules.continuous import Cosine, Edm, Flow, SubVp, Ve, Vp
from diffkit.standard.schedules.logsnr import Laplace, Sigmoid
from diffkit.standard.schedules.wrappers import Shifted, ZeroSnr

__all__ = [
    "Cosine",
    "Edm",
    "Exponential",
    "Flow",
    "Laplace",
    "Linear",
    "ScaledLinear",
    "Shifted",
    "Sigmoid",
    "SubVp",
    "Tabulated",
    "Ve",
    "Vp",
    "ZeroSnr",
]
