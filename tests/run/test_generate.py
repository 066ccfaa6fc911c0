"""Samples depend on (seed, id) and their conditions alone, and come in the data's own units."""

from itertools import pairwise

import pytest
import small
import torch

from diffkit.compose.build import create, part
from diffkit.core.conditioner import Conditioners
from diffkit.core.data import DataSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.run.generate import Sampling, evaluating, film, generate, states

SPEC = part("data", {"_part_": "digits"}, seed=0).spec


def sampling(sampler="ddim", steps=4, scale=2.0, **values):
    guidance = [create("guidance", "cfg", scale=scale)]
    return Sampling(create("sampler", sampler, **values), create("grid", "uniform", steps=steps), guidance)


@pytest.fixture(scope="module")
def model():
    return small.model(small.choices("text"))


TEXTS = ["a three", "four", "five", "a six", "seven"]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "heun", "dpmpp_2m"])
def test_any_batch_size_gives_the_same_samples(model, sampler):
    ids, columns = [7, 3, 11, 0, 5], {"text": TEXTS}
    whole = generate(model, SPEC, sampling(sampler), columns, ids, seed=1)
    parts = generate(model, SPEC, sampling(sampler), columns, ids, seed=1, batch_size=2)
    alone = generate(model, SPEC, sampling(sampler), {"text": ["five"]}, [11], seed=1)
    assert whole.shape == (5, 1, 8, 8)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-4 * SPEC.scale[0])
    torch.testing.assert_close(alone[0], whole[2], rtol=0, atol=1e-4 * SPEC.scale[0])


def test_seed_id_and_condition_matter(model):
    def draw(seed, i, text):
        return generate(model, SPEC, sampling(), {"text": [text]}, [i], seed)

    first = draw(0, 0, "a three")
    for other in (draw(1, 0, "a three"), draw(0, 1, "a three"), draw(0, 0, "four")):
        assert (other - first).abs().max() > 0.1


def test_a_negative_condition_takes_the_place_of_the_null(model):
    given = {"text": TEXTS[:2]}
    plain = generate(model, SPEC, sampling(), given, [0, 1], 0)
    away = generate(model, SPEC, sampling(), given, [0, 1], 0, negative={"text": ["nine", "nine"]})
    unguided = generate(model, SPEC, sampling(scale=1.0), given, [0, 1], 0)
    # away from itself is nowhere: guidance between a condition and the same one does nothing
    itself = generate(model, SPEC, sampling(), given, [0, 1], 0, negative=given)
    assert (away - plain).abs().max() > 0.01
    torch.testing.assert_close(itself, unguided, rtol=0, atol=1e-3)


def test_samples_stay_within_the_datas_bounds(model):
    x = generate(model, SPEC, sampling(scale=30.0), {"text": TEXTS}, range(5), 0)
    assert x.min() >= 0 and x.max() <= 16 and x.dtype == torch.float32


def test_without_a_condition_the_network_is_asked_once_a_step():
    class Counting(DenoiserNetwork):
        rows = 0

        def forward(self, x, logsnr, condition):
            self.rows += len(x)
            return x * 0.5

    network = Counting()
    conditioners = Conditioners([create("conditioner", "class", classes=10)])
    codec = create("codec", "identity")
    bare = DiffusionModel(network, create("prediction", "v"), create("schedule", "cosine"), conditioners, codec)
    generate(bare, SPEC, sampling(steps=3), {}, [0, 1], 0)
    assert network.rows == 2 * 3
    generate(bare, SPEC, sampling(steps=3), {"label": torch.tensor([1, 2])}, [0, 1], 0)
    assert network.rows == 2 * 3 + 2 * 2 * 3


def test_the_model_keeps_its_modes(model):
    model.train()
    model.codec.eval()
    with evaluating(model):
        assert not any(m.training for m in model.modules())
    assert model.training and model.denoiser.training and not model.codec.training
    model.eval()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_samples_too(dtype):
    config = small.choices("class")
    x = generate(small.model(config), SPEC, sampling(), {"label": torch.tensor([1, 2])}, [0, 1], 0)
    y = generate(small.model(config).to(dtype), SPEC, sampling(), {"label": torch.tensor([1, 2])}, [0, 1], 0)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, x, rtol=0, atol=1e-3 if dtype == torch.float64 else 2.0)


def test_the_states_start_from_noise_of_the_model_and_end_at_zero(model):
    walk = list(states(model, SPEC, sampling(steps=4), {"text": ["four"]}, [0], 0))
    assert [s.step for s in walk] == [0, 1, 2, 3, 4]
    assert walk[-1].t == 0 and all(a.t > b.t for a, b in pairwise(walk))


def test_a_film_ends_with_the_sample_and_pairs_each_x_t_with_its_own_x_0(model):
    given = {"text": ["four", "five"]}
    shown = film(model, SPEC, sampling(steps=6), given, [0, 1], 0, frames=4)
    x = generate(model, SPEC, sampling(steps=6), given, [0, 1], 0)
    assert shown.x_t.shape == (4, 2, 1, 8, 8) and shown.t[-1] == 0
    torch.testing.assert_close(shown.x_t[-1], x)
    torch.testing.assert_close(shown.x_0[-1], x)
    walk = list(states(model, SPEC, sampling(steps=6), given, [0, 1], 0))
    torch.testing.assert_close(shown.x_0[1], SPEC.restore(walk[3].x_0))
    assert shown.t[1] == walk[2].t


def test_no_ids_give_no_samples(model):
    assert generate(model, DataSpec((1, 8, 8)), sampling(), {}, [], 0).shape == (0, 1, 8, 8)


def test_a_fitted_grid_suits_the_model_better_and_noise_is_refused(model):
    def draw(sampler, grid):
        made = Sampling(create("sampler", sampler), grid).fitted(model, SPEC)
        return generate(model, SPEC, made, {}, range(20, 28), 5), made

    exact, _ = draw("abm", create("grid", "flow", steps=100))
    grid = create("grid", "optimised", steps=4, rows=8, exact=60, iterations=6)
    plain, _ = draw("abm", create("grid", "flow", steps=4))
    better, made = draw("abm", grid)
    assert (better - exact).norm() < 0.95 * (plain - exact).norm()
    assert made.fitted(model, SPEC) is made  # it is an ordinary grid now
    for use in (lambda s: s.check(model), lambda s: s.fitted(model, SPEC)):
        with pytest.raises(DiffkitError, match=r"Ddpm draws noise: choose another grid"):
            use(Sampling(create("sampler", "ddpm"), grid))
