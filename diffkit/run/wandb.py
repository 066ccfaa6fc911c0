"""Weights & Biases: everything a run shows, offline unless the user is logged in; it never costs a run."""

import os
from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

from PIL.Image import Image

from diffkit.run.background import Background
from diffkit.run.records import Clip, Content, Files, Histogram, Pictures, Recorder, RunInfo, Table

Mode = Literal["auto", "online", "offline", "disabled"]


class Wandb(Recorder):
    """One W&B run for a run; a resumed run continues it under the same id.

    Every call is made on a thread of its own, so that a server, or W&B's own process, that refuses or hangs costs a
    warning and no step. `wait` is how long the end of a run waits for it, in seconds. `mode="auto"` is online if an
    API key is in the environment or in the netrc file, and offline otherwise; WANDB_MODE in the environment decides
    over that. Nothing is ever asked.
    """

    def __init__(
        self,
        info: RunInfo,
        project: str = "diffkit",
        entity: str | None = None,
        mode: Mode = "auto",
        wait: float = 30.0,
    ) -> None:
        super().__init__()
        self._id = _identity(info)
        self._wait = wait
        self._run: Any = None
        self._call = Background("W&B", f"Every figure is in {info.folder.metrics}.")
        self._call(lambda: self._start(info, project, entity, mode))

    @property
    def name(self) -> str:
        """Lightning's word for it."""
        return "wandb"

    @property
    def version(self) -> str:
        """The id of the W&B run."""
        return self._id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers at a step."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self._call(lambda: self._run.log(values, step=step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the config is there from the start."""

    def record(self, name: str, content: Content, step: int) -> None:
        """Log pictures, a histogram, a table or a film at a step, or keep a folder as an artifact."""
        self._call(lambda: self._record(name, content, step))

    def close(self, status: int) -> None:
        """Finish the W&B run with the run's exit status."""
        self._call(lambda: self._run.finish(exit_code=status))
        self._call.close(self._wait)

    def _start(self, info: RunInfo, project: str, entity: str | None, mode: Mode) -> None:
        import wandb

        self._run = wandb.init(
            project=project,
            entity=entity,
            mode=mode if mode != "auto" else _mode(),
            dir=str(info.folder.path.resolve()),
            id=self._id,
            resume="allow",
            name=info.name,
            group=info.group,
            tags=list(info.tags) or None,
            config=info.config,
            settings=wandb.Settings(silent=True, console="off", init_timeout=15, reinit="finish_previous"),
        )

    def _record(self, name: str, content: Content, step: int) -> None:
        import wandb

        if isinstance(content, Files):
            artifact = wandb.Artifact(f"{name}-{self._id}", content.kind)
            for file in sorted(content.path.iterdir()):
                artifact.add_file(str(file))
            self._run.log_artifact(artifact)
        elif isinstance(content, Pictures):
            pairs = zip(content.images, content.captions, strict=True)
            self._run.log({name: [wandb.Image(image, caption=text) for image, text in pairs]}, step=step)
        elif isinstance(content, Clip):
            self._run.log({name: wandb.Video(content.path, caption=content.caption)}, step=step)
        elif isinstance(content, Histogram):
            self._run.log({name: _histogram(content)}, step=step)
        else:
            self._run.log({name: wandb.Table(list(content.columns), _cells(content))}, step=step)


def _histogram(content: Histogram) -> Any:
    import numpy as np
    import wandb

    return wandb.Histogram(np_histogram=(np.nan_to_num(np.array(content.values)), np.array(content.edges)))


def _cells(table: Table) -> list[list[Any]]:
    import wandb

    return [[wandb.Image(cell) if isinstance(cell, Image) else cell for cell in row] for row in table.rows]


def _identity(info: RunInfo) -> str:
    """The id of this run's W&B run: a new one, or the one that it had."""
    file = info.folder.wandb / "id"
    if file.is_file():
        return file.read_text(encoding="utf-8").strip()
    identity = uuid4().hex[:8]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(identity + "\n", encoding="utf-8")
    return identity


def _mode() -> Literal["online", "offline", "disabled", "shared"]:
    """WANDB_MODE if it is set; online if there is a key; else offline."""
    chosen = os.environ.get("WANDB_MODE")
    if chosen in ("online", "offline", "disabled", "shared"):
        return chosen  # type: ignore[return-value]
    return "online" if os.environ.get("WANDB_API_KEY") or _in_netrc() else "offline"


def _in_netrc() -> bool:
    from netrc import NetrcParseError, netrc
    from pathlib import Path
    from urllib.parse import urlparse

    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    files = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for file in files:
        try:
            if netrc(Path(file).expanduser()).authenticators(host):
                return True
        except (OSError, NetrcParseError):
            continue
    return False
