"""Guidance by a CLIP: where its answer is known, and an unconditional model of digits that is told by it what to draw.

    diffkit train experiment=clip_digits out=clip
    diffkit train experiment=digits_mlp conditioner=[] guidance=[] ~guidance.cfg out=untold
    diffkit train experiment=digits_mlp out=told
    python benchmarks/clip_guidance.py clip untold told > benchmarks/results/clip_guidance.md

With a match that is known exactly: moments of 20,000 samples. With the trained CLIP: 1000 samples, 20 for each of the
50 captions of digits, under scales of guidance by the CLIP and, of a model that was told captions, of classifier-free
guidance. Agreement is the share that a support vector machine of the training pictures takes for the digit asked for;
the Frechet distance is to the held-out pictures. Draws docs/pictures/clip_guidance.png, and clip_strip.png: a sample on
its way with and without guidance.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot
from torch import Tensor

import diffkit
from diffkit.core.condition import Condition
from diffkit.core.data import DataSpec
from diffkit.core.guidance import Branches, Guidance
from diffkit.pipeline import Pipeline
from diffkit.run import pictures
from diffkit.run.evaluate import Scores, judge, real_scores
from diffkit.run.generate import Sampling, film
from diffkit.standard.data.digits import captions
from diffkit_clip.guidance import ClipGuidance

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "diffkit-clip" / "tests"))
from standard.guidance import linear
from standard.guidance.test_exact import mixed
from test_guidance import FIRST, VARIANCE, Known, exact, unconditional

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SCALES = {"clip": (1.0, 2.0, 4.0, 6.0, 8.0, 12.0), "cfg": (1.0, 1.5, 2.0, 4.0, 8.0)}
SAMPLERS = {"dpmpp_2m": 20, "ddpm": 50}
EACH = 20


def walk(guidances: list[Guidance], branches: Branches, told: Condition, rows: int, name: str, steps: int) -> Tensor:
    """Samples in the plane."""
    denoise: Any = branches
    for guidance in guidances:
        denoise = guidance(denoise, branches)
    stream = torch.Generator().manual_seed(0)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=stream)

    times = diffkit.create("grid", "logsnr", steps=steps, logsnr_min=-12.0, logsnr_max=12.0)(branches.schedule)
    x = noise(torch.empty(rows, 2, dtype=torch.float64))
    with torch.no_grad():
        for state in diffkit.create("sampler", name).steps(
            lambda x, t: denoise(x, t, told), branches.schedule, x, times, noise
        ):
            x = state.x
    return x


def worst(x: Tensor, mean: Any, covariance: Any) -> tuple[float, float]:
    """The largest error of an entry of the mean and of the covariance, in standard errors of so many samples."""
    of_mean = np.abs(x.mean(0).numpy() - mean) / np.sqrt(np.diag(covariance) / len(x))
    errors = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / len(x))
    return of_mean.max(), (np.abs(np.cov(x.numpy().T) - covariance) / errors).max()


def ratio(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """How much likelier x_t is for what was told than for the null, in nats, for normal data: what Bayes' rule asks."""

    def log_density(normal: linear.Normal) -> Tensor:
        unit = torch.eye(2, dtype=torch.float64)
        law = torch.distributions.MultivariateNormal(
            alpha * torch.from_numpy(normal.mean), alpha**2 * torch.from_numpy(normal.covariance) + sigma**2 * unit
        )
        return law.log_prob(x)

    return log_density(linear.TOLD) - log_density(linear.NULL)


def moments(rows: int) -> list[str]:
    """A line for each case whose answer is known."""
    centre = FIRST.means.mean(0)
    spread = (FIRST.means - centre).T @ (FIRST.means - centre) / 2 + VARIANCE * torch.eye(2)
    lines = []
    for sampler, steps in (("dpmpp_2m", 200), ("ddpm", 1000)):
        x = walk([exact(2.0)], unconditional(["first"] * rows), Condition(), rows, sampler, steps)
        found = worst(x, centre.numpy(), spread.numpy())
        lines.append(
            f"| mixture, no condition: clip, scale 2 | {sampler}, {steps} steps | {found[0]:.2f} | {found[1]:.2f} |"
        )
    told, null = linear.wide(rows)
    cfg, clip = (
        diffkit.create("guidance", "cfg", scale=2.0),
        ClipGuidance("", lambda run, spec: Known(ratio), DataSpec((2,)), 2.5, ()),
    )
    law = linear.solved(mixed(linear.TOLD, linear.NULL, 3.5))
    for guidances, name in (
        ([cfg, clip], "cfg, scale 2; clip, scale 2.5"),
        ([clip, cfg], "clip, scale 2.5; cfg, scale 2"),
    ):
        branches = Branches(linear.model, null, linear.QUARTER, {"text": ["told"] * rows})
        found = worst(walk(guidances, branches, told, rows, "dpmpp_2m", 300), *law)
        lines.append(f"| normal data: {name} | dpmpp_2m, 300 steps | {found[0]:.2f} | {found[1]:.2f} |")
    return lines


def asked(each: int) -> dict[str, Any]:
    """The captions of all digits, and which digit it is."""
    pairs = [(digit, text) for digit in range(10) for text in captions(digit) for _ in range(each)]
    return {"text": [text for _, text in pairs], "label": torch.tensor([digit for digit, _ in pairs])}


Curves = dict[tuple[str, str], list[tuple[float, Scores]]]


def curves(told: Pipeline, untold: Pipeline, clip: Callable[[float], Guidance]) -> tuple[Curves, int]:
    """The scores by guidance, sampler and scale, and the number of samples."""
    data = untold.saved.data()
    columns = asked(EACH)
    metrics = {name: diffkit.create("metric", name, data=data) for name in ("agreement", "frechet")}
    real = real_scores(metrics, data, {**columns, "x": columns["label"]})
    found: Curves = {}
    for kind, scales in SCALES.items():
        for sampler, steps in SAMPLERS.items():
            for scale in scales:
                guidance = clip(scale) if kind == "clip" else diffkit.create("guidance", "cfg", scale=scale)
                x = (
                    (untold if kind == "clip" else told)
                    .sample(text=columns["text"], guidance=[guidance], sampler=sampler, steps=steps, batch_size=500)
                    .x
                )
                scores = judge(metrics, {**columns, "x": x}, real)
                found.setdefault((kind, sampler), []).append((scale, scores))
                values = " ".join(f"{name} {score['value']:.3f}" for name, score in scores.items())
                print(kind, sampler, scale, values, file=sys.stderr, flush=True)
    return found, len(columns["text"])


NAMES = {"clip": "clip, of a model that was told nothing", "cfg": "cfg, of a model that was told captions"}


def rows(found: Curves) -> list[str]:
    """A line for each point of the curves."""
    return [
        f"| {NAMES[kind]} | {sampler}, {SAMPLERS[sampler]} steps | {scale:g} | {scores['agreement']['value']:.3f} "
        f"| {scores['frechet']['value']:.2f} |"
        for (kind, sampler), points in found.items()
        for scale, scores in points
    ]


def draw(found: Curves) -> None:
    """Agreement and Frechet distance over scale."""
    figure, panels = pyplot.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    real = next(iter(found.values()))[0][1]
    for (kind, sampler), points in found.items():
        style = {"color": "#b3312c" if kind == "clip" else "#1f77b4", "ls": "-" if sampler == "dpmpp_2m" else "--"}
        scales = [scale for scale, _ in points]
        values = [[scores[name]["value"] for _, scores in points] for name in ("agreement", "frechet")]
        label = f"{kind}, {sampler}"
        panels[0].plot(scales, values[0], "o", ms=3, label=label, **style)
        panels[1].plot(scales, values[1], "o", ms=3, label=label, **style)
        panels[2].plot(*values, "o", ms=3, label=label, **style)
    for panel, name in zip(panels, ("agreement", "frechet"), strict=False):
        panel.axhline(real[name]["real"], color="0.5", lw=0.8, ls=":")
        panel.set(xlabel="scale", xscale="log", xticks=[1, 2, 4, 8, 12], xticklabels=["1", "2", "4", "8", "12"])
    panels[0].set(ylabel="agreement")
    panels[1].set(ylabel="Fréchet distance")
    panels[2].plot(real["agreement"]["real"], real["frechet"]["real"], "k*", label="real pictures")
    panels[2].set(xlabel="agreement", ylabel="Fréchet distance", xlim=(0.82, 1.01), ylim=(0, 5))
    panels[2].legend(fontsize=8)
    figure.savefig(PICTURES / "clip_guidance.png", dpi=90)


def strip(untold: Pipeline, guidance: Guidance, prompts: tuple[str, ...] = ("a three", "a seven")) -> None:
    """One noise on its way to a digit: alone, and steered."""
    data, own = untold.saved.data(), untold.saved.sampling()
    parts = []
    for text in (None, *prompts):
        steered = Sampling(own.sampler, own.grid, [] if text is None else [guidance])
        walked = film(untold.model, untold.spec, steered, {} if text is None else {"text": [text]}, [1], seed=0)
        parts.append(pictures.header(pictures.strip(data, walked), "without guidance" if text is None else f"“{text}”"))
    pictures.save(pictures.pile(parts), PICTURES / "clip_strip.png")


def main() -> None:
    """Print the results, draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("clip", "untold", "told"):
        parser.add_argument(name)
    parser.add_argument("--rows", type=int, default=20_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    untold, told = diffkit.load(given.untold), diffkit.load(given.told)

    def clip(scale: float) -> ClipGuidance:
        return ClipGuidance(given.clip, diffkit.load_model, untold.spec, scale)

    strip(untold, clip(6.0))
    found, n = curves(told, untold, clip)
    draw(found)
    real = next(iter(found.values()))[0][1]
    print("# Guidance by a CLIP\n\n    python benchmarks/clip_guidance.py clip untold told\n")
    print(f"The largest error of a mean and of a covariance of {given.rows:,} samples, in their standard errors:\n")
    print("| data and guidance | sampler | mean | covariance |\n|---|---|---:|---:|", *moments(given.rows), sep="\n")
    print(f"\n{n} digits, as many for each of 50 captions: agreement with the digit asked for, and Frechet distance")
    print(f"(real pictures: {real['agreement']['real']:.3f} and {real['frechet']['real']:.2f}):\n")
    print("| guidance | sampler | scale | agreement | Frechet |\n|---|---|---:|---:|---:|", *rows(found), sep="\n")


if __name__ == "__main__":
    main()
