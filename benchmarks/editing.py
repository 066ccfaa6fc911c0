"""Inversion and inpainting against what is known exactly.

    python benchmarks/editing.py            # the tables of results/editing.md, and the two plots of the docs

The round trip from data to noise and back by the number of steps: DDIM's and the leapfrog's, in float64, on normal
data, on eight modes in the plane, and on a small network. The missing half of a correlated pair: its mean and variance
as inpainting draws them, by the number of repeats and jumps, beside the exact conditional.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffkit import create
from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.inpaint import Inpaint
from diffkit.core.inversion import Leapfrog, ddim_noise, exact_noise
from diffkit.core.model import DiffusionModel
from diffkit.core.sampler import Denoiser, Sampler, drive
from diffkit.testing.oracle import Gaussian, Mixture, denoiser

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SCHEDULE = create("schedule", "cosine")
STEPS = (10, 20, 50, 100, 200, 500)
REPEATS = (1, 2, 3, 5, 10, 20)
CORRELATION, GIVEN = 0.8, 1.5


def network() -> tuple[Denoiser, Tensor]:
    """An untrained MLP for 16 numbers, moved at random so that it does something, and rows to invert."""
    torch.manual_seed(0)
    mlp = create("denoiser", "mlp", shape=(16,), condition=ConditionSpec(), width=32, depth=1, embedding=16)
    model = DiffusionModel(mlp, create("prediction", "v"), SCHEDULE, [], create("codec", "identity"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.double().requires_grad_(False)
    return lambda x, t: model.denoise(x, t, Condition()), torch.randn(64, 16, dtype=torch.float64)


def data() -> dict[str, tuple[Denoiser, Tensor]]:
    """By name: the denoiser, and rows."""
    oracles: dict[str, Gaussian | Mixture] = {"Gaussian, 16-D": Gaussian.random(16), "mixture, 2-D": Mixture.circle()}
    rows = torch.Generator().manual_seed(1)
    exact = {name: (denoiser(oracle, SCHEDULE), oracle.sample(64, rows)) for name, oracle in oracles.items()}
    return {**exact, "network, 16-D": network()}


def walk(sampler: Sampler, denoise: Denoiser, x: Tensor, times: Tensor, noise: Any = torch.zeros_like) -> Tensor:
    for state in drive(sampler, denoise, SCHEDULE, x, times, noise):
        x = state.x
    return x


def round_trips() -> dict[str, list[tuple[int, float, float]]]:
    """By data: the steps, and the relative errors of DDIM's and of the leapfrog's round trip."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for name, (denoise, x) in data().items():
        for steps in STEPS:
            times = create("grid", "logsnr", steps=steps, logsnr_min=-10.0, logsnr_max=10.0)(SCHEDULE)
            near = walk(create("sampler", "ddim"), denoise, ddim_noise(denoise, SCHEDULE, x, times), times)
            flight = exact_noise(denoise, SCHEDULE, x, times)
            back = walk(Leapfrog(flight.v), denoise, flight.x, times)
            errors = [((y - x).norm() / x.norm()).item() for y in (near, back)]
            found.setdefault(name, []).append((steps, errors[0], errors[1]))
    return found


def inpainted(name: str, steps: int, repeats: int, jump: int, rows: int) -> tuple[float, float]:
    """The mean and the variance of what is drawn beside the known half."""
    r = 0.5**0.5
    basis = torch.tensor([[r, r], [r, -r]], dtype=torch.float64)
    spread = torch.tensor([1 + CORRELATION, 1 - CORRELATION], dtype=torch.float64)
    pair = Gaussian(torch.zeros(2, dtype=torch.float64), basis, spread)
    stream = torch.Generator().manual_seed(0)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=stream, dtype=x.dtype)

    known = torch.full((rows, 2), GIVEN, dtype=torch.float64)
    sampler = Inpaint(create("sampler", name), known, torch.tensor([True, False]).expand(rows, 2), repeats, jump)
    times = create("grid", "logsnr", steps=steps, logsnr_min=-10.0, logsnr_max=12.0)(SCHEDULE)
    x = sampler.put_back(SCHEDULE, noise(known), times[0], noise)
    x = walk(sampler, denoiser(pair, SCHEDULE), x, times, noise)[:, 1]
    return x.mean().item(), x.var().item()


def _figure(width: float = 9) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_trips(found: dict[str, list[tuple[int, float, float]]]) -> None:
    figure = _figure()
    for panel, (name, points) in zip(figure.subplots(1, len(found), sharey=True), found.items(), strict=True):
        steps, ddim, exact = zip(*points, strict=True)
        panel.loglog(steps, ddim, "o-", color="#d62728", label="DDIM backwards")
        panel.loglog(steps, exact, "o-", color="#1f77b4", label="leapfrog")
        panel.loglog(steps, [ddim[-1] * steps[-1] / s for s in steps], color="0.8", lw=4, zorder=0, label="1 / steps")
        panel.axhline(1e-5, color="0.5", lw=0.8, ls="--")
        panel.set(title=name, xlabel="steps")
    figure.axes[0].set_ylabel("relative error of the round trip")
    figure.axes[0].legend(fontsize=8)
    figure.savefig(PICTURES / "inversion.png", dpi=100)


def draw_bias(found: dict[tuple[str, int, int], list[tuple[int, float, float]]]) -> None:
    figure = _figure()
    truths = CORRELATION * GIVEN, 1 - CORRELATION**2
    for panel, k, title in zip(figure.subplots(1, 2), (1, 2), ("mean", "variance"), strict=True):
        for (name, steps, jump), points in found.items():
            label = f"{name}, {steps} steps, jump {jump}"
            panel.plot([p[0] for p in points], [p[k] for p in points], "o-", label=label)
        panel.axhline(truths[k - 1], color="0.3", lw=1, ls="--", label="exact conditional")
        panel.set(title=f"{title} of the missing half", xlabel="repeats (1: replacement alone)", xscale="log")
        panel.set_xticks(REPEATS, [str(r) for r in REPEATS], minor=False)
        panel.minorticks_off()
    figure.axes[0].legend(fontsize=7)
    figure.savefig(PICTURES / "inpainting_bias.png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20000, help="of the inpainting")
    rows = parser.parse_args().rows
    torch.set_num_threads(1)
    trips = round_trips()
    print("| data | steps | DDIM backwards | leapfrog |\n|---|---|---|---|")
    for name, points in trips.items():
        for steps, ddim, exact in points:
            print(f"| {name} | {steps} | {ddim:.1e} | {exact:.1e} |")
    draw_trips(trips)
    bias: dict[tuple[str, int, int], list[tuple[int, float, float]]] = {}
    print("\n| sampler | steps | jump | repeats | mean | variance |\n|---|---|---|---|---|---|")
    for name, steps, jump in (("ddpm", 100, 1), ("ddpm", 100, 10), ("ddpm", 20, 1), ("ddim", 100, 1)):
        for repeats in REPEATS:
            mean, variance = inpainted(name, steps, repeats, jump, rows)
            bias.setdefault((name, steps, jump), []).append((repeats, mean, variance))
            print(f"| {name} | {steps} | {jump} | {repeats} | {mean:.3f} | {variance:.3f} |", flush=True)
    print(f"\nExact: mean {CORRELATION * GIVEN:.3f}, variance {1 - CORRELATION**2:.3f}.")
    draw_bias(bias)


if __name__ == "__main__":
    main()
