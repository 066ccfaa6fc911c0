"""`diffkit train`: from a config to a finished run."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from diffkit.compose.build import Parts, build
from diffkit.compose.check import refuse_untrained
from diffkit.compose.foreign import instantiate
from diffkit.core.codec import LearnedCodec
from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import key
from diffkit.run import bundle, closing, resume
from diffkit.run.callbacks import Preview, Stop
from diffkit.run.checkpoint import Checkpoints
from diffkit.run.evaluate import suiting
from diffkit.run.folder import RunFolder, write_yaml
from diffkit.run.generate import Sampling
from diffkit.run.logging import build_loggers
from diffkit.run.module import Task
from diffkit.run.precision import resolve
from diffkit.run.provenance import provenance
from diffkit.run.quiet import Unprofiled, quiet
from diffkit.run.records import Recorder, RunInfo
from diffkit.run.snapshots import digest

_FOLDER = "DIFFKIT_RUN_FOLDER"
"""Tells the processes that Lightning starts for other devices where the run is."""
_PREVIEWED = 40


@dataclass(frozen=True)
class Job:
    """A run that is ready to start."""

    choices: dict[str, Any]
    parts: Parts
    folder: RunFolder
    trainer: Trainer
    stop: Stop
    loggers: list[Logger]
    point: resume.Point | None

    def config(self) -> dict[str, Any]:
        """The run's config as it is saved."""
        return self.folder.read_config()


class Stopped(DiffkitError):
    """A run that was asked to stop, and can go on from where it is (exit status 128 and the signal's number)."""

    def __init__(self, number: int, folder: RunFolder, step: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name} after update {step}; continue with:"
            f" diffkit train resume={folder.path}"
        )
        self.status = 128 + number


def train(cfg: DictConfig, overrides: Sequence[str] = ()) -> Path:
    """Train, draw samples, and return the run's folder.

    Everything that can be wrong is checked before the folder is made. With `cfg.resume` the run named there goes on
    with its own choices, except those that `overrides` (as they were typed) name. Raises `DiffkitError` for a mistake
    in the config, `RunFailed` for a loss or weights that are not finite, and `Stopped` after a signal.
    """
    composed: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    with quiet():
        job = _prepare(composed, overrides)
        status = RunFailed.status
        try:
            _fit(job)
            _close(job)
            status = 0
        except DiffkitError as error:
            status = error.status
            raise
        except KeyboardInterrupt:
            status = 128 + signal.SIGINT
            raise
        finally:
            for logger in job.loggers:
                if isinstance(logger, Recorder):
                    logger.close(status)
    return job.folder.path


def _prepare(composed: dict[str, Any], overrides: Sequence[str]) -> Job:
    """Build and check everything, then make the folder."""
    point = resume.find(composed["resume"]) if composed["resume"] else None
    choices = point.choices(composed, overrides) if point else composed
    choices["trainer"]["precision"] = resolve(choices["trainer"])
    choices["name"] = choices["name"] or choices["data"]["_part_"].rpartition("/")[2]
    torch.default_generator.manual_seed(key("init", choices["seed"]))
    parts = build(choices)
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
        resumed = {"step": point.checkpoint.step, "version": made["version"]}
        made = {**point.saved["diffkit"], "plugins": made["plugins"], "resumed": resumed}
        for line in point.checkpoint.damaged:
            print(f"Warning: {line}; going on from {point.checkpoint.path.name}, step {point.checkpoint.step}")
    with _claimed(choices, point) as folder:
        stop = Stop()
        trainer = _trainer(choices, folder, [stop, _preview(choices, parts, folder)])
        _check(choices, trainer, parts.task)
        loggers = _loggers(choices, folder, made, point) if _rank() == 0 else []
        trainer.loggers = loggers
        if _rank() == 0:
            write_yaml(folder.config, {**choices, "diffkit": made})
            folder.mark_last()
    if choices["compile"]:
        parts.model.denoiser.compile()
    return Job(choices, parts, folder, trainer, stop, loggers, point)


def _rank() -> int:
    """This process's place among those of the run, known before there is a trainer."""
    return int(getattr(rank_zero_only, "rank", 0))


@contextmanager
def _claimed(choices: dict[str, Any], point: resume.Point | None) -> Iterator[RunFolder]:
    """The run's folder; a new one is given up again if the rest of the preparation fails."""
    told = os.environ.get(_FOLDER)
    if point is not None or (told and _rank() > 0):
        yield point.folder if point else RunFolder(Path(str(told)))
        return
    folder = RunFolder.create(choices["name"], choices["out"])
    try:
        yield folder
    except BaseException:
        if folder.path.is_dir() and not folder.config.exists():
            folder.discard()
        raise


def _loggers(
    choices: dict[str, Any], folder: RunFolder, made: dict[str, Any], point: resume.Point | None
) -> list[Logger]:
    """The loggers of the config; ours are told of the run, Lightning's write into its folder."""
    step = point.checkpoint.step if point else 0
    config = {**choices, "diffkit": made}
    info = RunInfo(folder, choices["name"], config, choices["group"], tuple(choices["tags"]), step)
    return build_loggers(choices["logger"] or {}, info)


def _preview(choices: dict[str, Any], parts: Parts, folder: RunFolder) -> Preview:
    rows = 1000 if len(parts.data.spec.shape) == 1 else _PREVIEWED
    sampling = Sampling(parts.sampler, parts.grid, tuple(parts.guidance))
    columns = closing.showcase(parts.data, sampling.reads(parts.model), rows)
    return Preview(parts.data, sampling, columns, rows, folder, choices["seed"], choices["preview_every"])


def _trainer(choices: dict[str, Any], folder: RunFolder, ours: list[Callback]) -> Trainer:
    named = choices["callbacks"] or {}
    callbacks = [*ours, *(instantiate(f"callbacks.{name}", node) for name, node in named.items())]
    make = instantiate("trainer", choices["trainer"], _partial_=True)
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

    Raises `RunFailed` if a process that reads the data was killed.
    """
    checkpoint = str(job.point.checkpoint.path) if job.point else None
    os.environ[_FOLDER] = str(job.folder.path)
    try:
        job.trainer.fit(job.parts.task, datamodule=job.parts.data, ckpt_path=checkpoint)  # type: ignore[arg-type]
    except SystemExit as error:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):  # torch has no class for it, and raises it wherever the run is
            raise
        raise RunFailed(
            "a process that reads the data was killed, as by a machine that is out of memory; continue with:"
            f" diffkit train resume={job.folder.path}"
        ) from error
    finally:
        os.environ.pop(_FOLDER, None)
    if job.trainer.is_global_zero:
        bundle.save(job.folder.bundle, job.parts.task.ema, job.config(), job.parts.data.spec)
    if job.stop.number:
        raise Stopped(job.stop.number, job.folder, job.parts.task.updates)


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
    print(f"The run is in {job.folder.path}: look at samples/grid.png and samples/strip.png there.")
