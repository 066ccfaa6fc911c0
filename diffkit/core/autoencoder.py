"""A codec as what learns, by itself."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.codec import LearnedCodec
from diffkit.core.conditioner import Conditioners
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel, Network


class Autoencoder(Network):
    """The codec of a model, learning to give back what it is shown.

    Raises `DiffkitError` for a codec that has nothing to learn.
    """

    def __init__(self, model: DiffusionModel) -> None:
        super().__init__()
        if not isinstance(model.codec, LearnedCodec):
            raise DiffkitError(
                f"task=autoencoder trains a codec, and {type(model.codec).__name__} has nothing to learn: choose"
                " codec=vae"
            )
        self.codec: LearnedCodec = model.codec.requires_grad_(True)
        self.schedule = model.schedule
        self.conditioners = Conditioners([])

    def forward(
        self, x: Float[Tensor, " b *d"], eps: Float[Tensor, " b *e"]
    ) -> tuple[Float[Tensor, " b *d"], Float[Tensor, " b"]]:
        """The data of a draw from each row's posterior, by the noise `eps`, and the posterior's divergence."""
        mean, log_variance = self.codec.posterior(x)
        return self.codec.generate(mean + (log_variance / 2).exp() * eps), divergence(mean, log_variance)

    def reconstruct(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *d"]:
        """The data of the posterior's mean."""
        return self.codec.generate(self.codec.posterior(x)[0])

    def settle(self, x: Float[Tensor, " b *d"], batch_size: int = 256) -> None:
        """Bring the latents to zero mean and unit variance over the rows `x`, by channel; in float64."""
        like = self.codec.shift
        with torch.no_grad():
            means = torch.cat([self.codec.posterior(rows.to(like))[0] for rows in torch.split(x, batch_size)])
            channels = means.double().transpose(0, 1).flatten(1)
            self.codec.settle(channels.mean(1), channels.std(1, correction=0))


def divergence(mean: Float[Tensor, " b *e"], log_variance: Float[Tensor, " b *e"]) -> Float[Tensor, " b"]:
    r"""The Kullback-Leibler divergence of a normal distribution from the standard one, of each row, in nats.

    $$ \frac{1}{2} \sum_i \left( \mu_i^2 + \sigma_i^2 - 1 - \log \sigma_i^2 \right) $$

    Kingma and Welling 2014, appendix B.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2
