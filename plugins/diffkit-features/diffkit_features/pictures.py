"""What all these features share: pictures as a network was trained to see them, and vectors that are found once."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from diffkit.core import Data, DiffkitError

BATCH = 32
KEPT = 20_000
"""So many vectors are kept: metrics ask for the same real rows again and again."""

_found: dict[Hashable, Tensor] = {}


@dataclass(frozen=True)
class Network:
    """A trained network, and the pictures that it was trained on: their size, and their mean and deviation from 0 to 1.

    `vectors` gives those of standardised pictures, a row each.
    """

    module: nn.Module
    vectors: Callable[[Tensor], Tensor]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Float[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
        """The vectors of pictures from 0 to 1, of one or three channels and of any size.

        They are brought to the network's size as a whole, by a bicubic filter that takes in all pixels.
        """
        device = next(self.module.parameters()).device
        mean, std = (torch.tensor(values, device=device).reshape(-1, 1, 1) for values in (self.mean, self.std))
        x = pixels.to(device).float().expand(-1, 3, -1, -1)
        if x.shape[2:] != self.size:
            x = interpolate(x, self.size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        with torch.no_grad():
            return self.vectors((x - mean) / std).flatten(1).cpu()


def ready(module: nn.Module) -> nn.Module:
    """A network that does not learn, on the GPU if there is one."""
    return module.eval().requires_grad_(False).to("cuda" if torch.cuda.is_available() else "cpu")


def refuse_no_pictures(who: str, data: Data) -> None:
    """Raise `DiffkitError` for data that are no pictures of one or three channels with a range."""
    spec = data.spec
    if len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        raise DiffkitError(
            f"features={who} sees pictures of one or three channels, and {type(data).__name__} is of shape "
            f"{list(spec.shape)}: choose other features"
        )
    if spec.low is None or spec.high is None:
        raise DiffkitError(
            f"features={who} sees pictures from black to white, and {type(data).__name__} declares no lowest and "
            "highest value: choose other features"
        )


def refuse_missing(who: str, package: str, pip: str) -> None:
    """Raise `DiffkitError` if a package is not installed."""
    if find_spec(package) is None:
        raise DiffkitError(f"features={who} needs the package {package}, which is not installed: pip install {pip}")


def see(key: Hashable, network: Network, data: Data, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
    """The vectors of pictures in the data's own units; of those seen before, by a network of this `key`, the same."""
    low, high = data.spec.low, data.spec.high
    assert low is not None and high is not None  # it is refused otherwise
    pixels = (x.detach().float().cpu() - low) / (high - low)
    keys: list[Hashable] = [
        (key, pixels.shape[1:], blake2b(row.numpy().tobytes(), digest_size=16).digest()) for row in pixels
    ]
    new = [i for i, row in enumerate(keys) if row not in _found]
    vectors = {keys[i]: vector for part in batched(new) for i, vector in zip(part, network(pixels[part]), strict=True)}
    given = torch.stack([vectors[row] if row in vectors else _found[row] for row in keys])
    _found.update(vectors)
    for row in list(_found)[: max(0, len(_found) - KEPT)]:
        del _found[row]
    return given


def batched(rows: list[int]) -> list[list[int]]:
    """Parts of a list, of `BATCH` each."""
    return [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
