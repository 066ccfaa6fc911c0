"""What a run says of the plugins that made it, and what is said when they are not those that are here."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from strangers import SAMPLER, Install, entry

import diffkit
from diffkit.compose.installed import PluginWarning
from diffkit.compose.recorded import record, require
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError

GUIDANCE = """
from dataclasses import dataclass
from diffkit.core import Guidance

@dataclass(frozen=True)
class Same(Guidance):
    def __call__(self, denoise, branches):
        return denoise
"""
SHIFT = """
from dataclasses import dataclass
from diffkit.core import Schedule

@dataclass(frozen=True)
class Own(Schedule):
    def __call__(self, t):
        return 1 - t, t
    def logsnr(self, t):
        return t
"""
ENTRY = entry("sampler=still=one_parts:Still", "guidance=same=one_more:Same", "schedule=own=one_schedule:Own")
CONFIG: dict[str, Any] = {
    "sampler": {"_part_": "still", "pace": 2.0},
    "guidance": {"same": {"_part_": "same"}},
    "schedule": {"_part_": "shifted", "base": {"_part_": "own"}},
    "grid": {"_part_": "uniform"},
}


@pytest.fixture
def saved(install: Install) -> dict[str, Any]:
    """A config as a run saves it that used parts of the plugin `one 1.2`."""
    install("one", ENTRY, one_parts=SAMPLER, one_more=GUIDANCE, one_schedule=SHIFT)
    install("unused", "import diffkit")
    return {**CONFIG, "diffkit": {"plugins": record(CONFIG)}}


def uninstall(site: Path, distribution: str) -> None:
    for info in site.glob(f"{distribution}-*.dist-info"):
        shutil.rmtree(info)
    registry.cache_clear()


def test_every_plugin_is_recorded_with_what_is_used_of_it_and_where(saved: dict[str, Any]) -> None:
    said = saved["diffkit"]["plugins"]
    assert set(said) == {"standard", "one", "unused"}
    assert {k: said["one"][k] for k in ("distribution", "version")} == {"distribution": "one", "version": "1.2"}
    assert said["one"]["uses"] == {
        "sampler": "sampler=still",
        "guidance.same": "guidance=same",
        "schedule.base": "schedule=own",
    }
    assert said["standard"]["uses"] == {"schedule": "schedule=shifted", "grid": "grid=uniform"}
    assert said["unused"]["uses"] == {}
    assert all(len(plugin["sha256"]) == 64 for plugin in said.values())


def test_with_the_same_plugins_nothing_is_said_and_nothing_changes(saved: dict[str, Any]) -> None:
    assert require(saved, list(CONFIG)) == saved


def test_a_missing_plugin_is_named_with_what_to_install(saved: dict[str, Any], tmp_path: Path) -> None:
    uninstall(tmp_path / "site", "one")
    uninstall(tmp_path / "site", "unused")
    for kind, part in (("sampler", "sampler 'still'"), ("guidance", "guidance 'same'"), ("schedule", "schedule 'own'")):
        with pytest.raises(DiffkitError) as caught:
            require(saved, [kind])
        assert str(caught.value) == (
            f'The run was made with the {part} of one 1.2, which is not installed: pip install "one==1.2", or '
            "pip install -e FOLDER if you have its source. (diffkit export gives the weights without any plugin.)"
        )
    assert require(saved, ["grid"])["grid"] == CONFIG["grid"]


def test_another_version_is_said_in_one_line(saved: dict[str, Any], tmp_path: Path) -> None:
    info = tmp_path / "site" / "one-1.2.dist-info" / "METADATA"
    info.write_text(info.read_text().replace("1.2", "1.3"))
    registry.cache_clear()
    with pytest.warns(PluginWarning, match=r"made with one 1\.2, and one 1\.3 is installed, .*sampler 'still'") as said:
        require(saved, ["sampler", "grid"])
    assert len(said) == 1


def test_another_source_is_said_and_that_of_an_unused_plugin_is_not(saved: dict[str, Any], tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "unused_entry.py").write_text("import diffkit  # changed")
    require(saved, list(CONFIG))
    (site / "one_parts.py").write_text(SAMPLER + "# changed")
    with pytest.warns(PluginWarning, match=r"the source of one 1\.2 has changed since the run was made"):
        require(saved, ["sampler"])


def test_a_plugin_that_lacks_the_part_now_is_no_substitute(saved: dict[str, Any], tmp_path: Path) -> None:
    entry_module = tmp_path / "site" / "one_entry.py"
    for source, why in ((entry(), "one 1.2, which is installed, does not offer it"), ("import not_there", "not_there")):
        entry_module.write_text(source + "\n" * len(why))
        forget("one_entry")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PluginWarning)
            registry()
        with pytest.raises(DiffkitError, match=rf'{why}.*pip install "one==1\.2"'):
            require(saved, ["sampler"])


def forget(module: str) -> None:
    import importlib
    import sys

    sys.modules.pop(module, None)
    importlib.invalidate_caches()
    registry.cache_clear()


def test_a_plugin_that_is_left_out_is_said(saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFKIT_PLUGINS", "unused")
    registry.cache_clear()
    with pytest.raises(DiffkitError, match=r"of one 1\.2, which DIFFKIT_PLUGINS leaves out: name it there"):
        require(saved, ["sampler"])


def test_the_recorded_plugin_is_found_when_another_claims_the_name(saved: dict[str, Any], install: Install) -> None:
    install("aaa", entry("sampler=still=m:Other", "schedule=own=m:Other"))
    found = require(saved, list(CONFIG))
    assert found["sampler"] == {"_part_": "one/still", "pace": 2.0}
    assert found["schedule"]["base"]["_part_"] == "one/own"
    assert registry().load("sampler", "one/still").__name__ == "Still"


def test_it_is_found_under_the_name_that_it_has_now(install: Install) -> None:
    """Two distributions whose entry points share a name are told apart by their own names."""
    install("one", ENTRY, name="parts", one_parts=SAMPLER, one_more=GUIDANCE, one_schedule=SHIFT)
    saved = {**CONFIG, "diffkit": {"plugins": record(CONFIG)}}
    install("two", entry("sampler=still=m:Other"), name="parts")
    assert require(saved, ["sampler"])["sampler"]["_part_"] == "one/still"


def test_a_part_that_was_chosen_anew_needs_nothing(saved: dict[str, Any], tmp_path: Path) -> None:
    uninstall(tmp_path / "site", "one")
    changed = {**saved, "sampler": {"_part_": "ddim"}}
    assert require(changed, ["sampler"])["sampler"] == {"_part_": "ddim"}


def test_a_file_is_known_by_its_name_and_its_content(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import diffkit\n" + SAMPLER + entry("sampler=mine=x").replace("'x'", "Still"))
    diffkit.use(file)
    config: dict[str, Any] = {"sampler": {"_part_": "mine"}}
    config["diffkit"] = {"plugins": record(config)}
    assert config["diffkit"]["plugins"]["mine"]["file"] == "mine.py" and str(tmp_path) not in str(config)
    require(config, ["sampler"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    registry.cache_clear()
    with pytest.raises(DiffkitError, match=r"of the file mine\.py, which is not in use here: .*--plugin mine\.py"):
        require(config, ["sampler"])
    diffkit.use(file.rename(elsewhere / "mine.py"))
    require(config, ["sampler"])
    (elsewhere / "mine.py").write_text((elsewhere / "mine.py").read_text() + "# changed")
    with pytest.warns(PluginWarning, match=r"the source of the file mine\.py has changed"):
        require(config, ["sampler"])


DAMAGED: list[Any] = [
    3,
    {"plugins": 3},
    {"plugins": {"one": 3}},
    {"plugins": {"one": {"distribution": "one", "uses": 3}}},
    {"plugins": {"one": {"distribution": 3, "uses": {"nowhere.at.all": 3, "sampler": None}}}},
]


@pytest.mark.parametrize("section", DAMAGED)
def test_what_is_no_record_is_none(section: Any) -> None:
    """A file may say anything; what is needed is then found by its name, as ever."""
    config = {"sampler": {"_part_": "ddim"}, "diffkit": section}
    assert require(config, ["sampler"]) == config
