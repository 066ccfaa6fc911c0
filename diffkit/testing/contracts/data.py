"""Contracts of data, codecs and metrics."""

import torch
from torch import Tensor

from diffkit.core.codec import Codec
from diffkit.core.data import Data, rows_of
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch, Shape
from diffkit.testing.contracts.require import require, require_close

NEAR = 0.1
"""How far the mean and the spread of standardised rows may be from 0 and 1."""


def check_data(data: Data) -> None:
    """Standardised rows of the declared shape, a column for each declared condition, a picture of some rows."""
    spec, name = data.spec, type(data).__name__
    for split in ("train", "test"):
        rows = data.reference(split)
        x: Tensor = rows["x"]
        shape = tuple(x.shape[1:])
        require(shape == tuple(spec.shape), name, f"a row of {split} is {shape}, declared {tuple(spec.shape)}")
        require(bool(torch.isfinite(x).all()), name, f"rows of {split} are not finite")
        lost = [column for column in spec.conditions if len(rows.get(column, ())) != len(x)]
        require(not lost, name, f"{', '.join(lost)} of {split} has not one value for each of {len(x)} rows")
        require_close(name, f"{split} in its own units and back", spec.standardise(spec.restore(x)), x, 1e-4)
    x = data.reference("train")["x"].double()
    require(abs(x.mean().item()) < NEAR, name, f"the mean of its rows is {x.mean().item():.2g}, not 0")
    require(abs(x.std().item() - 1) < NEAR, name, f"the standard deviation of its rows is {x.std().item():.2g}, not 1")
    panels = (1, 4) if len(spec.shape) > 1 else (1, 1, 4)  # points are drawn together in a panel
    require(all(data.draw(spec.restore(x[:4].float()).reshape(*panels, *spec.shape)).size), name, "draws no picture")


def check_codec(codec: Codec, shape: Shape) -> None:
    """Decoded latents have the data's shape and are finite, whatever the other rows are."""
    name, x = type(codec).__name__, torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z, first = codec.encode(x), codec.encode(x[:1])
        back, alone = codec.decode(z), codec.decode(z[:1])
    require(back.shape == x.shape, name, f"decodes to {tuple(back.shape[1:])}, from {shape}")
    require(bool(torch.isfinite(back).all()), name, "what it decodes is not finite")
    require_close(name, "a latent by itself, against the same one of a batch,", first, z[:1], 1e-5)
    require_close(name, "a row decoded by itself, against the same one of a batch,", alone, back[:1], 1e-5)


def check_metric(metric: SampleMetric, x: Tensor, columns: Batch) -> None:
    """A finite number that does not depend on how the samples come in batches, and none is left after a reset."""
    name, half, reset = type(metric).__name__, len(x) // 2, getattr(metric, "reset", None)
    require(callable(reset), name, "is no torchmetrics Metric: it has no reset")
    assert callable(reset)
    index = torch.arange(len(x))
    found = []
    for parts in ([index], [index[:half], index[half:]]):
        reset()
        for part in parts:
            metric.update(x[part], rows_of(columns, part))
        value = metric.compute()
        require(value.shape == () and bool(torch.isfinite(value)), name, f"is {value}, not one finite number")
        found.append(value)
    require_close(name, "the value of two batches, against that of one,", found[1], found[0], 1e-5)
