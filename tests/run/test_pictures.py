"""The grid's captions and the film strip's rows say what they show."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.compose.build import create
from diffkit.core.data import Data, DataSpec, Depicted
from diffkit.core.errors import DiffkitError
from diffkit.run.captions import caption
from diffkit.run.films import frames
from diffkit.run.generate import Film
from diffkit.run.pictures import grid, header, pile, save, stars, strip


@pytest.fixture
def digits():
    return create("data", "digits", seed=0)


@pytest.fixture
def drawn(digits, monkeypatch):
    asked = []
    draw = type(digits).draw

    def note(self, x, titles=()):
        asked.append((tuple(x.shape[:2]), list(titles)))
        return draw(self, x, titles)

    monkeypatch.setattr(type(digits), "draw", note)
    return asked


def pictures(n):
    return torch.rand(n, 1, 8, 8) * 16


def test_captions_are_texts_or_the_conditions_that_are_there():
    assert caption({"text": ["a", None], "label": torch.tensor([1, -1])}, 2) == ["a, label 1", ""]
    assert caption({"label": torch.tensor([3, 4])}, 2) == ["label 3", "label 4"]
    assert caption({"x": torch.zeros(2, 3)}, 2) == ["", ""]


def test_one_prompt_stands_above_a_block(digits, drawn):
    picture = grid(digits, pictures(64), {"text": ["a three"] * 64})
    assert drawn == [((8, 8), [])]
    assert picture.height > digits.draw(pictures(64).reshape(8, 8, 1, 8, 8)).height


def test_a_block_that_is_not_full(digits, drawn):
    grid(digits, pictures(19), {})
    assert drawn == [((2, 8), []), ((1, 3), [])]


def test_prompts_that_repeat_have_a_column_each(digits, drawn):
    x = pictures(6)
    grid(digits, x, {"text": ["one", "one", "two", "two", "three", "three"]})
    assert drawn == [((2, 3), ["one", "two", "three"])]


def test_prompts_that_differ_stand_above_their_own_sample(digits, drawn):
    names = [f"the digit {i}" for i in range(10)]
    grid(digits, pictures(10), {"text": names})
    assert drawn == [((1, 8), names[:8]), ((1, 2), names[8:])]


def test_a_grid_has_a_limit(digits, drawn):
    grid(digits, pictures(1000), {})
    assert drawn == [((8, 8), [])]


def test_points_have_a_panel_for_each_caption():
    moons = create("data", "moons", seed=0)
    one = grid(moons, torch.rand(10, 2), {})
    two = grid(moons, torch.rand(10, 2), {"label": torch.arange(10) % 2})
    assert two.width > 1.5 * one.width


def film(*shape, frames=3):
    x = torch.rand(frames, *shape) * 16
    return Film(x, x / 2, (1.0, 0.5, 0.0), (-20.0, -0.01, float("inf")))


def test_the_strip_has_two_rows_a_sample_and_says_the_time(digits, drawn):
    strip(digits, film(4, 1, 8, 8))
    assert drawn[0] == ((8, 3), ["t = 1.00\nlog SNR -20.0", "t = 0.50\nlog SNR 0.0", "t = 0.00\nlog SNR ∞"])


def test_the_strips_rows_alternate(digits, monkeypatch):
    shown = film(2, 1, 8, 8)
    shots = []
    monkeypatch.setattr(type(digits), "draw", lambda self, x, titles=(): shots.append(x) or Image.new("RGB", (99, 99)))
    strip(digits, shown)
    x = shots[0]
    assert torch.equal(x[0], shown.x_t[:, 0]) and torch.equal(x[1], shown.x_0[:, 0])
    assert torch.equal(x[2], shown.x_t[:, 1]) and torch.equal(x[3], shown.x_0[:, 1])


def test_a_strip_of_points():
    picture = strip(create("data", "moons", seed=0), film(50, 2))
    assert picture.width > picture.height


def test_stars_show_every_caption_first(digits):
    columns = {"text": ["a"] * 5 + ["b"] * 5}
    assert stars(digits.spec, columns, 10) == [0, 5, 1, 2, 3, 4, 6, 7]
    assert stars(digits.spec, {}, 2) == [0, 1]
    assert len(stars(create("data", "moons", seed=0).spec, {}, 5000)) == 1000


def test_a_long_header_is_cut(digits):
    picture = digits.draw(pictures(1)[None])
    assert header(picture, "a very long prompt " * 30).width == header(picture, "a").width


def test_a_picture_is_written_whole(digits, tmp_path):
    picture = pile([digits.draw(pictures(2)[None])] * 2)
    save(picture, tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(DiffkitError, match="cannot write"):
        save(picture, tmp_path / "a.png" / "b.png")
    assert np.asarray(picture).shape[2] == 3


def test_what_was_given_stands_above_each_picture_and_what_is_unknown_is_grey(digits):
    x = torch.full((3, 1, 8, 8), 16.0)
    known = torch.ones(3, 1, 8, 8, dtype=torch.bool)
    known[..., :4] = False
    columns = {"given": torch.zeros(3, 1, 8, 8), "known": known, "text": ["one", "two", "six"]}
    plain = np.asarray(grid(digits, x, {"text": columns["text"]}))
    both = np.asarray(grid(digits, x, columns))
    assert both.shape[1] == plain.shape[1] and both.shape[0] - plain.shape[0] == 80 + 3
    top = both.shape[0] - 2 * 83 + 40
    assert abs(int(both[top, 20, 0]) - 128) <= 1 and both[top, 70, 0] == 0 and both[top + 83, 20, 0] == 255


class Numbered(Data, Depicted):
    """Every value of a sample is the number that is its text; each that is drawn is held against what it was told."""

    spec = DataSpec((1, 2, 2), {"text": None})

    def __init__(self):
        self.seen = []

    def reference(self, split):
        raise NotImplementedError

    def draw(self, x, titles=()):
        raise AssertionError("it was told nothing")

    def depict(self, x, columns, titles=()):
        assert x[:, :, 0, 0, 0].flatten().tolist() == [float(text) for text in columns["text"]]
        self.seen.append(tuple(x.shape[:2]))
        return Image.new("RGB", (10 * x.shape[1], 10 * x.shape[0]))


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        (["3"] * 19, [(2, 8), (1, 3)]),
        (["1", "2", "1", "2", "3", "3"], [(2, 3)]),
        ([str(i) for i in range(11)], [(1, 8), (1, 3)]),
    ],
    ids=["block", "columns", "lines"],
)
def test_data_that_ask_for_it_are_told_what_each_sample_was_told(texts, seen):
    data, numbers = Numbered(), torch.tensor([float(text) for text in texts])
    x = numbers[:, None, None, None].expand(-1, 1, 2, 2)
    grid(data, x, {"text": texts})
    assert data.seen == seen
    grid(data, x, {"text": texts, "given": x, "known": torch.ones(x.shape, dtype=torch.bool)})
    assert all(lines == 2 for lines, _ in data.seen[len(seen) :])


def test_so_are_they_in_strips_and_films():
    data, x = Numbered(), torch.arange(4.0)[:, None, None, None].expand(3, 4, 1, 2, 2)
    shown = Film(x, x, (1.0, 0.5, 0.0), (-20.0, 0.0, 20.0), {"text": ["0", "1", "2", "3"]})
    strip(data, shown)
    frames(data, shown)
    assert data.seen == [(8, 3), (8, 3), (3, 4), (1, 4)]
