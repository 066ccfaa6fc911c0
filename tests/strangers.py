"""Other people's plugins, installed for one test: distributions on `sys.path`, nothing more."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, distributions
from pathlib import Path
from textwrap import dedent

import pytest

from diffkit.compose import installed as finding, registry

Install = Callable[..., Path]

SAMPLER = """
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from diffkit.core import Sampler

@dataclass(frozen=True)
class Still(Sampler):
    '''Stands still. More words that no list shows.'''

    pace: float = 1.0

    @property
    def order(self):
        return 1

    def steps(self, denoise, schedule, x, times, noise):
        yield from ()
"""


def entry(*components: str) -> str:
    """The source of a plugin's entry module that offers `kind=name=target`."""
    listed = ", ".join("diffkit.Component({!r}, {!r}, {!r})".format(*c.split("=")) for c in components)
    return f"import diffkit\n\n@diffkit.hookimpl\ndef diffkit_components():\n    return [{listed}]\n"


def write(folder: Path, distribution: str, source: str, name: str = "", version: str = "1.2", **modules: str) -> Path:
    """A distribution whose entry module `<name>_entry` has this source; other modules by their names."""
    name = name or distribution.replace("-", "_")
    module = f"{distribution.replace('-', '_')}_entry"
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[diffkit]\n{name} = {module}\n")
    for file, text in {module: source, **modules}.items():
        (folder / f"{file}.py").write_text(dedent(text))
    return folder


def _here(sites: tuple[Path, ...]) -> list[Distribution]:
    own = "diffkit.standard.plugin"
    return [
        d
        for d in distributions()
        if Path(str(d.locate_file(""))) in sites or own in (d.read_text("entry_points.txt") or "")
    ]


@contextmanager
def found(*sites: Path) -> Iterator[None]:
    """Within it the distributions of these folders, in this order, are what is installed beside diffkit."""
    roots = tuple(f"{site}{os.sep}" for site in sites)
    with pytest.MonkeyPatch.context() as patch:
        for site in reversed(sites):
            patch.syspath_prepend(str(site))
        patch.setattr(finding, "distributions", lambda: _here(sites))
        registry.registry.cache_clear()
        try:
            yield
        finally:
            registry.registry.cache_clear()
            for module in [m for m in sys.modules.values() if str(getattr(m, "__file__", "")).startswith(roots)]:
                del sys.modules[module.__name__]


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    """Install distributions as `write` does; the registry is made anew, and again after the test.

    What else this environment has installed is not found meanwhile.
    """
    site = tmp_path / "site"
    site.mkdir()

    def installed(distribution: str, source: str, **rest: str) -> Path:
        registry.registry.cache_clear()
        importlib.invalidate_caches()
        return write(site, distribution, source, **rest)

    with found(site):
        yield installed
