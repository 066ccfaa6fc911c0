"""Every guidance where its answer is known: moments of 100,000 samples, a picture of each kind, the cost of a step.

    python benchmarks/guidance.py [--rows N] [--picture docs/pictures/guidance.png] > benchmarks/results/guidance.md

The moments: normal data in the plane, whose guided denoiser is linear, so that mean and covariance of the samples solve
a linear equation; and the exact posterior of a mixture under classifier guidance. The picture: a mixture of eight modes
in the plane, of which three are asked for, with exact answers in the place of networks. The cost: a step of guided
sampling of the default digits network, against one pass with twice the rows, in turns.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from matplotlib import pyplot
from torch import Tensor

from diffkit.compose.build import build_model, part
from diffkit.compose.hydra import compose
from diffkit.core.condition import Condition, stack
from diffkit.core.data import DataSpec
from diffkit.core.guidance import Branches, Guidance, guide, told
from diffkit.core.sampler import drive, prior
from diffkit.standard.guidance.apg import Apg
from diffkit.standard.guidance.cfg import Cfg
from diffkit.standard.guidance.classifier import ClassifierGuidance
from diffkit.standard.guidance.interval import Interval
from diffkit.standard.guidance.rescale import Rescale
from diffkit.standard.guidance.threshold import DynamicThreshold, StaticThreshold
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.testing import Mixture

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from standard.guidance import linear
from standard.guidance.test_classifier import ALL, FIRST, exact
from standard.guidance.test_exact import CENTRED, Foreign, mixed

QUARTER, GRID = linear.QUARTER, linear.GRID
PLANE = DataSpec((2,), low=-1.75, high=1.75)


def walk(guidances: Sequence[Guidance], branches: Branches, condition: Condition, rows: int, seed: int = 0) -> Tensor:
    """Samples in the plane."""
    times = GRID(QUARTER)
    noise = torch.randn(rows, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = prior(QUARTER, times, noise)
    for state in drive(DpmPp2M(), told(guide(guidances, branches), condition), QUARTER, x, times, torch.zeros_like):
        x = state.x
    return x


def worst(x: Tensor, mean: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """The largest error of an entry of the mean and of the covariance, in standard errors of so many samples."""
    of_mean = np.abs(x.mean(0).numpy() - mean) / np.sqrt(np.diag(covariance) / len(x))
    errors = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / len(x))
    return of_mean.max(), (np.abs(np.cov(x.numpy().T) - covariance) / errors).max()


def moments(rows: int) -> list[str]:
    """A line for each guidance."""
    two, centred = (linear.TOLD, linear.NULL), CENTRED
    cases = {
        "cfg, scale 0": ([Cfg(0.0)], two, mixed(*two, 0.0)),
        "cfg, scale 1": ([Cfg(1.0)], two, mixed(*two, 1.0)),
        "cfg, scale 3": ([Cfg(3.0)], two, mixed(*two, 3.0)),
        "auto, scale 2.5": ([Foreign(2.5)], two, mixed(linear.TOLD, linear.WORSE, 2.5)),
        "cfg, scale 3; rescale, share 1": ([Cfg(3.0), Rescale(1.0)], centred, mixed(*centred, 1.0)),
        "apg, scale 3, parallel 0.25": ([Apg(3.0, 0.25, 0.0, 0.0)], centred, mixed(*centred, 1.5)),
    }
    lines = []
    for name, (guidances, who, law) in cases.items():
        condition, null = linear.wide(rows)
        branches = Branches(lambda x, t, c, who=who: linear.model(x, t, c, who), null, QUARTER)
        found = worst(walk(guidances, branches, condition, rows), *linear.solved(law))
        lines.append(f"| {name} | {found[0]:.2f} | {found[1]:.2f} |")
    columns = {"label": torch.zeros(rows).long()}
    bare = Branches(lambda x, t, c: ALL.x_0(x, *(v.item() for v in QUARTER(t))), Condition(), QUARTER, columns)
    centre = FIRST.means.mean(0)
    spread = (FIRST.means - centre).T @ (FIRST.means - centre) / 2 + FIRST.variance * torch.eye(2)
    found = worst(walk([exact(2.0)], bare, Condition(), rows), centre.numpy(), spread.numpy())
    lines.append(f"| classifier, scale 2, no condition | {found[0]:.2f} | {found[1]:.2f} |")
    return lines


RING = Mixture.circle(8, radius=1.3, std=0.22)
ASKED = Mixture(RING.means[[0, 1, 2]], RING.variance)
WORSE = Mixture(RING.means[[0, 1, 2, 3, 7]], 2.5 * RING.variance)


class Worse(Foreign):
    """A worse model of the modes that are asked for: broader, and of two modes too many."""

    def denoise(self, x_t: Tensor, t: Tensor, condition: object) -> Tensor:
        """The exact answer of the worse mixture."""
        return WORSE.x_0(x_t, *(v.item() for v in QUARTER(t)))


class Likely(type(exact(2.0).network)):  # type: ignore[misc]
    """p(asked for | x_t)."""

    def log_prob(self, x_t: Tensor, alpha: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        """Of each row."""
        spread = alpha**2 * RING.variance + sigma**2
        logs = -(x_t[:, None] - alpha * RING.means).square().sum(-1) / (2 * spread)
        return logs[:, :3].logsumexp(1) - logs.logsumexp(1)


def picture(file: Path, rows: int = 1500) -> None:
    """Samples under each kind."""
    by_classifier = ClassifierGuidance("exact", lambda run, spec: Likely(), PLANE, 4.0, ramp=())
    panels: dict[str, list[Guidance]] = {
        "no guidance": [],
        "cfg, scale 4": [Cfg(4.0)],
        "cfg, interval": [Cfg(4.0), Interval(-1.0, 3.0)],
        "cfg, rescale": [Cfg(4.0), Rescale(0.7)],
        "apg, scale 4": [Apg(4.0)],
        "auto, scale 2.5": [Worse(2.5)],
        "classifier, scale 4": [by_classifier],
        "cfg, static_threshold": [Cfg(4.0), StaticThreshold(PLANE)],
        "cfg, dynamic_threshold": [Cfg(4.0), DynamicThreshold(PLANE, 0.9)],
    }
    figure, axes = pyplot.subplots(3, 3, figsize=(8, 8.4), sharex=True, sharey=True, layout="constrained")
    data = ASKED.sample(rows, torch.Generator().manual_seed(5))
    condition, null = linear.wide(rows)
    for axis, (name, guidances) in zip(axes.flat, panels.items(), strict=True):
        x = walk(guidances, Branches(_ring, null, QUARTER, {"label": torch.zeros(rows).long()}), condition, rows)
        axis.scatter(*RING.sample(rows, torch.Generator().manual_seed(6)).T, s=2, c="#dddddd", linewidths=0)
        axis.scatter(*data.T, s=2, c="#9db8d9", linewidths=0)
        axis.scatter(*x.T, s=2, c="#b3312c", linewidths=0)
        axis.set(title=name, xlim=(-2.4, 3.2), ylim=(-2.4, 3.2), aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    figure.savefig(file, dpi=90)


def _ring(x: Tensor, t: Tensor, c: Condition) -> Tensor:
    assert c.vector is not None
    alpha_sigma = tuple(v.item() for v in QUARTER(t))
    return torch.where(c.vector[:, :1] == 0, ASKED.x_0(x, *alpha_sigma), RING.x_0(x, *alpha_sigma))


def cost(rounds: int = 60, rows: int = 64) -> list[str]:
    """CPU time of a guided call and of one pass of twice the rows, of the default network."""
    cfg = compose()
    spec = part("data", cfg["data"], seed=0).spec
    model = build_model(cfg, spec).eval()
    text = {"text": ["a handwritten seven"] * rows}
    with torch.no_grad():
        condition, null = model.conditioners(text, rows), model.conditioners.null(rows)
        both = stack([condition, null])
        t, x = torch.tensor(0.5, dtype=torch.float64), torch.randn(rows, *spec.shape)
        twice = x.repeat(2, 1, 1, 1)
        guided = told(guide([Cfg(3.0)], Branches(model.denoise, null, model.schedule)), condition)
        asked = {"guided": lambda: guided(x.clone(), t), "plain": lambda: model.denoise(twice, t, both)}
        seconds: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(rounds):
            for name, ask in asked.items():
                since = time.process_time()
                ask()
                seconds[name].append(time.process_time() - since)
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    own, plain = (1e3 * median(taken) for taken in seconds.values())
    return [
        f"{rows} samples of 1 x 8 x 8: a guided call {own:.1f} ms, one pass of {2 * rows} rows {plain:.1f} ms; "
        f"median of the ratios of {rounds} rounds {median(ratios):.3f}"
    ]


def main() -> None:
    """Print the results, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("# Guidance\n", "    python benchmarks/guidance.py --picture docs/pictures/guidance.png\n", sep="\n")
    print(f"The largest error of a mean and of a covariance of {asked.rows:,} samples, in their standard errors:\n")
    print("| guidance | mean | covariance |\n|---|---:|---:|", *moments(asked.rows), sep="\n")
    print("\nThe cost of classifier-free guidance (the goal is 1.05):\n", *cost(), sep="\n")
    if asked.picture:
        picture(asked.picture)


if __name__ == "__main__":
    main()
