"""The identity, and the autoencoder."""

import pytest
import torch

from diffkit import create
from diffkit.core.errors import DiffkitError
from diffkit.standard.codecs.identity import Identity


def test_the_identity_changes_nothing() -> None:
    x = torch.randn(3, 1, 8, 8)
    codec = Identity()
    assert codec.encode(x) is x and codec.decode(x) is x


@pytest.mark.parametrize(
    ("shape", "factor", "latent"),
    [((3, 8, 12), 4, (5, 2, 3)), ((2, 12), 2, (5, 6)), ((1, 4, 4, 6), 2, (5, 2, 2, 3)), ((1, 5, 7), 1, (5, 5, 7))],
)
def test_an_axis_is_so_many_times_shorter(shape: tuple[int, ...], factor: int, latent: tuple[int, ...]) -> None:
    codec = create("codec", "vae", shape=shape, width=8, channels=5, factor=factor)
    z = codec.encode(torch.randn(2, *shape))
    assert z.shape == (2, *latent) and codec.decode(z).shape == (2, *shape)


def test_the_variance_of_a_posterior_is_bounded() -> None:
    codec = create("codec", "vae", shape=(1, 4, 4), width=8, channels=1)
    _, log_variance = codec.posterior(1e6 * torch.randn(9, 1, 4, 4))
    assert log_variance.min() >= -30 and log_variance.max() <= 20


@pytest.mark.parametrize(("shape", "factor"), [((5,), 2), ((1, 8, 6), 4), ((1, 2, 2, 2, 2), 2)])
def test_what_the_factor_does_not_divide_is_refused(shape: tuple[int, ...], factor: int) -> None:
    with pytest.raises(DiffkitError, match=r"choose another codec\.factor, or codec=identity"):
        create("codec", "vae", shape=shape, factor=factor)
