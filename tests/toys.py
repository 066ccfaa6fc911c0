"""Tiny parts that tests can see through."""

from typing import Any

import torch
from torch import Tensor, nn

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.prediction import Prediction
from diffkit.testing.oracle import Oracle


class Vector(Conditioner):
    """The label as a number in every entry of a vector."""

    def __init__(self, width: int = 2, key: str = "label") -> None:
        super().__init__()
        self.width, self.key = width, key  # type: ignore[misc]

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(vector=self.width)

    def forward(self, batch: Any) -> Condition:
        return Condition(vector=batch[self.key].float()[:, None].expand(-1, self.width))


class Words(Conditioner):
    """Each word as a token that holds its length; shorter texts are padded."""

    key = "text"

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(sequence=1)

    def forward(self, batch: Any) -> Condition:
        lengths = [torch.tensor([float(len(word)) for word in text.split()]) for text in batch["text"]]
        tokens = nn.utils.rnn.pad_sequence(lengths, batch_first=True, padding_value=-1)
        return Condition(sequence=tokens[..., None], mask=tokens >= 0)


class Exact(DenoiserNetwork):
    """The network that a perfect training of `prediction` ends with: F of an oracle's exact x_0."""

    def __init__(self, oracle: Oracle, prediction: Prediction) -> None:
        super().__init__()
        self.oracle, self.prediction = oracle, prediction

    def forward(self, x: Tensor, logsnr: Tensor, condition: Condition) -> Tensor:
        out = torch.empty_like(x)
        for i, level in enumerate(logsnr.double()):
            alpha, sigma = torch.sigmoid(level).sqrt(), torch.sigmoid(-level).sqrt()
            c_skip, c_out = self.prediction(alpha, sigma)
            out[i] = (self.oracle.x_0(x[i : i + 1], alpha.item(), sigma.item())[0] - c_skip * x[i]) / c_out
        return out


class Echo(DenoiserNetwork):
    """Answers with its condition's vector, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Tensor, Tensor, Condition]] = []

    def forward(self, x: Tensor, logsnr: Tensor, condition: Condition) -> Tensor:
        self.asked.append((x, logsnr, condition))
        return torch.zeros_like(x) if condition.vector is None else condition.vector.expand_as(x).clone()
