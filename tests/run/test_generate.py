"""Samples depend on (seed, id) and their conditions alone, and come in the data's own units."""

from dataclasses import replace
from itertools import pairwise

import pytest
import small
import torch

from diffkit.compose.build import create, part
from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner, Conditioners
from diffkit.core.data import DataSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.run.edit import Interpolation
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


class Count(Conditioner):
    """The label is the number of points, of four."""

    key = "label"

    @property
    def spec(self):
        return ConditionSpec(vector=1, present=True)

    def forward(self, batch):
        return Condition(batch["label"][:, None].float(), present=torch.arange(4) < batch["label"][:, None])


class Asked(DenoiserNetwork):
    """Keeps the places that it is asked for."""

    def __init__(self):
        super().__init__()
        self.places = []

    def forward(self, x, logsnr, condition):
        self.places.append(condition.present)
        return 0.5 * x


@pytest.fixture
def points():
    conditioners = Conditioners([Count()], size=(4,))
    parts = create("prediction", "v"), create("schedule", "cosine"), conditioners, create("codec", "identity")
    return DiffusionModel(Asked(), *parts)


CLOUD = DataSpec((3, 4), {"label": 5}, "m", scale=(2.0,), centred=True)
COUNTS = {"label": torch.tensor([2, 4, 1])}


def test_points_that_there_are_not_are_nan_and_the_others_are_centred(points):
    x = generate(points, CLOUD, sampling(), COUNTS, range(3), 0)
    there = torch.arange(4) < COUNTS["label"][:, None]
    assert torch.equal(~x.isnan(), there[:, None].expand(3, 3, 4))
    torch.testing.assert_close(x.nansum(2), torch.zeros(3, 3), rtol=0, atol=1e-5)
    free = generate(points, replace(CLOUD, centred=False), sampling(), COUNTS, range(3), 0)
    assert free.nansum(2).abs().max() > 0.1
    torch.testing.assert_close(free - free.nanmean(2, keepdim=True), x, equal_nan=True)


def test_every_frame_of_a_film_is_placed_as_its_end_is(points):
    shown = film(points, CLOUD, sampling(), COUNTS, range(3), 0, frames=3)
    x = generate(points, CLOUD, sampling(), COUNTS, range(3), 0)
    torch.testing.assert_close(shown.x_t[-1], x, equal_nan=True)
    for frames in (shown.x_t, shown.x_0):
        assert torch.equal(frames.isnan(), x.isnan().expand_as(frames))
        assert frames.nansum(3).abs().max() < 1e-4


@pytest.mark.parametrize("negative", [None, {"label": torch.tensor([4, 1, 3])}], ids=["null", "negative"])
def test_guidance_asks_for_the_same_places_without_the_condition(points, negative):
    generate(points, CLOUD, sampling(steps=1), COUNTS, range(3), 0, negative)
    for places in points.denoiser.places:
        assert len(places) == 6 and torch.equal(places[:3], places[3:])
        assert places.sum(1).tolist() == [2, 4, 1] * 2


def test_who_is_told_nothing_has_all_points(points):
    x = generate(points, CLOUD, sampling(), {"label": torch.tensor([2, -1])}, range(2), 0)
    assert (~x[:, 0].isnan()).sum(1).tolist() == [2, 4]
    assert not generate(points, CLOUD, sampling(), {}, range(2), 0).isnan().any()


def test_between_two_conditions_the_samples_have_the_places_that_were_drawn(points):
    between = replace(sampling(), edit=Interpolation())
    columns = {**COUNTS, "label_to": torch.tensor([3, 1, 4]), "share": torch.full((3,), 0.5)}
    x = generate(points, CLOUD, between, columns, range(3), 0)
    assert (~x[:, 0].isnan()).sum(1).tolist() == [2, 1, 1]
    assert all(places.sum(1).tolist() == [2, 1, 1] * 2 for places in points.denoiser.places)
