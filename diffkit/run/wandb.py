"""Weights & Biases: everything a run shows, offline unless the user is logged in; it never costs a run."""

import atexit
import os
import sys
from collections.abc import Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Thread, Timer
from time import monotonic
from typing import Any, Literal
from uuid import uuid4

from PIL.Image import Image

from diffkit.core.types import Positive
from diffkit.run.background import Background
from diffkit.run.metrics_file import read
from diffkit.run.records import Clip, Content, Files, Histogram, Pictures, Recorder, RunInfo, Table
from diffkit.run.wandb_parts import parts

Mode = Literal["auto", "online", "offline", "disabled"]
_TIMEOUT = 8.0
"""Seconds until a server that does not let a run begin is given up."""
_ASK, _FINISH = 0.2, 0.7
"""Of the wait: what a server gets to answer whether it takes an artifact, and what W&B gets to send what is left.

W&B gives up by itself after that, with its file whole.
"""


class Wandb(Recorder):
    """One W&B run for a run; a resumed run continues it under the same id.

    Every call is made on a thread of its own, so that a server, or W&B's own process, that refuses or hangs costs a
    warning and no step. `wait` is how long the end of a run waits for it, in seconds; W&B's process is ended then.
    `mode="auto"` is online if an API key is in the environment or in the netrc file, and offline otherwise; WANDB_MODE
    in the environment decides over that. Nothing is ever asked. A run that cannot be online is kept offline, to be
    sent later, and so is one that goes on from a part that still waits to be sent.

    W&B gets each step once: what it lacks of the steps before a resumed run is taken from `metrics.csv`, and steps
    that it has are not given to it again.
    """

    def __init__(
        self,
        info: RunInfo,
        project: str = "diffkit",
        entity: str | None = None,
        mode: Mode = "auto",
        wait: Positive = 20.0,
    ) -> None:
        super().__init__()
        self._info = info
        self._id = _identity(info)
        self._wait = wait
        self._run: Any = None
        self._last = -1
        """The last step that W&B has from before."""
        self._later = ""
        known = _figures(info)
        self._call = Background("W&B", lambda: f"Every figure is in {info.folder.metrics}.{self._later}")
        self._call(lambda: self._start(project, entity, mode, known))

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
        self._call(lambda: self._log(values, step or 0))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the config is there from the start."""

    def record(self, name: str, content: Content, step: int) -> None:
        """Log pictures, a histogram, a table or a film at a step, or keep a folder as an artifact."""
        self._call(lambda: self._record(name, content, step))

    def close(self, status: int) -> None:
        """Finish the W&B run with the run's exit status."""
        atexit.unregister(self._abandon)
        end = monotonic() + self._wait
        self._call(lambda: self._run.finish(exit_code=status))
        if not self._call.close(self._wait):
            _end_process(status, end - monotonic())

    def _abandon(self) -> None:
        """Python exits, and nobody has closed this."""
        self.close(1)

    def _start(self, project: str, entity: str | None, mode: Mode, known: Mapping[int, Mapping[str, float]]) -> None:
        chosen = _mode() if mode == "auto" else mode
        before = parts(self._info.folder.wandb, self._id)
        if chosen == "online" and any(part.waits for part in before):
            chosen = self._offline("what was logged before this run went on has not been sent yet")
        try:
            self._run = self._init(project, entity, chosen, bool(before))
        except Exception as error:
            if chosen != "online":
                raise
            _end_process()  # else it would hold on to the run's id
            self._run = self._init(project, entity, self._offline(_said(error)), bool(before))
        atexit.register(self._abandon)  # before W&B's own hook, which waits for ever
        online = not self._run.offline
        self._last = self._run.starting_step - 1 if online else max((part.last for part in before), default=-1)
        if online and not self._run.disabled:
            self._later = (
                " What W&B did not get can be sent as a run of its own:"
                f" wandb sync --include-online --id {self._id}-2 {self._info.folder.wandb}/*run-*"
            )
        for step, values in known.items():
            if step > self._last:
                self._run.log(values, step=step)

    def _init(self, project: str, entity: str | None, mode: str, again: bool) -> Any:
        import wandb

        info = self._info
        _ignore_folder()
        wandb.setup(wandb.Settings(silent=True))
        return wandb.init(
            project=project,
            entity=entity,
            mode=mode,  # type: ignore[arg-type]
            dir=str(info.folder.path.resolve()),
            id=self._id,
            resume="allow" if again else None,
            name=info.name,
            group=info.group,
            tags=list(info.tags) or None,
            config=info.config,
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=_TIMEOUT,
                finish_timeout=_FINISH * self._wait,
                finish_timeout_raises=True,
                reinit="finish_previous",
                disable_git=True,  # a remote's address may hold a token
            ),
        )

    def _offline(self, why: str) -> Literal["offline"]:
        command = f"wandb sync {self._info.folder.wandb}/offline-run-*"
        print(f"W&B is offline for this run: {why}. Send it later with: {command}", file=sys.stderr)
        return "offline"

    def _log(self, values: Mapping[str, Any], step: int) -> None:
        """Log at a step, unless W&B had it before; a run's end has new things to say of the step it went on from."""
        if step > self._last:
            self._run.log(values, step=step)
        elif step == self._info.step:
            self._run.log(values, step=self._last + 1)

    def _record(self, name: str, content: Content, step: int) -> None:
        import wandb

        if isinstance(content, Files):
            artifact = wandb.Artifact(f"{name}-{self._id}", content.kind)
            for file in sorted(content.path.iterdir()):
                artifact.add_file(str(file))
            self._keep(artifact)
        elif isinstance(content, Pictures):
            pairs = zip(content.images, content.captions, strict=True)
            self._log({name: [wandb.Image(image, caption=text) for image, text in pairs]}, step)
        elif isinstance(content, Clip):
            self._log({name: wandb.Video(content.path, caption=content.caption)}, step)
        elif isinstance(content, Histogram):
            self._log({name: _histogram(content)}, step)
        else:
            self._log({name: wandb.Table(list(content.columns), _cells(content))}, step)

    def _keep(self, artifact: Any) -> None:
        """Log an artifact: W&B asks its server first, for minutes if need be, and nothing else would be done."""
        asked: Future[None] = Future()

        def ask() -> None:
            try:
                asked.set_result(self._run.log_artifact(artifact))
            except Exception as error:
                asked.set_exception(error)

        Thread(target=ask, name="W&B's artifact", daemon=True).start()
        if not wait([asked], _ASK * self._wait).done:
            raise TimeoutError("its server does not answer")
        asked.result()


def _histogram(content: Histogram) -> Any:
    import numpy as np
    import wandb

    return wandb.Histogram(np_histogram=(np.nan_to_num(np.array(content.values)), np.array(content.edges)))


def _cells(table: Table) -> list[list[Any]]:
    import wandb

    return [[wandb.Image(cell) if isinstance(cell, Image) else cell for cell in row] for row in table.rows]


def _end_process(status: int = 1, seconds: float = 0.0) -> None:
    """End W&B's own process, and with it the hooks by which Python would wait for it when it exits.

    It may take so many seconds to write down what it holds of its runs, which end with that exit status.
    """
    ender = Thread(target=_end, args=(status, max(0.0, seconds)), name="W&B's end", daemon=True)
    ender.start()
    ender.join(max(0.0, seconds) + 2)


def _end(status: int, seconds: float) -> None:
    import wandb
    from wandb.sdk.wandb_setup import singleton

    with suppress(Exception):
        connection = singleton()._connection
        if connection is not None and connection._proc is not None:
            killer = Timer(seconds, connection._proc._process.kill)
            killer.daemon = True
            killer.start()
        wandb.teardown(status)


def _ignore_folder() -> None:
    """Keep W&B from `wandb/settings` in the current folder, which may name the server that the key is sent to."""
    from wandb.sdk.wandb_settings import Settings

    Settings.settings_workspace = property(lambda _: os.devnull)  # type: ignore[method-assign,assignment]


def _said(error: Exception) -> str:
    """The first line, without its full stop: others advise what is of no use here."""
    return str(error).partition("\n")[0].strip(" .") or type(error).__name__


def _figures(info: RunInfo) -> dict[int, dict[str, float]]:
    """The numbers that `metrics.csv` has of the steps before a resumed run; not histograms, a column for each bin."""
    known: dict[int, dict[str, float]] = {}
    for row in read(info.folder.metrics).rows if info.step else []:
        step = int(row["step"])
        values = {n: float(v) for n, v in row.items() if v and n != "step" and not _is_number(n.rpartition("/")[2])}
        if step <= info.step and values:
            known.setdefault(step, {}).update(values)
    return dict(sorted(known.items()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
    return "online" if os.environ.get("WANDB_API_KEY") or _logged_in() else "offline"


def _logged_in() -> bool:
    """Whether W&B finds a key for its server by itself: `wandb login` wrote it into the netrc file."""
    import wandb
    from wandb.sdk.lib.wbauth import read_netrc_auth

    _ignore_folder()
    settings = wandb.setup(wandb.Settings(silent=True)).settings
    try:
        return bool(settings.api_key or read_netrc_auth(host=settings.base_url))
    except wandb.errors.AuthenticationError:
        return True  # there is one, which the server will not take: that is told
