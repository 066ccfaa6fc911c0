"""A run that strangers' parts made: what happens to it when they are gone, changed, or no longer alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from strangers import Install, entry, install

import diffkit
from diffkit.compose.installed import PluginWarning
from diffkit.compose.plain import read_yaml
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError
from diffkit.run.evaluate import evaluate
from diffkit.run.sample import sample

from .conftest import Run

__all__ = ["install"]

PARTS = """
from dataclasses import dataclass
from diffkit.core import Sampler, Schedule

@dataclass(frozen=True)
class Walk(Sampler):
    '''Another's steps.'''
    by: Sampler

    @property
    def order(self):
        return 1

    def steps(self, denoise, schedule, x, times, noise):
        yield from self.by.steps(denoise, schedule, x, times, noise)

@dataclass(frozen=True)
class Line(Schedule):
    '''From data to noise in a line.'''

    def __call__(self, t):
        return 1 - t, t

    def logsnr(self, t):
        return 2 * ((1 - t) / t).log()
"""
OURS = entry("sampler=walk=one_parts:Walk", "schedule=line=one_parts:Line")
CHOICES = ("sampler=walk", "sampler@sampler.by=ddim", "schedule=line", "prediction=flow")


def verbs(folder: Path) -> dict[str, Callable[[], object]]:
    """Everything that opens a run."""
    return {
        "sample": lambda: sample(diffkit.compose([f"run={folder}", "n=1", "out=drawn", "logger=[]"], "sample")),
        "evaluate": lambda: evaluate(
            diffkit.compose([f"run={folder}", "n=2", "metric=[sliced_wasserstein]"], "evaluate")
        ),
        "load": lambda: diffkit.load(folder),
    }


def test_a_run_with_strangers_parts(run: Run, install: Install, tmp_path: Path) -> None:
    site = install("one", OURS, one_parts=PARTS)
    folder = run(*CHOICES)
    for config in (folder / "config.yaml", folder / "bundle" / "config.yaml"):
        made = read_yaml(config)["diffkit"]["plugins"]["one"]
        assert made["version"] == "1.2" and len(made["sha256"]) == 64
        assert made["uses"] == {"sampler": "sampler=walk", "schedule": "schedule=line"}

    install("aaa", entry("sampler=walk=m:M", "schedule=line=m:M"))
    verbs(folder)["sample"]()  # the recorded parts, though both short names are ambiguous by now
    diffkit.load(folder).sample(n=1)

    meta = site / "one-1.2.dist-info" / "METADATA"
    meta.write_text(meta.read_text().replace("1.2", "1.3"))
    registry.cache_clear()
    with pytest.warns(PluginWarning, match=r"made with one 1\.2, and one 1\.3 is installed"):
        verbs(folder)["load"]()
    with pytest.warns(PluginWarning, match=r"one 1\.3 is installed"):
        run(f"resume={folder}", "trainer.max_steps=9")
    assert read_yaml(folder / "config.yaml")["diffkit"]["plugins"]["one"]["version"] == "1.3"

    (site / "one-1.2.dist-info" / "entry_points.txt").write_text("")
    registry.cache_clear()
    missing = r'of one 1\.3, which is not installed: pip install "one==1\.3"'
    for draw in [*verbs(folder).values(), lambda: run(f"resume={folder}", "trainer.max_steps=10")]:
        with pytest.raises(DiffkitError, match=missing):
            draw()


def test_another_sampler_may_be_chosen_where_the_runs_own_is_gone(run: Run, install: Install) -> None:
    site = install("one", OURS, one_parts=PARTS)
    folder = run(*CHOICES[:2])
    (site / "one-1.2.dist-info" / "entry_points.txt").write_text("")
    registry.cache_clear()
    pipeline = diffkit.load(folder)
    with pytest.raises(DiffkitError, match=r"sampler 'walk' of one 1\.2, which is not installed"):
        pipeline.sample(n=1)
    assert pipeline.sample(n=1, sampler="ddim").x.shape == (1, 2)
    sample(diffkit.compose([f"run={folder}", "n=1", "sampler=ddim", "out=drawn", "logger=[]"], "sample"))
    assert Path("drawn/samples.npz").is_file()
