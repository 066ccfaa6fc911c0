"""A small convolutional variational autoencoder."""

from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from diffkit.core.codec import LearnedCodec
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.model import Network
from diffkit.core.types import Count, Natural, Shape
from diffkit.standard.denoisers.layers import CONV, groups

WIDEST = 4
"""The widest level has so many times the channels of the first."""
LIMITS = (-30.0, 20.0)
"""The log-variances that a posterior may have."""


class Vae(LearnedCodec):
    """Residual convolutions that make pictures `factor` times smaller along each axis, with `channels` latent channels.

    Train one with `task=autoencoder codec=vae`, then give its run (or its bundle, or a run of a model of its latents)
    as `codec.run`: architecture and weights are that one's, whatever the other keys say. There are one to three axes.
    A level has twice the channels of the one above it, from `width` to at most four times that, and `blocks` residual
    blocks. The log-variances of the posterior are kept between -30 and 20. Raises `DiffkitError` for data without
    axes, where `factor` does not divide an axis, and for a run of other data or of no such codec.
    Kingma and Welling 2014, Auto-Encoding Variational Bayes; Rombach et al. 2022, High-Resolution Image Synthesis with
    Latent Diffusion Models.
    """

    def __init__(
        self,
        shape: Shape,
        load_model: Callable[..., Network],
        spec: DataSpec | None = None,
        run: str | None = None,
        width: Count = 32,
        channels: Count = 4,
        factor: Literal[1, 2, 4, 8] = 2,
        blocks: Natural = 1,
    ) -> None:
        keys: dict[str, Any] = {"run": None, "width": width, "channels": channels, "factor": factor, "blocks": blocks}
        given = None if run is None else _given(run, load_model(run, spec))
        keys = keys if given is None else given.keys
        super().__init__(keys["channels"], keys, trained=given is not None)
        _refuse_shape(shape, keys["factor"])
        self.encoder = _encoder(shape, keys)
        self.decoder = _decoder(shape, keys)
        if given is not None and not self.shift.is_meta:
            self.load_state_dict(given.state_dict())

    def posterior(self, x: Float[Tensor, " b *d"]) -> tuple[Float[Tensor, " b *e"], Float[Tensor, " b *e"]]:
        """See `LearnedCodec`."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(*LIMITS)

    def generate(self, latent: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
        """See `LearnedCodec`."""
        x: Tensor = self.decoder(latent)
        return x


def _given(run: str, network: Network) -> Vae:
    if not isinstance(network.codec, Vae):
        raise DiffkitError(f"run={run} has no such codec: give a run that was trained with task=autoencoder codec=vae")
    return network.codec


def _refuse_shape(shape: Shape, factor: int) -> None:
    size = shape[1:]
    if not 1 <= len(size) <= 3 or any(n % factor for n in size):
        raise DiffkitError(
            f"the codec 'vae' of factor {factor} works on (channels, *size) with one to three axes that it divides, not"
            f" on {shape}: choose another codec.factor, or codec=identity"
        )


def _encoder(shape: Shape, keys: dict[str, Any]) -> nn.Sequential:
    """From data to means and log-variances."""
    conv, widths, blocks = CONV[len(shape) - 1], _widths(keys), keys["blocks"]
    layers: list[nn.Module] = [conv(shape[0], widths[0], 3, padding=1)]
    for above, width in zip([None, *widths], widths, strict=False):
        if above is not None:
            layers.append(conv(above, width, 3, stride=2, padding=1))
        layers += [_Block(conv, width) for _ in range(blocks)]
    return nn.Sequential(*layers, *_out(conv, widths[-1], 2 * keys["channels"]))


def _decoder(shape: Shape, keys: dict[str, Any]) -> nn.Sequential:
    """From latents to data."""
    conv, widths, blocks = CONV[len(shape) - 1], _widths(keys)[::-1], keys["blocks"]
    layers: list[nn.Module] = [conv(keys["channels"], widths[0], 3, padding=1)]
    for below, width in zip([None, *widths], widths, strict=False):
        if below is not None:
            layers += [_Twice(), conv(below, width, 3, padding=1)]
        layers += [_Block(conv, width) for _ in range(blocks)]
    return nn.Sequential(*layers, *_out(conv, widths[-1], shape[0]))


def _widths(keys: dict[str, Any]) -> list[int]:
    """The channels of each level, from the finest to the coarsest."""
    levels = keys["factor"].bit_length()
    return [keys["width"] * min(2**level, WIDEST) for level in range(levels)]


def _out(conv: type[nn.Module], width: int, channels: int) -> list[nn.Module]:
    return [_norm(width), nn.SiLU(), conv(width, channels, 3, padding=1)]


class _Twice(nn.Module):
    """Twice the resolution."""

    def forward(self, h: Tensor) -> Tensor:
        return interpolate(h, scale_factor=2.0)


class _Block(nn.Module):
    def __init__(self, conv: type[nn.Module], width: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = _norm(width), _norm(width)
        self.conv_1, self.conv_2 = conv(width, width, 3, padding=1), conv(width, width, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        update: Tensor = self.conv_2(silu(self.norm_2(self.conv_1(silu(self.norm_1(h))))))
        return h + update


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups(width), width)
