"""Clouds are drawn where their points are, all on one scale, near points before far ones."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from diffkit.core.errors import DiffkitError
from diffkit.standard.data.canvas import GAP
from diffkit.standard.data.clouds import AZIMUTH, ELEVATION, PAPER, TILE, cloud_grid


def inked(picture):
    """Where a tile has another colour than its paper: rows and columns of pixels."""
    different = (np.abs(np.asarray(picture, dtype=int) - PAPER).max(-1) > 40).nonzero()
    return different[0] - GAP, different[1] - GAP


def extent(picture):
    rows, columns = inked(picture)
    return rows.max() - rows.min(), columns.max() - columns.min()


def tile(picture, row, column):
    left, top = (GAP + k * (TILE + GAP) for k in (column, row))
    return picture.crop((left - GAP, top - GAP, left + TILE, top + TILE))


def line(*to):
    """Points from minus a place to the place."""
    return torch.linspace(-1, 1, 24) * torch.tensor(to)[:, None]


def test_a_tile_shows_the_plane_across_the_view():
    """A length across the view keeps it, the third axis is upright and shorter by the cosine of the elevation."""
    across = line(-math.sin(AZIMUTH), math.cos(AZIMUTH), 0.0)
    upright = line(0.0, 0.0, 1.0)
    picture = cloud_grid(torch.stack([across, upright])[None])
    assert extent(tile(picture, 0, 0))[0] < 9 and extent(tile(picture, 0, 1))[1] < 9
    wide, high = extent(tile(picture, 0, 0))[1], extent(tile(picture, 0, 1))[0]
    assert high / wide == pytest.approx(math.cos(ELEVATION), abs=0.04)


def test_all_tiles_of_a_call_have_one_scale():
    ring = torch.stack([torch.linspace(0, 6.2832, 300).cos(), torch.linspace(0, 6.2832, 300).sin()])
    picture = cloud_grid(torch.stack([ring, ring / 2])[None])
    large, small = (np.array(extent(tile(picture, 0, k))) for k in (0, 1))
    assert np.allclose(large / small, 2, atol=0.1) and large.min() > 0.85 * TILE


def test_a_far_point_is_behind_a_near_one_and_paler():
    eye = torch.tensor(
        [math.cos(ELEVATION) * math.cos(AZIMUTH), math.cos(ELEVATION) * math.sin(AZIMUTH), math.sin(ELEVATION)]
    )
    red, blue = (200, 0, 0), (0, 0, 200)
    middles = []
    for near in (1, -1):
        x = torch.stack([eye * near, -eye * near, torch.tensor([0.0, 0.0, 3.0]), torch.tensor([0.0, 0.0, -3.0])], 1)
        picture = cloud_grid(x[None, None], colours=torch.tensor([red, blue, red, red])[None, None])
        middles.append(picture.getpixel((GAP + TILE // 2, GAP + TILE // 2)))
    assert middles[0][0] > 190 > 20 > middles[0][2] and middles[1][2] > 190 > 20 > middles[1][0]
    x = torch.stack([eye, -eye, torch.tensor([0.0, 0.0, 3.0]), torch.tensor([0.0, 0.0, -3.0])], 1)
    alone = [x.index_select(1, torch.tensor([k, 2, 3])) for k in (0, 1)]
    light = [cloud_grid(part[None, None]).getpixel((GAP + TILE // 2, GAP + TILE // 2))[0] for part in alone]
    assert light[1] > light[0] + 50


@pytest.mark.parametrize("d", [2, 3])
def test_points_that_are_not_there_are_left_out(d):
    x = torch.randn(1, 1, d, 20, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([x, torch.full((1, 1, d, 20), math.nan)], -1)
    assert inked(cloud_grid(padded[..., 20:]))[0].size == 0
    # fewer points are larger, so that both are drawn as 40
    whole = cloud_grid(torch.cat([x, x], -1), colours=torch.zeros(1, 1, 40, 3, dtype=torch.long))
    some = cloud_grid(padded, colours=torch.zeros(1, 1, 40, 3, dtype=torch.long))
    assert extent(whole) == extent(some)


def test_the_bar_is_as_long_as_it_says(monkeypatch):
    monkeypatch.setattr("diffkit.standard.data.clouds.ImageDraw.ImageDraw.text", lambda self, xy, text, **_: said(text))
    texts: list[str] = []
    said = texts.append
    x = torch.tensor([[-1.0, 1.0], [0.0, 0.0]])[None, None] * 3  # 6 wide: 6.48 of the tile's 132 pixels
    bare, barred = (np.asarray(cloud_grid(x, unit=unit), dtype=int) for unit in ("", "Å"))
    columns = (bare != barred).any(-1).nonzero()[1]
    assert texts == ["1 Å"]
    assert columns.max() - columns.min() == pytest.approx(TILE / 6.48, abs=1.5)


def test_bonds_join_their_points_and_no_others():
    x = torch.tensor([[-1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])[None, None]
    picture = cloud_grid(x, radii=torch.full((1, 1, 4), 0.1), bonds=[[(0, 1), (2, 3)]])
    half = TILE / 2 / (0.54 * 2.2)
    there = []
    for (a, b), (c, d) in pairwise([(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]):
        place = (GAP + round(TILE / 2 + (a + c) / 2 * half), GAP + round(TILE / 2 - (b + d) / 2 * half))
        there.append(picture.getpixel(place) != PAPER)
    assert there == [True, False, True, False]


def test_rows_are_equally_high_and_columns_equally_wide():
    one, two, three = (cloud_grid(torch.rand(k, k, 3, 5)).size for k in (1, 2, 3))
    assert [b - a for a, b in zip(one, two, strict=True)] == [b - a for a, b in zip(two, three, strict=True)]


def test_four_coordinates_are_no_place():
    with pytest.raises(DiffkitError, match="2 or 3 coordinates, not 4"):
        cloud_grid(torch.zeros(1, 1, 4, 8))
