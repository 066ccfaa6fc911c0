"""`diffkit.use`: a class of a notebook, a file, a module, in a run without being installed."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from strangers import SAMPLER, Install, entry

import diffkit
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.standard.grids import Karras, Uniform

FILE = "import diffkit\n" + SAMPLER + entry("sampler=mine=x").replace("'x'", "Still")


def cell(parameter: str) -> type[Grid]:
    """A notebook's cell: each time it is run it makes another class of the same name."""
    names: dict[str, type[Grid]] = {}
    source = f"@dataclass(frozen=True)\nclass Mine(Uniform):\n    '''Mine.'''\n    {parameter}: float = 1.0\n"
    exec(source, {"dataclass": dataclass, "Uniform": Uniform, "__name__": "__main__"}, names)
    return names["Mine"]


def test_a_class_is_used_and_replaced_by_the_next_of_its_name(install: Install) -> None:
    first, second = cell("slow"), cell("fast")
    diffkit.use(diffkit.Component("grid", "mine", first))
    diffkit.use(diffkit.Component("grid", "other", Karras))
    assert diffkit.create("grid", "mine", slow=2.0) == first(slow=2.0)
    assert diffkit.compose(["grid=mine", "grid.slow=3"]).grid.slow == 3
    diffkit.use(diffkit.Component("grid", "mine", second))
    assert registry().load("grid", "mine") is second and diffkit.compose(["grid=mine", "grid.fast=3"]).grid.fast == 3
    with pytest.raises(DiffkitError, match="no such key"):
        diffkit.create("grid", "mine", slow=2.0)
    assert registry().load("grid", "other") is Karras


def test_a_standard_name_stays_the_standard_parts(install: Install) -> None:
    diffkit.use(diffkit.Component("grid", "uniform", cell("slow")))
    assert registry().load("grid", "uniform") is Uniform
    assert registry().load("grid", "__main__/uniform").__name__ == "Mine"


def test_a_file_is_used_as_it_is_now(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    diffkit.use(str(file))
    assert diffkit.create("sampler", "mine").pace == 1.0
    file.write_text(FILE.replace("pace: float = 1.0", "pace: float = 2.0"))
    diffkit.use(file)
    assert diffkit.create("sampler", "mine").pace == 2.0
    assert [p.name for p in registry().plugins] == ["standard", "mine"]
    file.write_text(FILE.replace("class Still", "class Still("))
    with pytest.raises(DiffkitError, match=r"mine\.py could not be loaded: SyntaxError"):
        diffkit.use(file)
    assert diffkit.create("sampler", "mine").pace == 2.0


def test_two_files_of_one_name_are_two_plugins(install: Install, tmp_path: Path) -> None:
    for folder, name in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(FILE.replace("'mine'", f"'{name}'"))
        diffkit.use(tmp_path / folder / "mine.py")
    assert registry().load("sampler", "one") is not registry().load("sampler", "two")
    names = [p.name for p in registry().plugins]
    assert len(set(names)) == len(names) == 3


def test_a_module_is_used_by_its_hooks(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_parts")
    exec(FILE, vars(module))
    monkeypatch.setitem(sys.modules, "my_parts", module)
    diffkit.use(module)
    diffkit.use(module)
    assert diffkit.create("sampler", "my_parts/mine").pace == 1.0
    assert [str(p) for p in registry().plugins if not p.standard] == ["my_parts"]


def test_an_installed_module_is_there_already(install: Install) -> None:
    install("one", entry("sampler=still=one_parts:Still"), one_parts=SAMPLER)
    before = registry().plugins
    import one_entry  # type: ignore[import-not-found]

    diffkit.use(one_entry)
    assert registry().plugins == before


@pytest.mark.parametrize("nothing", [ModuleType("empty"), 3, object()])
def test_what_offers_nothing_is_refused(install: Install, nothing: object) -> None:
    with pytest.raises(DiffkitError, match=r"offers nothing: mark a function with @diffkit\.hookimpl"):
        diffkit.use(nothing)


@pytest.mark.parametrize("name", ["a/b", "", "a b", "1"])
def test_a_name_that_no_command_line_could_hold_is_refused(name: str) -> None:
    with pytest.raises(DiffkitError, match="the name of a part"):
        diffkit.Component("grid", name, Karras)
    with pytest.raises(DiffkitError, match="the name of a kind"):
        diffkit.Kind(name, "m:K")
    with pytest.raises(DiffkitError, match="the name of a command"):
        diffkit.Command(name, "m:f")
