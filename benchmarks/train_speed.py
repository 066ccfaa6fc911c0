"""What a training step costs in diffkit, in a raw torch loop, and in diffusers' own loop.

    python benchmarks/train_speed.py denoiser=unet
    python benchmarks/train_speed.py denoiser=mlp data.batch_size=256

Every loop trains the same networks (the denoiser and the conditioner that the overrides name, on digits) with the same
loss, data in memory, AdamW and a moving average. They take turns, step by step, in process CPU seconds on one thread
(wall seconds on a GPU); a ratio is the median over steps. The raw loops are written by hand, with nothing that is not
needed. diffkit's is `diffkit train` as it comes: Lightning, its callbacks, figures in a file; only W&B is off.
diffusers runs if it is installed, with accelerate: the loop of its unconditional example.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning import Callback
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import mse_loss

from diffkit import compose
from diffkit.compose.build import Parts, build
from diffkit.core.data import order, rows_of
from diffkit.run import train

WARM, STEPS = 10, 150
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Step = Callable[[], object]


def clock() -> float:
    """CPU seconds of this process; wall seconds on a GPU, once it is done."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def batches(parts: Parts, size: int) -> Iterator[dict[str, Any]]:
    columns = {n: c.to(DEVICE) if isinstance(c, torch.Tensor) else c for n, c in parts.data.reference("train").items()}
    return (rows_of(columns, index) for index in order(0, len(columns["x"]), size))


def noisy(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    """The input, the log-SNR and the target of v-prediction on the cosine path, and which conditions are kept."""
    x = batch["x"]
    t = torch.rand(len(x), device=x.device) * 0.998 + 0.001
    eps = torch.randn_like(x)
    alpha, sigma = torch.cos(t * torch.pi / 2), torch.sin(t * torch.pi / 2)
    logsnr = 2 * (alpha / sigma).log()
    alpha, sigma = alpha.view(-1, 1, 1, 1), sigma.view(-1, 1, 1, 1)
    keep = torch.rand(len(model.conditioners.parts), len(x), device=x.device) >= 0.1
    return alpha * x + sigma * eps, logsnr, alpha * eps - sigma * x, keep


def raw(parts: Parts, size: int, bf16: bool, math: bool, compiled: bool = False) -> Step:
    """The loop one would write by hand."""
    model = deepcopy(parts.model).to(DEVICE)
    if compiled:
        model.denoiser.compile()
    weights = list(model.parameters())
    average = [w.detach().clone() for w in weights]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.99), fused=True)
    stream = batches(parts, size)

    def step() -> None:
        batch = next(stream)
        x_t, logsnr, target, keep = noisy(model, batch)
        attention = sdpa_kernel(SDPBackend.MATH) if math else nullcontext()
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16), attention:
            output = model.denoiser(x_t, logsnr, model.conditioners(batch, size, keep))
        loss = mse_loss(output.float(), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, weights, 0.001)

    return step


def diffusers(parts: Parts, size: int) -> Step:
    """The inner loop of diffusers' example: accelerate, DDPMScheduler, EMAModel, gradient clipping, a schedule."""
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    accelerator = Accelerator(cpu=DEVICE.type == "cpu", mixed_precision="bf16" if DEVICE.type == "cuda" else "no")
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    model: Any = deepcopy(parts.model)
    conditioned = torch.nn.ModuleDict({"denoiser": model.denoiser, "conditioners": model.conditioners}).to(DEVICE)
    average = EMAModel(conditioned.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    average.to(DEVICE)
    optimizer = torch.optim.AdamW(conditioned.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    rates = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=500, num_training_steps=100000)
    conditioned, optimizer, rates = accelerator.prepare(conditioned, optimizer, rates)
    stream = batches(parts, size)
    logsnr_of = scheduler.alphas_cumprod.logit().to(DEVICE)

    def step() -> None:
        batch = next(stream)
        eps = torch.randn_like(batch["x"])
        t = torch.randint(0, 1000, (size,), device=DEVICE)
        x_t = scheduler.add_noise(batch["x"], eps, t)
        keep = torch.rand(len(model.conditioners.parts), size, device=DEVICE) >= 0.1
        with accelerator.accumulate(conditioned), accelerator.autocast():
            condition = conditioned["conditioners"](batch, size, keep)
            loss = mse_loss(conditioned["denoiser"](x_t, logsnr_of[t], condition).float(), eps)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(conditioned.parameters(), 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            average.step(conditioned.parameters())
        loss.detach().item()

    return step


class Turns(Callback):
    """Clocks diffkit's steps, and between two of them one step of each other loop."""

    def __init__(self, loops: dict[str, Step]) -> None:
        self.loops, self.order = loops, Random(0)
        self.times: dict[str, list[float]] = {name: [] for name in (*loops, "diffkit train")}
        self.since = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self.since = clock()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let the others have their turn."""
        self.times["diffkit train"].append(clock() - self.since)
        for name in self.order.sample(sorted(self.loops), len(self.loops)):
            start = clock()
            self.loops[name]()
            self.times[name].append(clock() - start)
        self.since = clock()


def main() -> None:
    """Let all loops take turns, and print a table."""
    torch.set_num_threads(1)
    compiled = "--compile" in sys.argv
    overrides = [a for a in sys.argv[1:] if not a.startswith("--")]
    cfg = compose(overrides)
    parts, size = build(cfg), int(cfg.data.batch_size)
    loops: dict[str, Step] = {
        "raw, float32": raw(parts, size, False, False),
        "raw, bf16 autocast": raw(parts, size, True, False),
        "raw, bf16 autocast, attention by matmul": raw(parts, size, True, True),
    }
    if compiled:
        loops["raw, bf16 autocast, compiled"] = raw(parts, size, True, False, True)
    try:
        loops["diffusers: accelerate, EMAModel"] = diffusers(parts, size)
    except ImportError as error:
        print(f"without diffusers' loop: {error}", file=sys.stderr)
    turns, original = Turns(loops), train._trainer
    train._trainer = lambda choices, place, callbacks: original(choices, place, [turns, *callbacks])
    ours = ["logger=[csv]", "metric=[]", "samples=0", "preview_every=0", f"trainer.max_steps={WARM + STEPS}"]
    with TemporaryDirectory() as folder:
        train.train(compose([*overrides, *ours, f"compile={compiled}", f"out={Path(folder) / 'run'}"]))
    times = {name: values[WARM:] for name, values in turns.times.items()}
    report(times, size, sum(p.numel() for p in parts.model.parameters()))


def report(times: dict[str, list[float]], size: int, parameters: int) -> None:
    best = min((name for name in times if name.startswith("raw")), key=lambda name: median(times[name]))
    print(f"{parameters:,} parameters, batches of {size}; the best raw loop is: {best}\n")
    print("| loop | ms a step | images/s | speed to the best raw loop |\n|---|---|---|---|")
    for name, values in times.items():
        ratio = median(b / v for b, v in zip(times[best], values, strict=True))
        print(f"| {name} | {1e3 * median(values):.2f} | {size / median(values):,.0f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
