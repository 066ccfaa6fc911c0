"""The transformer over points."""

from functools import partial

import pytest
import torch

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import Noise
from diffkit.standard.codecs.identity import Identity
from diffkit.standard.denoisers.set_transformer import SetTransformer
from diffkit.standard.grids.times import Uniform
from diffkit.standard.predictions import V
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.schedules.continuous import Cosine
from diffkit.testing import check_denoiser

BOTH = ConditionSpec(5, 4, 2)


def network(condition: ConditionSpec = BOTH, induced: int | None = None, centred: bool = False) -> SetTransformer:
    """A small one whose output is not 0."""
    torch.manual_seed(0)
    made = SetTransformer((3, 6), condition, width=8, depth=2, heads=2, induced=induced, centred=centred)
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return made


@pytest.mark.parametrize("option", [{"induced": 3}, {"centred": True}, {"waves": 0}], ids=str)
def test_its_options_keep_the_contracts(option: dict[str, int]) -> None:
    check_denoiser(partial(SetTransformer, width=8, depth=1, heads=2, **option), [(3, 6)], [BOTH])


def test_only_sets_of_points_are_taken() -> None:
    with pytest.raises(DiffkitError, match=r"not on \(1, 8, 8\): choose denoiser=mlp"):
        SetTransformer((1, 8, 8), ConditionSpec())


def test_points_see_each_other_near_and_far() -> None:
    x = torch.randn(1, 3, 6)
    for induced in (None, 3):
        of = network(ConditionSpec(), induced)
        moved = x.clone()
        moved[..., 5] += 1
        change = (of(moved, torch.zeros(1), Condition()) - of(x, torch.zeros(1), Condition())).abs().amax(1)
        assert (change > 1e-4).all()


def test_centred_it_sees_no_translation_and_moves_nothing() -> None:
    x, there = torch.randn(2, 3, 6), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    for condition in (Condition(), Condition(present=there)):
        out = network(ConditionSpec(), centred=True)(x, torch.zeros(2), condition)
        shifted = network(ConditionSpec(), centred=True)(x + torch.randn(2, 3, 1), torch.zeros(2), condition)
        assert torch.allclose(shifted, out, atol=1e-5)
        assert torch.allclose(out.sum(-1), torch.zeros(2, 3), atol=1e-6)
    assert not torch.allclose(network(ConditionSpec())(x + 1, torch.zeros(2), Condition()), out, atol=1e-3)


@pytest.mark.parametrize("centred", [True, False])
def test_plain_noise_whose_result_is_centred_is_centred_noise(centred: bool) -> None:
    """Hoogeboom et al. 2022 sample in the space of centred points; the rest of a sample does not know its mean."""
    model = DiffusionModel(network(ConditionSpec(), centred=centred).double(), V(), Cosine(), [], Identity())
    denoise, times = partial(model.denoise, condition=Condition()), Uniform(steps=5)(Cosine())
    noise = torch.randn(2, 3, 6, dtype=torch.float64)

    def sampled(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            *_, last = Heun().steps(denoise, Cosine(), x, times, Noise(0, [0, 1]))
        return last.x

    plain, of_centred = sampled(noise), sampled(noise - noise.mean(-1, keepdim=True))
    assert torch.allclose(plain - plain.mean(-1, keepdim=True), of_centred, atol=1e-12) is centred
    assert torch.allclose(of_centred.mean(-1), torch.zeros(2, 3, dtype=torch.float64), atol=1e-12) is centred
