"""From names to classes: short, qualified, unknown, ambiguous, and unfit ones."""

import pytest
from strangers import SAMPLER, Install, entry

from diffkit.compose import guard
from diffkit.compose.installed import PluginWarning
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError
from diffkit.core.sampler import Sampler

MINE = entry("sampler=still=still_sampler:Still")


def test_every_standard_part_loads() -> None:
    for kind in registry().kinds:
        for name in registry().names(kind):
            assert isinstance(registry().load(kind, name), type)


def test_a_strangers_part_is_found_by_its_short_and_its_qualified_name(install: Install) -> None:
    install("mine", MINE, still_sampler=SAMPLER)
    assert "still" in registry().names("sampler")
    assert registry().load("sampler", "still") is registry().load("sampler", "mine/still")
    assert issubclass(registry().load("sampler", "still"), Sampler)


def test_a_short_name_that_two_claim_is_an_error_that_names_both(install: Install) -> None:
    install("one", MINE, still_sampler=SAMPLER)
    install("two", MINE)
    with pytest.raises(DiffkitError) as caught:
        registry().component("sampler", "still")
    assert all(text in str(caught.value) for text in ("one 1.2", "sampler=one/still", "two 1.2", "sampler=two/still"))
    assert registry().load("sampler", "two/still").__name__ == "Still"
    assert {"one/still", "two/still"} <= set(registry().names("sampler"))


def test_a_standard_name_cannot_be_replaced(install: Install) -> None:
    install("aa", entry("sampler=ddim=still_sampler:Still"), still_sampler=SAMPLER)
    assert registry().load("sampler", "ddim").__module__ == "diffkit.standard.samplers.ddim"
    assert registry().load("sampler", "aa/ddim").__name__ == "Still"
    assert {"ddim", "aa/ddim"} <= set(registry().names("sampler"))


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [("sampler", "ddimm", "'ddim'"), ("samplr", "ddim", "'sampler'"), ("sampler", "standard/hoin", "'standard/heun'")],
)
def test_an_unknown_name_gets_the_nearest(kind: str, name: str, hint: str) -> None:
    with pytest.raises(DiffkitError, match=f"did you mean .*{hint}"):
        registry().component(kind, name)


def test_an_unknown_name_may_be_a_broken_plugins(install: Install) -> None:
    install("bad", "import not_there")
    with pytest.warns(PluginWarning), pytest.raises(DiffkitError, match=r"bad 1\.2 could not be loaded: .*not_there"):
        registry().component("sampler", "zzz")


FAULTS = {
    "cannot be imported": ("no_such_module:Still", "", "could not be imported from no_such_module:Still"),
    "lacks the class": ("still_sampler:Stil", SAMPLER, "could not be imported"),
    "is no class": ("still_sampler:dataclass", SAMPLER, "is no class"),
    "is another kind": ("still_sampler:Still", "class Still: ...", "must inherit from it"),
    "is not complete": ("still_sampler:Still", SAMPLER.replace("def steps", "def stepps"), "lacks steps"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_class_that_does_not_fit_is_refused_by_name(install: Install, fault: str) -> None:
    target, source, cause = FAULTS[fault]
    install("mine", entry(f"sampler=still={target}"), still_sampler=source)
    with pytest.raises(DiffkitError) as caught:
        registry().load("sampler", "still")
    assert "sampler 'still' of mine 1.2" in str(caught.value)
    assert cause in str(caught.value)


def test_a_plugin_adds_a_kind(install: Install) -> None:
    kinds = (
        "\n@diffkit.hookimpl\ndef diffkit_kinds():\n    return [diffkit.Kind('walk', 'diffkit.core.sampler:Sampler')]\n"
    )
    source = MINE.replace("'sampler'", "'walk'") + kinds
    install("mine", source, still_sampler=SAMPLER)
    assert registry().names("walk") == ["still"] and registry().load("walk", "still").__name__ == "Still"


def test_a_part_may_take_its_time(
    install: Install, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is slow may be torch, which the part's module is the first to import: only plugins are announced."""
    nap = "import time\ntime.sleep(0.1)\nprint('loaded')\n"
    install("mine", MINE, still_sampler=nap + SAMPLER)
    registry()
    monkeypatch.setattr(guard, "_SLOW", 0.01)
    assert registry().load("sampler", "still").__name__ == "Still"
    assert capfd.readouterr().err == "loaded\n"
    registry.cache_clear()
    install("slow", nap)
    registry()
    assert "the plugin slow 1.2 is still loading" in capfd.readouterr().err


def test_a_component_of_no_kind_is_skipped(install: Install) -> None:
    install("mine", MINE.replace("'sampler'", "'smapler'"))
    with pytest.warns(PluginWarning, match=r"'still' of mine 1\.2 .*'smapler'.*did you mean 'sampler'"):
        assert "smapler" not in registry().kinds


def test_two_kinds_of_one_name_are_said_with_both_plugins(install: Install) -> None:
    for name in ("one", "two"):
        install(
            name, f"import diffkit\n@diffkit.hookimpl\ndef diffkit_kinds():\n    return [diffkit.Kind('k', '{name}:K')]"
        )
    with pytest.warns(PluginWarning, match=r"two 1\.2 brings a kind 'k', but one 1\.2 has another one"):
        assert registry().kind("k").interface == "one:K"


def test_a_kind_cannot_be_redefined(install: Install) -> None:
    kind = "\n@diffkit.hookimpl\ndef diffkit_kinds():\n    return [diffkit.Kind('sampler', 'diffkit.core.grid:Grid')]\n"
    install("mine", MINE + kind)
    with pytest.warns(PluginWarning, match=r"mine 1\.2.*kind 'sampler'"):
        assert registry().kind("sampler").interface == "diffkit.core.sampler:Sampler"
