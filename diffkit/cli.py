"""The `diffkit` command: reads the verb, and imports what it needs only then."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from diffkit.core.errors import DiffkitError, DiffkitWarning, RunFailed

HELP = """\
diffkit: compose a diffusion model from parts, and run it.

  diffkit train    [key=value ...]            train; the defaults draw handwritten digits from text
  diffkit sample   run=last [key=value ...]   draw samples of a run or bundle: prompt="a seven" n=16
  diffkit evaluate run=last [key=value ...]   metrics of fresh samples against held-out data
  diffkit compare  run=last [key=a,b ...]     samplers, grids, guidance, ema: quality against network calls
  diffkit check    [key=value ...]            what a training run would be made of; reads all of its data
  diffkit verify   [kind[=name] ...]          prove parts against exact answers: orders, errors; --plot FOLDER draws
  diffkit list     [kind]                     the parts on offer
  diffkit plugins  [--json]                   the installed plugins
  diffkit export   PATH out=FILE              the weights of a run, bundle or checkpoint in one file, without plugins
  diffkit new      plugin NAME --kind KIND    write a plugin: a package with a working part and its tests

  diffkit train --help    every key, group and option        diffkit train --cfg job   the config of a run
  diffkit train -m a=1,2  one run for each value             diffkit train --info      where choices come from
  diffkit train --config-dir DIR experiment=NAME             presets of your own
  eval "$(diffkit train -sc install=bash)"                   completion in your shell

  --plugin FILE   use a plugin that is one file     --debug   show the traceback of an error
  --version       the version                       --help    this text
"""


def main() -> None:
    """Run the command of `sys.argv` and exit.

    The status is 0 for a run that finished, 2 for a mistake of the user's, 3 for a run that failed by itself, and 1
    where `verify` found a part that does not keep its contract.
    """
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    warnings.showwarning = _show_warning(warnings.showwarning)
    try:
        sys.exit(_dispatch(_use_files([a for a in arguments if a != "--debug"])))
    except DiffkitError as error:
        if debug:
            traceback.print_exc()
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `diffkit list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception:
        traceback.print_exc()
        sys.exit(RunFailed.status)


def _show_warning(show: Callable[..., None]) -> Callable[..., None]:
    """What we warn of is one line, without the line of our source that warned."""

    def shown(message: Warning | str, category: type[Warning], *place: object) -> None:
        if issubclass(category, DiffkitWarning):
            print(f"Warning: {message}", file=sys.stderr)
        else:
            show(message, category, *place)

    return shown


def _use_files(arguments: Sequence[str]) -> list[str]:
    """Take `--plugin FILE` out of the arguments, and use the files."""
    rest, files = _option("--plugin", "a file: --plugin ./my_sampler.py", arguments)
    if files:
        from diffkit.compose.use import use

        for file in files:
            use(file)
    return rest


def _option(flag: str, wanted: str, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take `flag VALUE` and `flag=VALUE` out of the arguments; gives the others, and the values."""
    rest, values, words = list[str](), list[str](), iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != flag:
            rest.append(word)
            continue
        values.append(value if equals else next(words, ""))
        if not values[-1]:
            raise DiffkitError(f"{flag} needs {wanted}")
    return rest, values


def _dispatch(arguments: Sequence[str]) -> int:
    verb, *rest = arguments or ["--help"]
    if verb in ("--help", "-h", "help"):
        from diffkit.compose.commands import help_lines

        print(HELP + help_lines(_VERBS), end="")
        return 0
    if verb == "--version":
        from diffkit import __version__

        print(f"diffkit {__version__}")
        return 0
    if verb in ("-sc", "--shell-completion"):
        return _complete(arguments)
    if verb not in _VERBS:
        from diffkit.compose.commands import call

        return call(verb, rest, _VERBS)
    if verb in _COMPOSED and {"--help", "-h"} & set(rest):
        return _help(verb, rest)
    return _VERBS[verb](rest)


def _later(place: str) -> Callable[..., Any]:
    """The function at `"module:name"`, imported when it is called: mistakes are told before lightning is loaded."""

    def call(*arguments: object) -> object:
        module, _, name = place.partition(":")
        return getattr(import_module(module), name)(*arguments)

    return call


def _train(arguments: Sequence[str]) -> int:
    from diffkit.compose.hydra import run

    rest, keys = _option("--allow-change", "a key: --allow-change optimizer.lr", arguments)
    rest += [f"allow_change=[{','.join(keys)}]"] if keys else []
    return run("train", _later("diffkit.run.train:train"), rest, _later("diffkit.compose.check:refuse_misfits"))


def _sample(arguments: Sequence[str]) -> int:
    from diffkit.compose.hydra import run

    sample = _later("diffkit.run.sample:sample")
    return run("sample", lambda cfg, _: sample(cfg), arguments)


def _evaluate(arguments: Sequence[str]) -> int:
    from diffkit.compose.hydra import run

    evaluate = _later("diffkit.run.evaluate:evaluate")
    return run("evaluate", lambda cfg, _: evaluate(cfg), arguments)


def _compare(arguments: Sequence[str]) -> int:
    from diffkit.run.compare import compare

    return compare(arguments)


def _check(arguments: Sequence[str]) -> int:
    from diffkit.compose.hydra import run

    check = _later("diffkit.run.check:check")
    scan, rest = "--no-scan" not in arguments, [a for a in arguments if a != "--no-scan"]
    return run("train", lambda cfg, _: check(cfg, scan), rest)


def _verify(arguments: Sequence[str]) -> int:
    """Hold parts against their contracts; 1 if one of them fails."""
    words, folders = _option("--plot", "a folder: --plot ./pictures", arguments)
    import torch

    from diffkit.testing.report import chosen, verify
    from diffkit.testing.table import HEAD, cells, failures, tables

    torch.set_num_threads(1)  # the tensors are small: threads would only wait for each other
    settings, rows = chosen(words), []
    for row in verify(settings):
        rows.append(row)
        if sys.stderr.isatty():
            print(f"\r\x1b[K{len(rows)} of {len(settings)}: {row.setting}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    terminal = sys.stdout.isatty()
    for head, lines in tables(rows) if terminal else [(HEAD, [cells(row) for row in rows])]:
        _table([name.replace(" ", "\n") for name in head], lines)
    sys.stdout.flush()  # the table comes before what is said of it, also where both go to one file
    for folder in folders:
        from diffkit.testing.figures import draw

        for file in draw(rows, Path(folder)):
            print(f"Drew {file}", file=sys.stderr)
    failed = failures(rows)
    seconds = sum(row.seconds for row in rows)
    print(*failed, f"{len(failed)} of {len(rows)} failed, in {seconds:.0f} s", sep="\n", file=sys.stderr)
    return 1 if failed else 0


def _list(arguments: Sequence[str]) -> int:
    from diffkit.compose.overview import components

    if len(arguments) > 1:
        raise DiffkitError(f"diffkit list takes one kind at most, not {' '.join(arguments)}.")
    options = components(*arguments)
    _table(("kind", "name", "summary", "from"), [(o.group, o.name, o.summary, o.origin) for o in options])
    return 0


def _plugins(arguments: Sequence[str]) -> int:
    from diffkit.compose import status

    if [a for a in arguments if a != "--json"]:
        raise DiffkitError(f"diffkit plugins takes --json alone, not {' '.join(arguments)}.")
    if arguments:
        print(status.as_json())
    else:
        _table(status.HEAD, status.rows())
    return 0


def _new(arguments: Sequence[str]) -> int:
    from diffkit.scaffold.command import new

    return new(arguments)


def _export(arguments: Sequence[str]) -> int:
    from diffkit.run.export import command

    return command(arguments)


def _help(verb: str, arguments: Sequence[str]) -> int:
    """The keys of a verb, and every group and option with where it comes from."""
    from diffkit.compose.describe import print_help

    print_help("train" if verb == "check" else verb, arguments)
    return 0


def _complete(arguments: Sequence[str]) -> int:
    """Answer the shell: verbs first, then what Hydra knows of the verb's config."""
    from diffkit.compose.hydra import run

    app, *words = os.environ.get("COMP_LINE", "diffkit ").split(" ")
    if len(words) < 2:
        from diffkit.compose.commands import names

        print(" ".join(verb for verb in [*_VERBS, *names(_VERBS)] if verb.startswith("".join(words))))
        return 0
    verb = "train" if words[0] == "check" else words[0]
    if verb in _COMPOSED:
        os.environ["COMP_LINE"] = " ".join([app, *words[1:]])
        run(verb, lambda cfg, overrides: None, arguments)
    return 0


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; lines with tabs, and no head, where the output goes elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=len(head) > 9)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


_VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": _train,
    "sample": _sample,
    "evaluate": _evaluate,
    "compare": _compare,
    "check": _check,
    "verify": _verify,
    "list": _list,
    "plugins": _plugins,
    "new": _new,
    "export": _export,
}
_COMPOSED = ("train", "sample", "evaluate", "compare", "check")

if __name__ == "__main__":
    if sys.path[:1] == [os.getcwd()] and not sys.flags.safe_path:
        sys.path.pop(0)  # where `python -m` puts the current folder, from which nothing is imported
    main()
