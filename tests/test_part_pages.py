"""The page of each kind says how a part of one's own is written, as the templates have it."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import diffkit
from diffkit.compose import build, check
from diffkit.compose.registry import KINDS, registry
from diffkit.compose.values import INJECTED, parameters
from diffkit.scaffold.render import example


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """The hook that writes the pages."""
    spec = spec_from_file_location("diffkit_part_pages", Path(__file__).parents[1] / "docs/_site/parts.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_page_has_the_example_its_command_and_its_test(site: ModuleType):
    pages = site.pages()
    for kind in (kind.name for kind in KINDS):
        section = pages[f"parts/{kind}.md"].split("## Write your own")[1].split("## The parts")[0]
        assert f"$ diffkit new plugin my-{kind} --kind {kind}\n" in section
        assert f"```python\n{example(kind).rstrip()}\n```" in section
        assert f"check_{kind}(" in section
        for name in site.GIVEN.get(kind, ()):
            assert f"`{name}`" in section


def test_what_a_page_says_that_a_constructor_is_given_is_what_a_run_gives(
    site: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    given: dict[str, set[str]] = {}
    part = build.part

    def noted(kind: str, node: Any, beside: str = "", **injected: Any) -> Any:
        given[kind] = set(injected)
        return part(kind, node, beside, **injected)

    monkeypatch.setattr(build, "part", noted)
    monkeypatch.setattr(check, "part", noted)
    check.skeleton(
        diffkit.compose(["data=moons", "denoiser=mlp", "conditioner=[class]", "guidance=[cfg]", "metric=[frechet]"])
    )
    assert set(given) == {kind.name for kind in KINDS}
    assert {kind: names for kind, names in given.items() if names} == {k: set(v) for k, v in site.GIVEN.items()}


def test_no_standard_part_asks_for_more_than_its_page_says(site: ModuleType):
    known = registry()
    everywhere = {"load_model"}
    for kind in (kind.name for kind in KINDS):
        for name in known.names(kind):
            asked = INJECTED & parameters(known.load(kind, name)).keys()
            assert asked <= {*site.GIVEN.get(kind, ()), *everywhere}, f"{kind}={name}"
