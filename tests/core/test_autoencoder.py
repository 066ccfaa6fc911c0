"""A codec that learns: its divergence, the moments of its latents, and that a model of them leaves it alone."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from diffkit import create
from diffkit.core.autoencoder import Autoencoder, divergence
from diffkit.core.codec import alike, latents
from diffkit.core.condition import ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel

SHAPE = (1, 8, 8)


def model(codec: str, seed: int = 0) -> DiffusionModel:
    """A small model with a codec; the latents of the autoencoder are (2, 4, 4)."""
    torch.manual_seed(seed)
    made = create("codec", codec, shape=SHAPE, **({"width": 8, "channels": 2} if codec == "vae" else {}))
    shape = (2, 4, 4) if codec == "vae" else SHAPE
    network = create("denoiser", "mlp", width=8, depth=1, shape=shape, condition=ConditionSpec())
    return DiffusionModel(network, create("prediction", "v"), create("schedule", "cosine"), [], made)


def test_the_divergence_is_that_of_the_distributions() -> None:
    mean, log_variance = torch.randn(2, 5, 2, 3, 4, dtype=torch.float64)
    posterior = Independent(Normal(mean, (log_variance / 2).exp()), 3)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 3)
    torch.testing.assert_close(divergence(mean, log_variance), kl_divergence(posterior, prior))


def test_settled_latents_have_zero_mean_and_unit_variance_by_channel_and_decode_as_before() -> None:
    network = Autoencoder(model("vae"))
    x = 3 * torch.randn(50, *SHAPE)
    with torch.no_grad():
        given_back = network.reconstruct(x)
        network.settle(x, batch_size=7)
        z = network.codec.encode(x)
        torch.testing.assert_close(network.codec.decode(z), given_back)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(2))


def test_a_channel_that_does_not_vary_keeps_its_scale() -> None:
    network = Autoencoder(model("vae"))
    network.codec.settle(torch.zeros(2), torch.tensor([0.0, 2.0]))
    assert network.codec.scale.tolist() == [1, 2]


def test_a_model_of_latents_learns_nothing_of_its_codec_and_an_autoencoder_does() -> None:
    made = model("vae")
    assert not any(p.requires_grad for p in made.codec.parameters())
    assert all(p.requires_grad for p in made.denoiser.parameters())
    assert all(p.requires_grad for p in Autoencoder(made).parameters())


def test_kept_latents_are_taken_for_those_of_the_rows() -> None:
    made = model("vae")
    x, eps, t = torch.randn(4, *SHAPE), torch.randn(4, 2, 4, 4), torch.linspace(0.1, 0.9, 4, dtype=torch.float64)
    weighting = create("weighting", "unit")
    batch = {"x": x, "latent": made.codec.encode(x)}
    torch.testing.assert_close(made.loss(batch, t, eps, weighting), made.loss({"x": x}, t, eps, weighting))
    assert latents(made.codec, {**batch, "x": x + 1}) is batch["latent"]


def test_codecs_are_alike_that_make_the_same_latents() -> None:
    one, other, none = model("vae").codec, model("vae", 1).codec, model("identity").codec
    assert alike(one, model("vae").codec) and alike(none, model("identity").codec)
    assert not alike(one, other) and not alike(one, none) and not alike(none, one)
    other.load_state_dict(one.state_dict())
    assert alike(one, other) and alike(one.bfloat16(), other)


def test_a_codec_that_has_nothing_to_learn_is_refused() -> None:
    with pytest.raises(DiffkitError, match="Identity has nothing to learn: choose codec=vae"):
        Autoencoder(model("identity"))
