"""A classifier of noisy data: what is x_t going to be?"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from diffkit.core.codec import Codec
from diffkit.core.conditioner import Conditioners
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel, Network
from diffkit.core.schedule import Schedule
from diffkit.core.types import Shape, expand


class NoisyClassifier(Network):
    """The class of a sample from x_t at any noise level: a denoiser network that is told nothing, and a linear layer.

    It sees the log-SNR and x_t scaled to unit variance, as a `DiffusionModel`'s network does: it may be asked along
    another path than that it was trained on. Raises `DiffkitError` for a model with conditioners, which could be told
    the answer.
    Dhariwal and Nichol 2021, Diffusion Models Beat GANs on Image Synthesis, section 4.
    """

    def __init__(self, model: DiffusionModel, shape: Shape, classes: int) -> None:
        super().__init__()
        if model.conditioners.keys:
            raise DiffkitError("a classifier is told nothing but x_t: add conditioner=[]")
        self.denoiser: DenoiserNetwork = model.denoiser
        self.codec: Codec = model.codec
        self.schedule: Schedule = model.schedule
        self.conditioners: Conditioners = model.conditioners
        self.head = nn.Linear(math.prod(shape), classes)

    def forward(self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"]) -> Float[Tensor, "b k"]:
        """The logits of the classes for `x` of unit variance."""
        features: Tensor = self.denoiser(x, logsnr, self.conditioners.null(len(x)))
        logits: Tensor = self.head(features.flatten(1))
        return logits

    def log_prob(
        self,
        x_t: Float[Tensor, " b *d"],
        alpha: Float[Tensor, "*b"],
        sigma: Float[Tensor, "*b"],
        label: Int[Tensor, " b"],
    ) -> Float[Tensor, " b"]:
        """The log-probability of each row's class given its x_t; 0 where the label is -1, which asks for nothing."""
        c_in = (alpha.square() + sigma.square()).rsqrt().expand(len(x_t)).to(x_t)
        logsnr = (2 * (alpha / sigma).log()).expand(len(x_t)).to(x_t)
        logs = self(expand(c_in, x_t) * x_t, logsnr).log_softmax(1)
        chosen = logs.gather(1, label.clamp(min=0)[:, None])[:, 0]
        return torch.where(label >= 0, chosen, torch.zeros_like(chosen))
