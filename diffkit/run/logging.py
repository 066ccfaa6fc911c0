"""The loggers that a config names: every figure in a file, and Weights & Biases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from diffkit.compose.foreign import instantiate, maker
from diffkit.run.folder import RunFolder
from diffkit.run.metrics_file import Csv
from diffkit.run.records import Content, Recorder, RunInfo, log
from diffkit.run.wandb import Wandb

__all__ = ["Csv", "Wandb", "build_loggers", "record"]


def build_loggers(nodes: Mapping[str, Any], info: RunInfo) -> list[Logger]:
    """The loggers of a config by name; ours are told of the run, Lightning's write into its folder.

    Raises `DiffkitError` if one cannot be built.
    """
    loggers: list[Logger] = []
    for name, node in nodes.items():
        make = maker(f"logger.{name}", node)
        ours = isinstance(make.func, type) and issubclass(make.func, Recorder)
        beside = {} if ours or "save_dir" in node else {"save_dir": str(info.folder.path)}
        loggers.append(make(info=info) if ours else instantiate(f"logger.{name}", node, **beside))
    return loggers


def record(
    nodes: Mapping[str, Any], out: Path, name: str, config: Mapping[str, Any], contents: Mapping[str, Content]
) -> None:
    """Give what a command made in `out` to the loggers of its config; each time is a run of its own to them."""
    folder = RunFolder(out)
    (folder.wandb / "id").unlink(missing_ok=True)
    loggers = build_loggers(nodes, RunInfo(folder, name, dict(config)))
    for key, content in contents.items():
        log(loggers, key, content, 0)
    for logger in loggers:
        if isinstance(logger, Recorder):
            logger.close(0)
