"""`diffkit train`: from a config to a finished run."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from diffkit.compose.build import Parts, build
from diffkit.compose.check import refuse_untrained
from diffkit.compose.foreign import instantiate, maker
from diffkit.core.codec import LearnedCodec
from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import key
from diffkit.run import bundle, closing, resume
from diffkit.run.callbacks import Preview, Stop
from diffkit.run.changes import Changed
from diffkit.run.checkpoint import Checkpoints, newest
from diffkit.run.claim import VARIABLE, Place, claimed
from diffkit.run.evaluate import suiting
from diffkit.run.folder import RunFolder, write_yaml
from diffkit.run.generate import Sampling
from diffkit.run.lock import rank
from diffkit.run.logging import build_loggers
from diffkit.run.module import Task
from diffkit.run.precision import resolve
from diffkit.run.provenance import provenance
from diffkit.run.quiet import Unprofiled, quiet
from diffkit.run.records import Recorder, RunInfo
from diffkit.run.signals import Signals, Stopped
from diffkit.run.snapshots import digest
from diffkit.run.status import Status
from diffkit.run.watch import TIMEOUT, watched

_PREVIEWED = 40
_UNBEGUN = "before training began; the same command starts it again"


@dataclass(frozen=True)
class Job:
    """A run that is ready to start."""

    choices: dict[str, Any]
    parts: Parts
    folder: RunFolder
    trainer: Trainer
    signals: Signals
    loggers: list[Logger]
    point: resume.Point | None

    def config(self) -> dict[str, Any]:
        """The run's config as it is saved."""
        return self.folder.read_config()


def train(cfg: DictConfig, overrides: Sequence[str] = ()) -> Path:
    """Train, draw samples, and return the run's folder.

    Everything that can be wrong is checked before training, and a run that does not begin leaves no folder. With
    `cfg.resume` the run named there goes on with its own choices, except those that `overrides` (as they were typed)
    name; `auto` means the one in `cfg.out`, if one began there. Raises `DiffkitError` for a mistake in the config,
    `RunFailed` for a run that fails by itself, and `Stopped` after a signal.
    """
    composed: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    composed["name"] = composed["name"] or composed["data"]["_part_"].rpartition("/")[2]
    with quiet(), Signals() as signals, signals.stopping(lambda: _UNBEGUN), claimed(composed) as place:
        choices = place.point.choices(composed, overrides) if place.point else resume.fresh(composed)
        choices["trainer"]["precision"] = resolve(choices["trainer"])
        step = place.finished(choices)
        if step:
            print(f"The run in {place.folder.path} has finished: {step} updates; a larger trainer.max_steps goes on.")
        else:
            _run(_prepare(choices, place, signals))
    return place.folder.path


def _run(job: Job) -> None:
    """Train and draw, and say in the folder what became of it."""
    end = Status("finished", 0)
    try:
        if rank() == 0:
            Status("running").write(job.folder.path)
        with job.signals.stopping(lambda: _where(job.folder)):
            _fit(job)
            _close(job)
    except BaseException as error:
        end = _ending(error)
        raise
    finally:
        for logger in job.loggers:
            if isinstance(logger, Recorder):
                logger.close(end.status or 0)
        if rank() == 0:
            with suppress(DiffkitError):  # a full disk is no reason to hide what the run ended with
                replace(end, step=job.parts.task.updates).write(job.folder.path)


def _where(folder: RunFolder) -> str:
    """Where a run was stopped, and how it goes on."""
    try:
        step = newest(folder.checkpoints).step
    except DiffkitError:
        return f"before an update was saved; the same command with resume=auto out={folder.path} begins it anew"
    return f"after update {step}; continue with: {_again(folder)}"


def _again(folder: RunFolder) -> str:
    return f"diffkit train resume={folder.path}"


def _fail(job: Job, why: str) -> None:
    """Note in the folder why this process is about to be ended from outside its main thread."""
    with suppress(DiffkitError):
        Status("failed", RunFailed.status, job.parts.task.updates, why).write(job.folder.path)


def _ending(error: BaseException) -> Status:
    if isinstance(error, DiffkitError):
        return Status("stopped" if isinstance(error, Stopped) else "failed", error.status, error=str(error))
    return Status("failed", RunFailed.status, error=f"{type(error).__name__}: {error}")


def _prepare(choices: dict[str, Any], place: Place, signals: Signals) -> Job:
    """Build and check everything."""
    folder, point = place.folder, place.point
    torch.default_generator.manual_seed(key("init", choices["seed"]))
    parts = build(choices)
    parts.task.finite.patience = choices.get("patience", 1)  # which earlier runs did not have
    if not point:
        refuse_untrained(parts)
    codec = parts.model.codec
    if isinstance(codec, LearnedCodec):  # its weights are the run's own from now on, wherever they came from
        choices["codec"] = {**choices["codec"], **codec.keys}
    Sampling(parts.sampler, parts.grid).check(parts.model)
    suiting(parts.metrics, conditional=True)
    made = provenance(parts.data, choices)
    if isinstance(codec, LearnedCodec) and codec.trained:
        made["codec"] = digest(codec.state_dict())
    if point:
        resume.refuse_other_data(point, made)
        resume.refuse_other_tensors(point, parts.task)
        resumed = {"step": point.checkpoint.step, "version": made["version"]}
        made = {**point.saved["diffkit"], "plugins": made["plugins"], "resumed": resumed}
        changed = [f"after update {point.checkpoint.step}: {change}" for change in point.allowed(choices)]
        if changed:
            made["changed"] = [*made.get("changed", []), *changed]
        for line in point.checkpoint.damaged:
            print(f"Warning: {line}; going on from {point.checkpoint.path.name}, step {point.checkpoint.step}")
    again = [Changed(point.allowed(choices))] if point else []
    trainer = _trainer(choices, folder, [*again, _preview(choices, parts, folder, signals), Stop(signals)])
    _check(choices, trainer, parts.task)
    loggers = _loggers(choices, folder, made, point) if rank() == 0 else []
    trainer.loggers = loggers
    if rank() == 0:
        write_yaml(folder.config, {**choices, "diffkit": made})
        folder.mark_last()
    if choices["compile"]:
        parts.model.denoiser.compile()
    return Job(choices, parts, folder, trainer, signals, loggers, point)


def _loggers(
    choices: dict[str, Any], folder: RunFolder, made: dict[str, Any], point: resume.Point | None
) -> list[Logger]:
    """The loggers of the config; ours are told of the run, Lightning's write into its folder."""
    step = point.checkpoint.step if point else 0
    config = {**choices, "diffkit": made}
    info = RunInfo(folder, choices["name"], config, choices["group"], tuple(choices["tags"]), step)
    return build_loggers(choices["logger"] or {}, info)


def _preview(choices: dict[str, Any], parts: Parts, folder: RunFolder, signals: Signals) -> Preview:
    rows = 1000 if len(parts.data.spec.shape) == 1 else _PREVIEWED
    sampling = Sampling(parts.sampler, parts.grid, tuple(parts.guidance))
    columns = closing.showcase(parts.data, sampling.reads(parts.model), rows)
    return Preview(parts.data, sampling, columns, rows, folder, choices["seed"], choices["preview_every"], signals)


def _trainer(choices: dict[str, Any], folder: RunFolder, ours: list[Callback]) -> Trainer:
    named = choices["callbacks"] or {}
    callbacks = [*ours, *(instantiate(f"callbacks.{name}", node) for name, node in named.items())]
    make = maker("trainer", choices["trainer"])
    try:
        trainer: Trainer = make(
            callbacks=callbacks,
            logger=False,
            **({} if choices["trainer"].get("profiler") else {"profiler": Unprofiled()}),
            plugins=[Checkpoints()],
            default_root_dir=str(folder.path),
            enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        )
    except Exception as error:
        raise DiffkitError(f"the trainer could not be built: {' '.join(str(error).split())}") from error
    return trainer


def _check(choices: dict[str, Any], trainer: Trainer, task: Task) -> None:
    task.check(trainer)
    size = choices["data"].get("batch_size")
    if isinstance(size, int) and size % trainer.world_size:
        raise DiffkitError(
            f"data.batch_size={size} cannot be shared out over {trainer.world_size} devices: choose a multiple of it"
        )


def _fit(job: Job) -> None:
    """Train; raises `Stopped` if a signal ended it, with the bundle of what was learned so far.

    Raises `RunFailed` if a process that reads the data was killed, or that of another device.
    """
    checkpoint = str(job.point.checkpoint.path) if job.point else None
    timeout = float(job.choices.get("timeout", TIMEOUT))
    os.environ[VARIABLE] = str(job.folder.path)
    try:
        with watched(job.trainer, timeout, f"continue with: {_again(job.folder)}", lambda why: _fail(job, why)):
            job.trainer.fit(job.parts.task, datamodule=job.parts.data, ckpt_path=checkpoint)  # type: ignore[arg-type]
    except (RuntimeError, MemoryError) as error:
        if "DataLoader worker" not in str(error):  # torch has no class for it, and raises it wherever the run is
            raise
        killed = isinstance(error, RuntimeError)
        what = "was killed, as by a machine that is out of memory" if killed else "ran out of memory"
        raise RunFailed(f"a process that reads the data {what}; continue with: {_again(job.folder)}") from error
    finally:
        os.environ.pop(VARIABLE, None)
    if job.trainer.is_global_zero:
        bundle.save(job.folder.bundle, job.parts.task.ema, job.config(), job.parts.data.spec)
    job.signals.check()


def _close(job: Job) -> None:
    """Samples, pictures and metrics of the averaged weights, made by the first device, where they draw samples."""
    if not job.trainer.is_global_zero:
        return
    task, parts, seed = job.parts.task, job.parts, job.choices["seed"]
    model = task.ema.to(job.trainer.strategy.root_device)
    closing.keep_bundle(job.loggers, job.folder, task.updates)
    if not isinstance(model, DiffusionModel):
        closing.keep_pictures(job.loggers, job.folder, task.show(parts.data), task.updates)
        print(f"The run is in {job.folder.path}: its {type(model).__name__} is in bundle/.")
        return
    sampling = Sampling(parts.sampler, parts.grid, tuple(parts.guidance)).fitted(model, parts.data.spec)
    if job.choices["samples"]:
        drawn = closing.draw(parts.data, model, sampling, job.folder, job.choices["samples"], seed)
        closing.show(job.loggers, drawn, task.updates)
    closing.judge(parts, model, sampling, job.loggers, task.updates, seed)
    look = ": look at samples/grid.png and samples/strip.png there" if job.choices["samples"] else ""
    print(f"The run is in {job.folder.path}{look}.")
