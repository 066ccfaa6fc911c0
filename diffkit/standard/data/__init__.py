"""Data sets, one a file, and what data parts of others are made with.

Names are loaded when they are first asked for, since they need Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffkit.standard.data.clouds import cloud_grid as cloud_grid
    from diffkit.standard.data.drawing import (
        ImageGrid as ImageGrid,
        image_grid as image_grid,
        scatter_grid as scatter_grid,
    )
    from diffkit.standard.data.loaded import LoadedData as LoadedData
    from diffkit.standard.data.memory import MemoryData as MemoryData
    from diffkit.standard.data.pictured import LoadedPictures as LoadedPictures, Offered as Offered
    from diffkit.standard.data.pixels import Pictures as Pictures
    from diffkit.standard.data.turns import Streamed as Streamed

_WHERE = {
    "ImageGrid": "drawing",
    "LoadedData": "loaded",
    "LoadedPictures": "pictured",
    "MemoryData": "memory",
    "Offered": "pictured",
    "Pictures": "pixels",
    "Streamed": "turns",
    "cloud_grid": "clouds",
    "image_grid": "drawing",
    "scatter_grid": "drawing",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"diffkit.standard.data.{_WHERE[name]}"), name)
