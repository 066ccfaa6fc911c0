"""From objects to runs: train, sample, evaluate on Lightning.

`Task`, which the tasks of plugins inherit from, is loaded when it is first asked for: it needs Lightning.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffkit.run.module import Task as Task

__all__ = ["Task"]


def __getattr__(name: str) -> Any:
    if name != "Task":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from diffkit.run.module import Task

    return Task
