"""Noise: a function of what it is for."""

import torch

from diffkit.core.noise import Noise, generator, key


def draw(ids: list[int], times: int = 2, seed: int = 0) -> torch.Tensor:
    noise, x = Noise(seed, ids), torch.empty(len(ids), 3, 8, 8)
    return torch.stack([noise(x) for _ in range(times)], 1)


def test_a_sample_has_its_noise_in_any_batch_and_order() -> None:
    together = draw([0, 1, 2, 3])
    assert (draw([2])[0] == together[2]).all()
    assert (draw([3, 1]) == together[[3, 1]]).all()


def test_ids_seeds_and_steps_differ() -> None:
    a = torch.cat([draw([0, 1]).flatten(0, 1), draw([0, 1], seed=1).flatten(0, 1)]).flatten(1)
    correlation = torch.corrcoef(a) - torch.eye(len(a))
    assert correlation.abs().max() < 0.3


def test_noise_is_standard_normal_and_like_x() -> None:
    z = Noise(0, range(64))(torch.empty(64, 1000, dtype=torch.float64))
    assert z.dtype == torch.float64
    assert abs(z.mean().item()) < 4 / 64000**0.5
    assert abs(z.var().item() - 1) < 4 * (2 / 64000) ** 0.5
    kurtosis = (z**4).mean().item()
    assert abs(kurtosis - 3) < 4 * (96 / 64000) ** 0.5


def test_key_tells_apart_what_looks_alike() -> None:
    assert len({key("a", 1), key("a", 11), key("a1", 1), key("a", "1"), key("a"), key(1, "a"), key("a", 1, 0)}) == 7
    assert 0 <= key("x") < 2**63
    assert torch.rand(3, generator=generator("a", 1)).tolist() == torch.rand(3, generator=generator("a", 1)).tolist()
