"""`diffkit new plugin` writes a whole plugin or nothing, and says in one sentence why it does not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from diffkit.compose.registry import KINDS
from diffkit.core.errors import DiffkitError
from diffkit.scaffold.command import new
from diffkit.scaffold.names import kinds_of, names
from diffkit.scaffold.render import rendered

ALL = [kind.name for kind in KINDS]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are typed in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_writes_a_package_and_says_what_it_wrote_and_what_comes_next(here: Path, capsys: pytest.CaptureFixture[str]):
    assert new(["plugin", "my-sampler", "--kind", "sampler,grid", "--kind=guidance"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    files = written(here / "my-sampler")
    assert first == f"Wrote {len(files)} files into my-sampler:"
    assert {line.strip() for line in lines[: len(files)]} == files
    assert files == {
        "pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml", "my_sampler/__init__.py",
        "my_sampler/sampler.py", "my_sampler/grid.py", "my_sampler/guidance.py",
        "tests/test_sampler.py", "tests/test_grid.py", "tests/test_guidance.py",
    }  # fmt: skip
    assert lines[len(files) :] == [
        "",
        "Next:",
        "  cd my-sampler",
        '  pip install -e ".[test]" && pytest',
        "  diffkit train sampler=my_sampler grid=my_sampler guidance=[my_sampler] trainer.max_steps=20",
    ]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["plugin", "-h"]], ids=" ".join)
def test_without_a_name_it_says_what_it_can_do(arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]):
    assert new(arguments) == 0
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in ALL)
    assert not written(here)


MISTAKES = {
    "plugn my-x --kind grid": "makes no 'plugn': did you mean 'plugin'?",
    "plugin --kind grid": "takes one name",
    "plugin a b --kind grid": "takes one name",
    "plugin my-x": "Say what kind of part it brings: --kind sampler",
    "plugin my-x --kind": "--kind needs a value",
    "plugin my-x --out --kind grid": "--out needs a value",
    "plugin my-x --kinds grid": "no option '--kinds': did you mean '--kind'?",
    "plugin my-x --kind gird": "no kind 'gird': did you mean 'grid'?",
    "plugin my-x --kind grid,": None,
    "plugin class --kind grid": "class is a keyword of Python's",
    "plugin json --kind grid": "json is a module of Python's own",
    "plugin diffkit --kind grid": "diffkit is a name that every plugin has in use",
    "plugin Tests --kind grid": "tests is a name that every plugin has in use",
    "plugin torch --kind grid": "torch is an installed package",
    "plugin ../my-x --kind grid": "a name begins with a letter",
    "plugin 3d --kind grid": "a name begins with a letter",
    "plugin my-x- --kind grid": "a name begins with a letter",
    "plugin mein-gerät --kind grid": "a name begins with a letter",
    "plugin my-x --kind grid --out full": "full exists and is not an empty folder",
    "plugin my-x --kind grid --out full/file": "full/file exists and is not an empty folder",
    "plugin my-x --kind grid --out full/file/deeper": "cannot be written into full/file/deeper: ",
    f"plugin {'x' * 300} --kind grid": "File name too long",
}


@pytest.mark.parametrize("words", [words for words, wrong in MISTAKES.items() if wrong], ids=lambda words: words[:40])
def test_a_mistake_is_one_sentence_and_writes_nothing(words: str, here: Path):
    (here / "full").mkdir()
    (here / "full/file").write_text("mine")
    with pytest.raises(DiffkitError) as error:
        new(words.split())
    assert MISTAKES[words] in str(error.value) and "\n" not in str(error.value)
    assert written(here) == {"full/file"}
    assert [path.name for path in here.iterdir()] == ["full"]


def test_an_empty_folder_is_written_into_and_a_hidden_file_is_not_nothing(here: Path):
    (here / "place").mkdir()
    new(["plugin", "my-x", "--kind", "grid", "--out", "place"])
    assert "my_x/grid.py" in written(here / "place")
    assert len(list((here / "place").iterdir())) == 6
    (here / "hidden").mkdir()
    (here / "hidden/.git").mkdir()
    with pytest.raises(DiffkitError, match="not an empty folder"):
        new(["plugin", "my-x", "--kind", "grid", "--out", "hidden"])


@pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
@pytest.mark.parametrize(
    "broken", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"]
)
def test_what_is_interrupted_leaves_nothing(
    there: bool, broken: BaseException, here: Path, monkeypatch: pytest.MonkeyPatch
):
    if there:
        (here / "my-x").mkdir()
    write, count = Path.write_text, []

    def failing(path: Path, *text: str, **how: str) -> int:
        count.append(path)
        if len(count) == 4:
            raise broken
        return write(path, *text, **how)

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises(DiffkitError if isinstance(broken, OSError) else KeyboardInterrupt):
        new(["plugin", "my-x", "--kind", "grid"])
    assert len(count) == 4
    assert [str(p.relative_to(here)) for p in here.rglob("*")] == (["my-x"] if there else [])


def test_a_part_with_a_name_that_another_has_is_said_so(here: Path, capsys: pytest.CaptureFixture[str]):
    new(["plugin", "ddim", "--kind", "sampler,grid"])
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "there is a sampler 'ddim' already, of diffkit" in said.err
    assert "choose this one as sampler=ddim/ddim" in said.err
    assert "diffkit train sampler=ddim/ddim grid=ddim trainer" in said.out
    assert "diffkit train sampler=ddim/ddim grid=ddim trainer" in (here / "ddim/README.md").read_text()


@pytest.mark.parametrize(
    ("distribution", "module", "part", "camel"),
    [
        ("my-sampler", "my_sampler", "my_sampler", "MySampler"),
        ("diffkit-power", "diffkit_power", "power", "Power"),
        ("My.Big__sampler", "my_big_sampler", "my_big_sampler", "MyBigSampler"),
        ("ring2d", "ring2d", "ring2d", "Ring2d"),
    ],
)
def test_a_name_in_all_its_forms(distribution: str, module: str, part: str, camel: str):
    called = names(distribution)
    assert (called.module, called.part, called.camel) == (module, part, camel)


def test_a_class_is_named_after_the_plugin_and_its_kind_and_shadows_nothing():
    called = names("my-sampler")
    assert (called.cls("sampler"), called.cls("grid")) == ("MySampler", "MySamplerGrid")
    for kind in ALL:
        tree = ast.parse(rendered(names(kind), {kind: kind})[f"{kind}/{kind}.py"])
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert [node.name in words for node in tree.body if isinstance(node, ast.ClassDef)] == [False]


def test_kinds_come_once_and_in_the_order_of_a_run():
    assert kinds_of(["metric,grid", "grid", " sampler "]) == ["sampler", "grid", "metric"]


def test_no_place_is_left_open_in_any_file():
    for path, text in rendered(names("my-all"), dict.fromkeys(ALL, "my_all")).items():
        assert "%{" not in text and "My" + "Sampler" not in text, path


def test_it_imports_nothing_heavy(here: Path):
    code = (
        "import sys\nfrom diffkit.scaffold.command import new\n"
        f"new(['plugin', 'my-x', '--kind', {','.join(ALL)!r}])\n"
        "heavy = {'torch', 'lightning', 'hydra', 'numpy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=here, check=True, capture_output=True)
