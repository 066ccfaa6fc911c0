"""A small network."""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffkit.core import Condition, ConditionSpec, Count, DenoiserNetwork, Shape


class MyDenoiser(DenoiserNetwork):
    """A residual MLP that reads everything side by side.

    The values of x, waves of the log-SNR (about 6 to 126 long), and the condition: its vector, the mean of the tokens
    of its sequence, and what has a place in space.
    """

    def __init__(self, shape: Shape, condition: ConditionSpec, width: Count = 256) -> None:
        super().__init__()
        told = (condition.vector or 0) + (condition.sequence or 0) + (condition.spatial or 0) * prod(shape[1:])
        self.first = nn.Linear(prod(shape) + 8 + told, width)
        self.block = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.last = nn.Linear(width, prod(shape))

    def forward(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """See `DenoiserNetwork`."""
        waves = logsnr[:, None] * torch.tensor([0.05, 0.15, 0.4, 1.0]).to(x)
        inputs = [x.flatten(1), waves.sin(), waves.cos()]
        if condition.vector is not None:
            inputs.append(condition.vector)
        if condition.sequence is not None and condition.mask is not None:
            tokens = condition.sequence * condition.mask[..., None]
            inputs.append(tokens.sum(1) / condition.mask.sum(1, keepdim=True).clamp(min=1))
        if condition.spatial is not None:
            inputs.append(condition.spatial.flatten(1))
        h = self.first(torch.cat(inputs, 1))
        output: Tensor = self.last(h + self.block(h))
        return output.view_as(x)
