"""Every combination of the lists in a command, each composed and checked as a command of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from diffkit.compose.explain import explained
from diffkit.compose.hydra import run
from diffkit.compose.sweep import is_override
from diffkit.core.errors import DiffkitError


@dataclass(frozen=True)
class Point:
    """One combination: what it chooses of each list, and its config or what is wrong with it."""

    choice: dict[str, str]
    """The value of each key that has a list."""
    config: DictConfig | None = None
    error: DiffkitError | None = None

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.choice.items()) or "the run's own choices"


def points(verb: str, argv: Sequence[str], listed: Sequence[str]) -> list[Point]:
    """The points of a command, the last list's values in turn first; none where a flag asks for something else.

    Only the keys `listed`, and those below them, may have a list. Raises `DiffkitError` for another one that has, and
    for what cannot be read at all.
    """
    flags = [word for word in argv if not is_override(word)]
    if {"-m", "--multirun"} & set(flags):
        raise DiffkitError(f"diffkit {verb} takes lists by itself: leave -m out")
    words = [word for word in argv if is_override(word)]
    with explained(verb):
        parsed = OverridesParser.create().parse_overrides(words)
        combinations = BasicSweeper.split_arguments(parsed, None)[0]
    varied = [i for i, override in enumerate(parsed) if override.is_sweep_override()]
    for i in varied:
        _refuse_list(parsed[i], listed)
    found = []
    for combination in combinations:
        choice = dict(str(combination[i]).lstrip("+").split("=", 1) for i in varied)
        kept = _Kept()
        try:
            run(verb, kept, [*combination, *flags])
        except DiffkitError as error:
            found.append(Point(choice, error=error))
            continue
        if not kept.configs:  # a flag such as --cfg, which has been answered
            return []
        found.append(Point(choice, kept.configs[0]))
    return found


@dataclass
class _Kept:
    """Keeps the config that it is called with."""

    configs: list[DictConfig] = field(default_factory=list)

    def __call__(self, cfg: DictConfig, overrides: list[str]) -> None:
        self.configs.append(cfg)


def _refuse_list(override: Override, listed: Sequence[str]) -> None:
    key = override.key_or_group
    if key.partition(".")[0] not in listed:
        several = f"; several at once are {key}=[...]" if key in ("metric", "logger") else ""
        raise DiffkitError(
            f"{override.input_line}: {key} is the same for all points{several}. Lists are for {', '.join(listed)}"
        )
