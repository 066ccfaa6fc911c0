"""Composing through Hydra: one config as a value, or the jobs of a command."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from diffkit.compose.explain import explained
from diffkit.compose.foreign import ALLOWED
from diffkit.compose.presets import config_dir
from diffkit.compose.process import prepare
from diffkit.compose.registry import registry
from diffkit.compose.saved import Choices, is_run, read_choices
from diffkit.compose.source import SAVED, register, saved_choices
from diffkit.compose.sweep import Sweep, is_override
from diffkit.compose.validate import validate
from diffkit.core.errors import DiffkitError, brief

Task = Callable[[DictConfig, list[str]], object]
"""What is done with a job's config; it is told the job's overrides too, as they were written."""
Check = Callable[[DictConfig], object]
_PARAMS = "hydra.sweeper.params."


def compose(overrides: Sequence[str] = (), verb: str = "train") -> DictConfig:
    """The resolved and checked config of a verb with these overrides.

    Raises `DiffkitError` for an override that does not fit.
    """
    with _ready(verb, overrides) as own:
        cfg = _composed(verb, [*overrides, *own])[0]
        validate(cfg, verb)
    return cfg


def _composed(verb: str, overrides: Sequence[str]) -> tuple[DictConfig, bool]:
    """The config as Hydra gives it, and whether a preset makes it a sweep."""
    with hydra.initialize_config_dir(str(config_dir()), job_name="diffkit", version_base="1.3"):
        cfg = hydra.compose(verb, list(overrides), return_hydra_config=True)
    with open_dict(cfg):
        return cfg, cfg.pop("hydra").mode == RunMode.MULTIRUN


def run(verb: str, task: Task, argv: Sequence[str], check: Check | None = None) -> int:
    """Run a verb's task on the config that `argv` asks for, with any of Hydra's flags; return the exit status.

    With `-m`, each job has a process and a folder of its own, and one that fails does not stop the others; what
    `check` refuses of any job stops all before the first one starts. Raises what a single job raises.
    """
    if any(flag.startswith("--experimental") for flag in argv):
        raise DiffkitError("Hydra's --experimental-rerun is not offered: it runs code from a file.")
    with _ready(verb, [a for a in argv if is_override(a)]) as own:
        if not {"-m", "--multirun"} & set(argv):
            return _single(verb, task, argv, own, check)
        return _sweep(verb, argv, check)


def _single(verb: str, task: Task, argv: Sequence[str], own: Sequence[str], check: Check | None) -> int:
    """One job. Without flags there is no need of Hydra's command, which composes everything twice.

    `own` are overrides that choose what a run which is resumed is made of. An error waits until Hydra is done, which
    would else print it in its own way.
    """
    if all(map(is_override, argv)):
        cfg, sweeps = _composed(verb, [*argv, *own])
        if sweeps:
            return _sweep(verb, argv, check)
        _checked(cfg, verb, check)
        task(cfg, list(argv))
        return 0
    failed: list[Exception] = []
    command = list(sys.argv)

    def job(cfg: DictConfig) -> None:
        try:
            _checked(cfg, verb, check)
            overrides = list(HydraConfig.get().overrides.task)
            with _outside_hydra(command):
                task(cfg, overrides)
        except Exception as error:
            failed.append(error)

    _call_hydra(verb, job, argv)
    if failed:
        raise failed[0]
    return 0


def _sweep(verb: str, argv: Sequence[str], check: Check | None) -> int:
    """Every job is composed and checked before the first one runs, each in a process of its own."""
    sweep, refused = Sweep(list(sys.argv), prepare(f"diffkit.run.{verb}")), list[DiffkitError]()

    def inspect(cfg: DictConfig) -> None:
        overrides = list(HydraConfig.get().overrides.task)
        try:
            _checked(cfg, verb, check)
        except DiffkitError as error:
            refused.append(DiffkitError(f"In the job {' '.join(overrides)!r}: {error}"))
        else:
            sweep.add(cfg, overrides)

    _call_hydra(verb, inspect, argv)
    if refused:
        raise refused[0]
    return sweep.run()


def _checked(cfg: DictConfig, verb: str, check: Check | None) -> None:
    with explained(verb):
        validate(cfg, verb)
    if check is not None:
        check(cfg)


def _call_hydra(verb: str, job: Check, argv: Sequence[str]) -> None:
    """Let Hydra read the flags and call `job`. Hydra's own folders and logs are switched off."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # --info sets all loggers to DEBUG
    before, environment = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    with TemporaryDirectory() as scratch:
        quiet = ["hydra.run.dir=.", "hydra.output_subdir=null", f"hydra.sweep.dir={scratch}", "hydra.sweep.subdir=."]
        quiet += ["hydra/job_logging=none", "hydra/hydra_logging=none"]
        overrides, flags = [a for a in argv if is_override(a)], [a for a in argv if not is_override(a)]
        sys.argv = [before[0], *overrides, *quiet, *flags]  # in one row, since argparse takes no other
        os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises its errors, and we say what they mean
        try:
            hydra.main(config_path=str(config_dir()), config_name=verb, version_base="1.3")(job)()
        finally:
            sys.argv = before
            os.environ.pop("HYDRA_FULL_ERROR")
            if environment is not None:
                os.environ["HYDRA_FULL_ERROR"] = environment


@contextmanager
def _ready(verb: str, overrides: Sequence[str]) -> Iterator[list[str]]:
    """Hydra knows the registry and the choices of the run that is named; errors come out in one sentence.

    Gives overrides that choose the parts of a run which is resumed, but for those that are chosen anew: so its own keys
    are there to be changed.
    """
    register()
    with explained(verb):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        for override in parsed:
            _refuse_choice(override)
            _refuse_target(override)
            _refuse_unread(override)
        _refuse_repeats(parsed)
        _refuse_deletions(parsed)
        if verb == "train":
            choices = _resumed(parsed)
            chosen = {override.key_or_group for override in parsed}
            own = [f"{k}={SAVED}" for k in registry().kinds if choices and k in choices.config and k not in chosen]
        else:
            choices, own = read_choices(_run_of(parsed)), []
        with saved_choices(choices):
            yield own


def _refuse_repeats(parsed: Sequence[Override]) -> None:
    seen: dict[str, Override] = {}
    for override in parsed:
        key = f"{override.key_or_group}@{override.package}"
        if key in seen:
            both = f"{seen[key].input_line} and {override.input_line}"
            raise DiffkitError(f"{override.key_or_group} is given twice ({both}): leave one out.")
        seen[key] = override


def _refuse_target(override: Override) -> None:
    """What Hydra itself runs is what is installed: a sweep's overrides may come from a file."""
    line = override.input_line or ""
    if override.key_or_group.startswith("hydra") and ("_target_" in line or "_logging" in line):
        raise DiffkitError(f"{line} is not allowed: Hydra's own objects are chosen by name alone, as hydra/GROUP=NAME.")


def _refuse_unread(override: Override) -> None:
    """Refuse what would have no effect, and values that read this machine."""
    line, name = brief(override.input_line), override.key_or_group
    if not name:
        raise DiffkitError(f"{line!r} cannot be read: write key=value.")
    if name.replace("/", ".").partition(".")[0] == "hydra" and not name.startswith(("hydra.searchpath", _PARAMS)):
        raise DiffkitError(
            f"{line}: diffkit composes with Hydra, and runs jobs one after the other itself; leave it out."
        )
    if re.search(r"(?<!\\)\$\{[^}]*:", str(override.input_line)):
        raise DiffkitError(
            f"{line}: a value may read another key, ${{key}}, and nothing of this machine: let the shell put it in."
        )


def _refuse_deletions(parsed: Sequence[Override]) -> None:
    """An argument of Lightning's or torch's has a default of its own, which nobody sees."""
    others = {override.key_or_group for override in parsed}
    for override in parsed:
        place = override.key_or_group.rpartition(".")[0]
        known = place.partition(".")[0] in ALLOWED and f"{place}._target_" not in others
        if override.is_delete() and known and place != "callbacks" and place != "logger":
            raise DiffkitError(f"{override.key_or_group} cannot be deleted: give it a value instead.")


def _refuse_choice(override: Override) -> None:
    """Say it better than Hydra where a group gets what is no name, or a single choice gets a list."""
    group, value = override.key_or_group, override.value()
    kinds = registry().kinds
    if group not in {*kinds, *ALLOWED} or override.is_sweep_override() or override.is_delete():
        return
    many = group in ("logger", "callbacks") or (group in kinds and kinds[group].many)
    if many and not isinstance(value, str | list):
        raise DiffkitError(f"{override.input_line} is not allowed: {group} is a list, such as {group}=[] for none.")
    if not many and not isinstance(value, str):
        raise DiffkitError(f"{override.input_line} is not allowed: {group} is the name of one choice.")


def _resumed(parsed: Sequence[Override]) -> Choices | None:
    """The choices of the run that `resume` names; none where a preset names parts, or where there is no run."""
    given = {override.key_or_group: override for override in parsed}
    where = given["resume"].value() if "resume" in given and "experiment" not in given else None
    return read_choices(where) if isinstance(where, str) and is_run(where) else None


def _run_of(parsed: Sequence[Override]) -> str | None:
    for override in parsed:
        if override.key_or_group == "run":
            if override.is_sweep_override():
                raise DiffkitError("run takes one run at a time: use a command for each.")
            return str(override.value())
    return None


@contextmanager
def _outside_hydra(command: list[str]) -> Iterator[None]:
    """The command line of this very job, and no sign of Hydra: Lightning starts the other devices' processes by it."""
    config, before = HydraConfig.instance().cfg, sys.argv
    HydraConfig.instance().cfg, sys.argv = None, command
    try:
        yield
    finally:
        HydraConfig.instance().cfg, sys.argv = config, before
