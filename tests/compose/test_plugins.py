"""A broken plugin harms nothing but itself, and says whose it is."""

import warnings
from pathlib import Path

import pytest
from strangers import Install, entry

from diffkit.compose import installed, plugins
from diffkit.compose.installed import PluginWarning
from diffkit.compose.plugins import Plugin, load_file, load_plugins
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError

GOOD = entry("sampler=good=good_sampler:Good")
BROKEN = {
    "unmarked hook": (GOOD.replace("@diffkit.hookimpl", ""), "not marked with @diffkit.hookimpl"),
    "other things": (GOOD.replace("return [", "return ['x'] or ["), "list of Component, but one item is 'x'"),
    "bad target": (GOOD.replace("good_sampler:", "good_sampler."), "is written 'module:name', unlike"),
    "offers one twice": (entry("sampler=p=m:P", "sampler=p=m:Q"), "offers sampler=p twice"),
    "no presets": (
        GOOD.replace("components", "configs").replace("[diffkit", "['no.conf'] or [diffkit"),
        "'no.conf', which",
    ),
    "no number": ("diffkit_api = '3'\n" + GOOD, "must be a whole number from 1, not '3'"),
    "no whole number": ("diffkit_api = True\n" + GOOD, "must be a whole number from 1, not True"),
}


def named(plugins: list[Plugin], distribution: str) -> Plugin:
    return next(p for p in plugins if p.distribution == distribution)


def loaded() -> list[str]:
    return [p.distribution for p in load_plugins() if p.usable]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_skipped_with_one_line_that_names_it(install: Install, fault: str) -> None:
    source, cause = BROKEN[fault]
    install("aa-bad-plugin", source, version="0.7")
    install("zz-good-plugin", GOOD)
    with pytest.warns(PluginWarning) as caught:
        found = load_plugins()
    message = str(caught[0].message)
    assert len(caught) == 1 and "\n" not in message
    assert "aa-bad-plugin 0.7" in message and cause in message
    assert named(found, "aa-bad-plugin").components == ()
    assert [c.name for c in named(found, "zz-good-plugin").components] == ["good"]


def test_strict_plugins_raise(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("bad", "import not_there")
    monkeypatch.setenv("DIFFKIT_STRICT_PLUGINS", "1")
    with pytest.raises(DiffkitError, match=r"bad 1\.2 could not be loaded: .*not_there"):
        load_plugins()


def test_two_distributions_may_use_one_entry_name(install: Install) -> None:
    install("one", entry("sampler=a=m:A"), name="same")
    install("two", entry("sampler=b=m:B"), name="same")
    found = registry().plugins
    assert {p.name for p in found if not p.standard} == {"one", "two"}
    assert {c.name for p in found for c in p.components} >= {"a", "b"}


def test_the_environment_restricts_which_plugins_load(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("one", entry("sampler=a=m:A"))
    install("two", "raise RuntimeError('never imported')")
    monkeypatch.setenv("DIFFKIT_PLUGINS", "one")
    assert loaded() == ["diffkit", "one"]
    monkeypatch.setenv("DIFFKIT_PLUGINS", "")
    assert loaded() == ["diffkit"]
    monkeypatch.setenv("DIFFKIT_PLUGINS", "onee")
    with pytest.warns(PluginWarning, match="did you mean 'one'"):
        load_plugins()


def test_a_plugin_that_states_no_api_was_written_for_the_first(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("one", GOOD)
    for version in (2, 1):
        monkeypatch.setattr(plugins, "API", version)
        assert named(load_plugins(), "one").api == 1


def test_a_single_file_is_a_plugin(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import diffkit\nclass Mine: ...\n" + entry("sampler=mine=x").replace("'x'", "Mine"))
    plugin = load_file(file)
    assert plugin.name == "mine" and plugin.components[0].target.__name__ == "Mine"  # type: ignore[union-attr]


@pytest.mark.parametrize(("text", "cause"), [(None, "no such file"), ("import not_there", "not_there")])
def test_a_single_file_that_fails_is_an_error(install: Install, tmp_path: Path, text: str | None, cause: str) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DiffkitError, match=rf"mine\.py could not be loaded: .*{cause}"):
        load_file(file)


def test_the_standard_parts_come_by_the_same_hook(install: Install) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        standard = load_plugins()[0]
    assert standard.standard and standard.module == "diffkit.standard.plugin" and len(standard.components) > 30


def test_a_distribution_named_like_ours_hides_nothing(install: Install) -> None:
    """Not even one that stands before ours on the path, with our entry point's name."""
    install("Diffkit", GOOD, name="standard", version="99")
    found = registry().plugins
    assert [p.name for p in found] == ["standard", "Diffkit"] and [p.standard for p in found] == [True, False]
    assert registry().entry("sampler", "Diffkit/good").plugin.version == "99"
    assert registry().entry("sampler", "standard/ddim").plugin.standard


def test_where_a_name_is_somebodys_already_the_next_best_is_taken(install: Install) -> None:
    for distribution, name in (("one", "same"), ("two", "same"), ("three", "one"), ("four", "standard")):
        install(distribution, entry(f"sampler={distribution}=m:M"), name=name)
    names = {p.distribution: p.name for p in registry().plugins}
    assert names == {"diffkit": "standard", "three": "three", "one": "one", "two": "two", "four": "four"}


def test_entry_points_that_cannot_be_read_harm_nobody(install: Install) -> None:
    site = install("bad", "x = 1")
    install("good", GOOD)
    (site / "bad-1.2.dist-info" / "entry_points.txt").write_text("[diffkit]\nno value here\n")
    with pytest.warns(PluginWarning, match=r"bad 1\.2 is skipped: its entry points cannot be read"):
        assert loaded() == ["diffkit", "good"]


def test_without_diffkits_own_parts_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "distributions", lambda: [])
    with pytest.raises(DiffkitError, match="diffkit's own parts are not installed"):
        load_plugins()
