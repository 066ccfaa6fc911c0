"""What the networks share."""

import torch

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.standard.denoisers.layers import Attention, Embedding, LogSnrFeatures, masked_mean


def test_noise_levels_are_told_apart_over_the_whole_range() -> None:
    features = LogSnrFeatures()(torch.linspace(-20, 20, 401))
    assert torch.cdist(features, features).fill_diagonal_(9).min() > 0.1


def test_the_mean_of_a_row_without_tokens_is_zero() -> None:
    mask = torch.tensor([[True, True, False], [False, False, False]])
    sequence = torch.tensor([[[1.0], [3.0], [50.0]]] * 2)
    assert masked_mean(sequence, mask).tolist() == [[2.0], [0.0]]


def test_the_embedding_joins_all_that_it_is_told() -> None:
    torch.manual_seed(0)
    embedding = Embedding(8, ConditionSpec(vector=2, sequence=3))
    condition = Condition(torch.zeros(1, 2), torch.zeros(1, 4, 3), torch.ones(1, 4, dtype=torch.bool))
    base = embedding(torch.zeros(1), condition)
    others = [
        embedding(torch.ones(1), condition),
        embedding(torch.zeros(1), Condition(torch.ones(1, 2), condition.sequence, condition.mask)),
        embedding(torch.zeros(1), Condition(condition.vector, torch.ones(1, 4, 3), condition.mask)),
    ]
    assert all(not torch.allclose(base, other) for other in others)


def test_attention_is_the_softmax_of_products() -> None:
    torch.manual_seed(0)
    attention = Attention(4, heads=1, context=3).double()
    torch.nn.init.eye_(attention.out.weight)
    x, context = torch.randn(2, 5, 4).double(), torch.randn(2, 6, 3).double()
    mask = torch.tensor([[True] * 6, [True, False] * 3])
    k, v = attention.key_value(context).chunk(2, -1)
    scores = attention.query(x) @ k.transpose(1, 2) / 2
    expected = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ v
    assert torch.allclose(attention(x, context, mask), expected)
