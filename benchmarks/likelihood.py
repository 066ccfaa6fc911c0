"""Log p and the variational bound against the truth, where it is known.

    python benchmarks/likelihood.py             # the tables of results/likelihood.md, and the two plots of the docs

On the correlated Gaussian and on eight modes in the plane, whose densities are known: the error of the exact
divergence by the tolerance, how often the interval of Hutchinson's estimate covers the truth (200 repeats for each of
8 rows), and the gap of the bound by the number of steps. Moons: the entropy of the data, by quadrature.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from diffkit import create
from diffkit.core.bound import variational_bound
from diffkit.core.likelihood import draw_probes, log_likelihood
from diffkit.core.noise import Noise
from diffkit.testing.oracle import Gaussian, Mixture, denoiser

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SCHEDULE = create("schedule", "cosine")
SPAN = (-20.0, 20.0)
COLOURS = {"small": "#1f77b4", "large": "#d62728"}
Oracle = Gaussian | Mixture


def log_density(oracle: Oracle, x: Tensor, alpha: float = 1.0, sigma: float = 0.0) -> Tensor:
    if isinstance(oracle, Gaussian):
        return oracle.log_density(x, alpha, sigma)
    variance = alpha**2 * oracle.variance + sigma**2
    square = (x[:, None] - alpha * oracle.means).square().sum(-1) / variance
    each = -(square + x.shape[1] * math.log(2 * math.pi * variance)) / 2
    return each.logsumexp(1) - math.log(len(oracle.means))


def prior(oracle: Oracle) -> Any:
    return lambda x, t: log_density(oracle, x, *(c.item() for c in SCHEDULE(t)))


ORACLES: dict[str, Oracle] = {
    "Gaussian, 2-D": Gaussian.random(2),
    "Gaussian, 16-D": Gaussian.random(16),
    "mixture, 2-D": Mixture.circle(),
}


def rows(oracle: Oracle, n: int) -> Tensor:
    return oracle.sample(n, torch.Generator().manual_seed(1))


def exact() -> None:
    print("| data | tolerance | largest error, nats | mean error | network calls | s |\n|---|---|---|---|---|---|")
    for name, oracle in ORACLES.items():
        x = rows(oracle, 256)
        truth = log_density(oracle, x)
        for tolerance in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
            begin = time.perf_counter()
            found = log_likelihood(denoiser(oracle, SCHEDULE), SCHEDULE, x, None, SPAN, prior(oracle), tolerance)
            error, seconds = (found.nats - truth).abs(), time.perf_counter() - begin
            figures = f"{error.max():.1e} | {error.mean():.1e} | {found.calls} | {seconds:.2f}"
            print(f"| {name} | {tolerance:g} | {figures} |")


def coverage(repeats: int) -> None:
    print("\n| data | probes | kind | covered by the 95 % interval | mean of the standard error, nats |")
    print("|---|---|---|---|---|")
    for name in ("Gaussian, 16-D", "mixture, 2-D"):
        oracle = ORACLES[name]
        x = rows(oracle, 8)
        for kind in ("rademacher", "gaussian"):
            for k in (4, 16, 64):
                many = x.repeat(repeats, 1)
                probes = draw_probes(many, k, Noise(0, range(len(many))), kind)  # type: ignore[arg-type]
                found = log_likelihood(
                    denoiser(oracle, SCHEDULE), SCHEDULE, many, probes, SPAN, prior(oracle), tolerance=1e-4
                )
                inside = (found.nats - log_density(oracle, many)).abs() < stats.t.ppf(0.975, k - 1) * found.error
                share = inside.double().mean().item()
                bar = 1.96 * math.sqrt(share * (1 - share) / len(many))
                print(f"| {name} | {k} | {kind} | {share:.3f} ± {bar:.3f} | {found.error.mean():.3f} |")


def gaps(n: int) -> dict[tuple[str, str], list[tuple[int, float, float]]]:
    """By data and variance: the steps, the bound less the truth on the same rows, and its standard error."""
    found: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    for name in ("Gaussian, 2-D", "mixture, 2-D"):
        oracle = ORACLES[name]
        x = rows(oracle, n)
        truth = log_density(oracle, x)
        for variance in ("small", "large"):
            for steps in (16, 32, 64, 128, 256, 512):
                grid = create("grid", "logsnr", steps=steps, logsnr_min=-20.0, logsnr_max=12.0)
                args = denoiser(oracle, SCHEDULE), SCHEDULE, x, grid(SCHEDULE), range(n)
                above = variational_bound(*args, variance=variance).total[0] + truth  # type: ignore[arg-type]
                mean, error = above.mean().item(), above.std().item() / n**0.5
                found.setdefault((name, variance), []).append((steps, mean, error))
    return found


def moons(noise: float = 0.08) -> tuple[float, float]:
    """The entropy of the moons given the half circle, in nats, and the standard error: 1e5 points, by quadrature."""
    g = torch.Generator().manual_seed(0)
    angle = math.pi * (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    arc = torch.stack([angle.cos(), angle.sin()], 1)
    each = []
    for _ in range(25):
        turn = math.pi * torch.rand(4000, generator=g, dtype=torch.float64)
        x = torch.stack([turn.cos(), turn.sin()], 1)
        x = x + noise * torch.randn(x.shape, generator=g, dtype=torch.float64)
        each.append(-log_density(Mixture(arc, noise**2), x))
    nats = torch.cat(each)
    return nats.mean().item(), nats.std().item() / len(nats) ** 0.5


def _figure() -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_gaps(found: dict[tuple[str, str], list[tuple[int, float, float]]]) -> None:
    figure = _figure()
    names = list(dict.fromkeys(name for name, _ in found))
    for panel, name in zip(figure.subplots(1, 2, sharey=True), names, strict=True):
        for variance, colour in COLOURS.items():
            points = found[name, variance]
            steps, means, errors = zip(*points, strict=True)
            panel.errorbar(steps, means, [2 * e for e in errors], fmt="o-", color=colour, capsize=3, label=variance)
        panel.plot(steps, [30 * 16 / s for s in steps], color="0.8", lw=4, zorder=0, label="1 / steps")
        panel.set(xscale="log", xlabel="steps", title=name)
        panel.set_yscale("symlog", linthresh=0.1)
        panel.set_xticks(steps, map(str, steps))
        panel.minorticks_off()
        panel.axhline(0, color="0.5", lw=0.8)
        panel.legend(fontsize=8)
    figure.axes[0].set_ylabel("bound less -log p, nats")
    figure.savefig(PICTURES / "bound_gap.png", dpi=110)


def draw_terms() -> None:
    figure = _figure()
    for panel, name in zip(figure.subplots(1, 2), ("Gaussian, 2-D", "mixture, 2-D"), strict=True):
        oracle = ORACLES[name]
        times = create("grid", "logsnr", steps=128, logsnr_min=-20.0, logsnr_max=12.0)(SCHEDULE)
        for variance, colour in COLOURS.items():
            args = denoiser(oracle, SCHEDULE), SCHEDULE, rows(oracle, 1000), times, range(1000)
            terms = variational_bound(*args, variance=variance).terms  # type: ignore[arg-type]
            panel.plot(SCHEDULE.logsnr(times[:-2]).tolist(), terms.tolist(), color=colour, label=variance)
        panel.set(title=name, xlabel="log-SNR from which the step starts", ylabel="nats a step")
        panel.legend(fontsize=8)
    figure.savefig(PICTURES / "bound_terms.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="of the bound")
    parser.add_argument("--repeats", type=int, default=200, help="of the intervals")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    exact()
    coverage(asked.repeats)
    found = gaps(asked.rows)
    print("\n| data | variance | steps | bound less -log p, nats |\n|---|---|---|---|")
    for (name, variance), points in found.items():
        for steps, mean, error in points:
            print(f"| {name} | {variance} | {steps} | {mean:.4f} ± {error:.4f} |")
    draw_gaps(found)
    draw_terms()
    print("\nMoons: an entropy of {:.4f} ± {:.4f} nats, given the half circle.".format(*moons()))


if __name__ == "__main__":
    main()
