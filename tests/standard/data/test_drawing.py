"""Pictures show what they are given, as large as can be seen."""

import numpy as np
import pytest
import torch

from diffkit.core.errors import DiffkitError
from diffkit.standard.data.canvas import GAP
from diffkit.standard.data.drawing import image_grid, scatter_grid


def test_every_pixel_of_a_small_picture_is_a_square():
    x = torch.arange(2 * 3 * 4.0).reshape(2, 3, 1, 2, 2)
    picture = np.asarray(image_grid(x, [], 0.0, 23.0))
    side = 40  # 2 pixels in a tile of 80
    for row, column, i, j in np.ndindex(2, 3, 2, 2):
        top, left = (GAP + n * (2 * side + GAP) + k * side for n, k in ((row, i), (column, j)))
        square = picture[top : top + side, left : left + side]
        assert (square == round(float(x[row, column, 0, i, j]) / 23 * 255)).all()
    assert (picture[:GAP] == 255).all()


def test_large_pictures_keep_their_size_and_colours():
    x = torch.zeros(1, 1, 3, 100, 120)
    x[:, :, 1] = 1.0
    picture = image_grid(x, [], 0.0, 1.0)
    assert picture.size == (120 + 2 * GAP, 100 + 2 * GAP)
    assert picture.getpixel((60, 50)) == (0, 255, 0)


def test_values_beyond_the_ends_are_cut_and_nan_is_dark():
    x = torch.tensor([-5.0, 99.0, float("nan")]).reshape(1, 3, 1, 1, 1)
    picture = image_grid(x, [], 0.0, 16.0)
    assert [picture.getpixel((GAP + 40 + k * (80 + GAP), 40))[0] for k in range(3)] == [0, 255, 0]


def test_titles_take_room_above_and_stay_in_their_column():
    x = torch.zeros(1, 2, 1, 8, 8)
    bare, titled = image_grid(x, [], 0.0, 1.0), image_grid(x, ["a handwritten three", ""], 0.0, 1.0)
    extra = titled.height - bare.height
    assert titled.width == bare.width and extra > 0
    text = np.asarray(titled)[:extra]
    assert text[:, : 80 + GAP].min() < 100 and (text[:, 80 + 2 * GAP :] == 255).all()


def test_a_long_word_is_broken():
    x = torch.zeros(1, 1, 1, 8, 8)
    assert image_grid(x, ["w" * 60], 0.0, 1.0).height > image_grid(x, ["w"], 0.0, 1.0).height


def test_two_channels_are_no_picture():
    with pytest.raises(DiffkitError, match="1 or 3 channels, not 2"):
        image_grid(torch.zeros(1, 1, 2, 8, 8), [], 0.0, 1.0)


def test_points_lie_where_they_are():
    corner = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).reshape(1, 2, 1, 2).expand(1, 2, 50, 2)
    picture = np.asarray(scatter_grid(corner, ["up", "down"]).convert("L"), dtype=float)
    blue = np.asarray(scatter_grid(corner, ["up", "down"]), dtype=int)
    points = (blue[..., 2] - blue[..., 0]) > 30
    rows, columns = points.nonzero()
    left = columns < picture.shape[1] / 2
    assert left.any() and (~left).any()
    assert rows[left].mean() < rows[~left].mean()


def test_points_that_coincide_or_are_not_numbers_are_drawn():
    assert scatter_grid(torch.full((1, 1, 3, 2), float("nan")), []).width > 100
