"""Error against network calls, on exact denoisers, beside other libraries.

    python benchmarks/sampler_quality.py             # the tables of results/sampler_quality.md; ten minutes of one core
    python benchmarks/sampler_quality.py --pairs 2   # fit the optimised grid to fewer samplers

Two problems: eight modes on a circle (2-D, median error) and a Gaussian of full covariance (64-D, root mean square),
in units of the data's deviation, against the exact solution of the probability-flow ODE from the exact state at the
sampler's first noise level. diffkit's pair of sampler and grid is chosen on seven other problems, by the mean of the
errors' logarithms, for each number of calls; then it is held against the two, and against the best of every other
library's samplers and grids *on* the two. The optimised grid is fitted to each problem by its own denoiser, on other
samples than those it is judged on.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import torch
from peers import peers
from torch import Tensor

from diffkit import create
from diffkit.compose.registry import registry
from diffkit.core.grid import FittedGrid, Grid
from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, calls, draws_noise, drive, prior
from diffkit.standard.schedules import Cosine
from diffkit.testing.oracle import Gaussian, Mixture, denoiser

CALLS = (5, 10, 20, 50)
ROWS = 256
START = -8.0
"""Grids that begin with a higher log-SNR are left out: they are given what sampling from noise is not."""
SCHEDULE = Cosine()
Oracle = Gaussian | Mixture
F64 = torch.float64


def mixture(d: int, modes: int, std: float, seed: int) -> Mixture:
    """Modes at random, with unit variance in all."""
    means = torch.randn(modes, d, generator=torch.Generator().manual_seed(seed), dtype=F64)
    means = means - means.mean(0)
    return Mixture(means / means.square().mean().sqrt() * math.sqrt(1 - std**2), std**2)


def gaussian(d: int, power: float, std: float, mean: float, seed: int) -> Gaussian:
    """Eigenvalues that fall as k^-power, in a random basis."""
    g = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=F64))[0]
    variances = torch.arange(1, d + 1, dtype=F64) ** -power
    return Gaussian(mean * torch.randn(d, generator=g, dtype=F64), basis, variances / variances.mean() * std**2)


OTHERS: list[Oracle] = [
    mixture(2, 5, 0.2, 1),
    mixture(8, 10, 0.3, 2),
    mixture(3, 4, 0.15, 3),
    gaussian(16, 1.0, 0.7, 0.3, 4),
    gaussian(32, 2.0, 0.5, 0.4, 5),
    gaussian(48, 1.2, 0.5, 0.5, 6),
    gaussian(24, 1.2, 1.0, 0.0, 8),
]
JUDGES: dict[str, Oracle] = {"mixture, 2-D": Mixture.circle(), "Gaussian, 64-D": Gaussian.random(64)}
_exact: dict[tuple[int, float], Tensor] = {}


def solution(oracle: Oracle, level: float) -> Tensor:
    """The exact states y = x / alpha at a noise level, of the same samples at every level."""
    known = (id(oracle), level)
    if known not in _exact:
        d = oracle.means.shape[1] if isinstance(oracle, Mixture) else len(oracle.mean)
        far = 1000 * torch.randn(ROWS, d, generator=torch.Generator().manual_seed(1), dtype=F64)
        _exact[known] = oracle.flow(far, (1.0, 1000.0), (1.0, level))
    return _exact[known]


def distance(oracle: Oracle, x: Tensor, exact: Tensor) -> float:
    square = (x - exact).square().mean(1)
    return (square.median() if isinstance(oracle, Mixture) else square.mean()).sqrt().item() / oracle.spread


def error(oracle: Oracle, sampler: Sampler, grid: Grid) -> float:
    times = grid(SCHEDULE)
    alpha, sigma = (c.item() for c in SCHEDULE(times[0]))
    x = alpha * solution(oracle, sigma / alpha)
    *_, last = drive(sampler, denoiser(oracle, SCHEDULE), SCHEDULE, x, times, torch.zeros_like)
    return distance(oracle, last.x, solution(oracle, 0.0))


def fitted(oracle: Oracle, sampler: Sampler, grid: Grid) -> Grid:
    if not isinstance(grid, FittedGrid):
        return grid
    d = oracle.means.shape[1] if isinstance(oracle, Mixture) else len(oracle.mean)
    noise = Noise(0, range(grid.rows))(torch.empty(grid.rows, d, dtype=F64))
    return grid.fit(denoiser(oracle, SCHEDULE), SCHEDULE, sampler, prior(SCHEDULE, grid(SCHEDULE), noise))


def within(sampler: Sampler, grid: Grid, most: int) -> Grid | None:
    """The grid with as many steps as the calls allow."""
    for steps in range(most // (sampler.calls_per_step or 1) + 1, 0, -1):
        sized = replace(grid, steps=steps)  # type: ignore[type-var]
        if calls(sampler, SCHEDULE, sized(SCHEDULE)) <= most:
            return sized
    return None


def samplers() -> dict[str, Sampler]:
    """Every deterministic sampler with a fixed number of calls, in each of its forms and orders."""
    found, times = {}, create("grid", "karras", steps=3)(SCHEDULE)
    for name in registry().names("sampler"):
        made = create("sampler", name)
        if made.calls_per_step is None or draws_noise(made, SCHEDULE, times):
            continue
        found[name] = made
        forms = ("v", "flow") if "form" in vars(made) and name != "unipc" else ()
        found |= {f"{name} form={f}": create("sampler", name, form=f) for f in forms if f != made.form}
    return found


def mean_log(errors: list[float]) -> float:
    return sum(math.log(min(e, 1e3)) if e == e else math.log(1e3) for e in errors) / len(errors)


def rank(most: int, best: int) -> list[tuple[float, str, str]]:
    """Pairs by their error on the other problems; the optimised grid is fitted for the best `best` samplers alone."""
    made = samplers()
    grids = {name: create("grid", name) for name in registry().names("grid") if name != "optimised"}
    grids = {name: grid for name, grid in grids.items() if SCHEDULE.logsnr(grid(SCHEDULE)[0]) < START}
    scores: list[tuple[float, str, str]] = []

    def score(s: str, g: str, grid: Grid) -> None:
        sized = within(made[s], grid, most)
        if sized is not None:
            errors = [error(o, made[s], fitted(o, made[s], sized)) for o in OTHERS]
            scores.append((mean_log(errors), s, g))

    for (s, g), grid in zip(product(made, grids), list(grids.values()) * len(made), strict=True):
        score(s, g, grid)
    leaders = list(dict.fromkeys(s for _, s, _ in sorted(scores)))[:best]
    for s in leaders:
        score(s, "optimised", create("grid", "optimised"))
    return sorted(scores)


def of_peers(oracle: Oracle, most: int) -> dict[str, float]:
    """The error of each other library's sampler on each grid, at the grid's own last level."""
    errors = {}
    for (name, (cost, sample)), (kind, grid) in product(peers().items(), GRIDS.items()):
        levels = grid((most + 1) // 2 if name.endswith(("heun", "dpm_2")) else most // cost)
        if kind == NATIVE and not name.startswith("smalldiffusion"):
            continue

        def denoise(y: Tensor, level: float, oracle: Oracle = oracle) -> Tensor:
            return oracle.x_0(y, 1.0, level)

        try:
            y = sample(denoise, solution(oracle, levels[0].item()).clone(), levels).double()
        except (RuntimeError, ValueError, IndexError, AssertionError):
            continue
        errors[f"{name}, {kind}"] = distance(oracle, y, solution(oracle, levels[-1].item()))
    return {name: e for name, e in errors.items() if math.isfinite(e)}


def _to_zero(levels: Tensor) -> Tensor:
    return torch.cat([levels, levels.new_zeros(1)])


def _flow(n: int) -> Tensor:
    t = torch.linspace(1e-3, 1, n + 1, dtype=F64)
    return (1 - t) / t


NATIVE = "its own grid"
GRIDS: dict[str, Callable[[int], Tensor]] = {
    "karras": lambda n: _to_zero(torch.linspace(80 ** (1 / 7), 0.002 ** (1 / 7), n, dtype=F64) ** 7),
    "log": lambda n: _to_zero(torch.logspace(math.log10(80), math.log10(0.002), n, dtype=F64)),
    "flow": _flow,
    NATIVE: lambda n: torch.logspace(math.log10(35), -2, n + 1, dtype=F64),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="samplers that the optimised grid is fitted to")
    parser.add_argument("--calls", type=int, nargs="*", default=list(CALLS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made, leaders = samplers(), dict[int, str]()
    print("| calls | problem | best other library, any grid | error | diffkit | error | share |")
    print("|---|---|---|---|---|---|---|")
    for most in arguments.calls:
        ranked = rank(most, arguments.pairs)
        chosen = {
            "best pair": ranked[0],
            "best without a fit": next(r for r in ranked if r[2] != "optimised"),
            "default": (0.0, "abm", "flow"),
        }
        for problem, oracle in JUDGES.items():
            others = of_peers(oracle, most)
            name = min(others, key=others.__getitem__)
            for what, (_, s, g) in chosen.items():
                sized = within(made[s], create("grid", g), most)
                assert sized is not None
                ours = error(oracle, made[s], fitted(oracle, made[s], sized))
                row = (most, problem, name, f"{others[name]:.1e}", f"{what}: {s}, {g}", f"{ours:.1e}")
                print(f"| {' | '.join(map(str, row))} | {ours / others[name]:.2f} |", flush=True)
        leaders[most] = "; ".join(f"{s}, {g}: {math.exp(value):.1e}" for value, s, g in ranked[:6])
    print("\n| calls | pairs |\n|---|---|", *(f"| {most} | {pairs} |" for most, pairs in leaders.items()), sep="\n")


if __name__ == "__main__":
    main()
