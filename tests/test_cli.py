"""The command line as a user meets it."""

import json
import sys
import warnings
from pathlib import Path

import pytest
from strangers import SAMPLER, Install, entry, install

from diffkit import __version__, cli

__all__ = ["install"]

MINE = entry("sampler=still=still_sampler:Still")


@pytest.fixture
def diffkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, install: Install):  # type: ignore[no-untyped-def]
    """Run a command; gives its exit status, output and error output."""
    monkeypatch.chdir(tmp_path / "site")

    def command(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["diffkit", *argv])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        return (int(exited.value.code or 0), *capsys.readouterr())

    return command


def test_help_names_every_command(diffkit) -> None:  # type: ignore[no-untyped-def]
    for argv in ([], ["--help"], ["-h"]):
        status, out, _ = diffkit(*argv)
        assert status == 0 and all(f"diffkit {verb}" in out for verb in cli._VERBS)
    assert diffkit("--version")[1] == f"diffkit {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["lst"], "no command 'lst': did you mean 'list'"),
        (["list", "samplr"], "no kind 'samplr': did you mean 'sampler'"),
        (["list", "sampler", "grid"], "one kind at most"),
        (["plugins", "--jason"], "takes --json alone"),
        (["verify", "samplr"], "no kind 'samplr': did you mean 'sampler'"),
        (["verify", "sampler=dim"], "no sampler 'dim': did you mean 'ddim'"),
        (["verify", "--plot"], "--plot needs a folder"),
        (["check", "grid.steps=-1"], "grid.steps=-1 is not allowed"),
        (["train", "sampler=ddimm"], "did you mean 'ddim'"),
        (["train", "--plugin"], "--plugin needs a file"),
        (["check", "--plugin", "nowhere.py"], "nowhere.py could not be loaded"),
        (["sample"], "run must be given"),
        (["evaluate", "run=nowhere"], "no run here"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(diffkit, argv: list[str], words: str) -> None:  # type: ignore[no-untyped-def]
    status, out, error = diffkit(*argv)
    assert status == 2 and out == "" and error.count("\n") == 1
    assert error.startswith("Error: ") and words in error
    assert list(Path.cwd().iterdir()) == []


def test_debug_shows_the_traceback(diffkit) -> None:  # type: ignore[no-untyped-def]
    status, _, error = diffkit("check", "seed=-1", "--debug")
    assert status == 2 and "Traceback" in error and error.rstrip().endswith("at least 0.")


def test_an_unexpected_error_has_status_3_and_a_traceback(diffkit, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def broken(arguments: object) -> int:
        raise RuntimeError("boom")

    monkeypatch.setitem(cli._VERBS, "list", broken)
    status, _, error = diffkit("list")
    assert status == 3 and "RuntimeError: boom" in error


def test_verify_gives_a_line_for_each_part(diffkit) -> None:  # type: ignore[no-untyped-def]
    status, out, error = diffkit("verify", "prediction=eps", "codec=identity")
    rows = [line.split("\t") for line in out.splitlines()]
    assert status == 0 and [row[0] for row in rows] == ["prediction=eps", "codec=identity"]
    assert all(row[-3] == "pass" and row[-1] == "-" for row in rows)
    assert error.startswith("0 of 2 failed")


def test_verify_says_what_is_wrong_with_a_strangers_part(diffkit, install: Install) -> None:  # type: ignore[no-untyped-def]
    """Status 1, the sentence in its line, and once more at the end."""
    install("mine", MINE, still_sampler=SAMPLER)
    status, out, error = diffkit("verify", "sampler=still", "prediction=eps")
    still, eps = (line.split("\t") for line in out.splitlines())
    assert status == 1 and still[0] == "sampler=still" and still[-3] == "fail" and eps[-3] == "pass"
    assert still[-1].startswith("Still(pace=1.0): yields states of steps [], not [1], with 1 steps")
    assert error.splitlines()[0] == f"sampler=still: {still[-1]}" and "1 of 2 failed" in error


def test_list_shows_names_summaries_and_origins(diffkit, install: Install) -> None:  # type: ignore[no-untyped-def]
    install("mine", MINE, still_sampler=SAMPLER)
    rows = [line.split("\t") for line in diffkit("list", "sampler")[1].splitlines()]
    assert ["sampler", "still", "Stands still. More words that no list shows.", "mine 1.2"] in rows
    assert [row[1] for row in rows][:2] == ["ddpm", "ddim"]
    kinds = {line.split("\t")[0] for line in diffkit("list")[1].splitlines()}
    assert kinds >= {"data", "denoiser", "metric", "task"}
    assert all(len(row) == 4 and row[2] for row in rows)


def test_plugins_shows_broken_ones_and_goes_on(diffkit, install: Install) -> None:  # type: ignore[no-untyped-def]
    install("mine", MINE, still_sampler=SAMPLER)
    install("bad", "import not_there")
    status, out, error = diffkit("plugins")
    rows = {line.split("\t")[1]: line.split("\t") for line in out.splitlines()}
    assert status == 0 and error == ""
    assert rows["mine"][2:] == ["1.2", "1", "sampler=still", "ok"] and "not_there" in rows["bad"][5]
    table = {row["distribution"]: row for row in json.loads(diffkit("plugins", "--json")[1])}
    assert table["mine"]["parts"] == ["sampler=still"] and table["diffkit"]["error"] is None


def test_a_broken_plugin_costs_one_line(diffkit, install: Install) -> None:  # type: ignore[no-untyped-def]
    install("bad", "import not_there")
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside of tests
        status, out, error = diffkit("list", "sampler")
    assert status == 0 and "ddim" in out and error.count("\n") == 1
    assert error.startswith("Warning: the plugin bad 1.2 is skipped: ModuleNotFoundError")


def test_check_prints_the_report_also_with_a_plugin_of_one_file(diffkit, install: Install) -> None:  # type: ignore[no-untyped-def]
    still = SAMPLER.replace("yield from ()", "yield diffkit.core.State(1, 0.0, x, x)")
    Path("mine.py").write_text("import diffkit\n" + still + entry("sampler=mine=x").replace("'x'", "Still"))
    status, out, error = diffkit("check", "--plugin", "./mine.py", "sampler=mine", "sampler.pace=2", "denoiser=mlp")
    assert not error and status == 0 and "pace=2.0" in out and "mine.py" in out and "parameters" in out


def test_the_help_of_a_verb_lists_every_group_and_option(diffkit, install: Install) -> None:  # type: ignore[no-untyped-def]
    install("mine", MINE, still_sampler=SAMPLER)
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/own.yaml").write_text("# What I do.\nseed: 3\n")
    status, out, _ = diffkit("train", "--help", "--config-dir", "conf")
    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    for words in (
        ["seed", "Everything"],
        ["ddim", "First"],
        ["still", "Stands"],
        ["wandb", "Weights"],
        ["own", "What"],
    ):
        assert any(line[:2] == words for line in lines), words
    assert any(line[:1] == ["still"] and line[-2:] == ["mine", "1.2"] for line in lines)
    assert "experiment" in out and "guidance (a list)" in out
    assert "run " in diffkit("sample", "--help")[1]


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("diffkit tr", {"train"}),
        ("diffkit train sampler=dd", {"sampler=ddim", "sampler=ddpm"}),
        ("diffkit train grid.st", {"grid.steps="}),
        ("diffkit check sampler=ddim sampler.et", {"sampler.eta="}),
        ("diffkit sample gri", {"grid=", "grid."}),
    ],
)
def test_the_shell_completes(diffkit, monkeypatch, line: str, offers: set[str]) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COMP_LINE", line)
    assert set(diffkit("-sc", "query=bash")[1].split()) == offers


def test_the_shells_script_is_for_this_command(diffkit) -> None:  # type: ignore[no-untyped-def]
    out = diffkit("train", "-sc", "install=bash")[1]
    assert out.rstrip().endswith("-F hydra_bash_completion diffkit")
