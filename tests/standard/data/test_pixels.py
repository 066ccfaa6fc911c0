"""From a file's bytes to pixels; for most kinds of picture, and for what is none, `trust.pictures` has the tests."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from trust.faulty import COLOURS, RGB, encoded

from diffkit.standard.data.pixels import Pictures, Undecodable


def array(content: bytes, resolution: int = 16, channels: Any = 3, **given: Any) -> NDArray[Any]:
    return Pictures(resolution, channels, **given).decode(content).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_colours_are_kept(kind: str) -> None:
    assert np.array_equal(array(encoded(RGB, kind)), COLOURS)


def test_a_jpeg_is_what_its_decoder_makes_of_it() -> None:
    content = encoded(RGB, "JPEG", quality=95)
    with Image.open(BytesIO(content)) as picture:
        assert np.array_equal(array(content), np.asarray(picture))


def test_grey_and_colour_become_each_other() -> None:
    luma = COLOURS @ [0.299, 0.587, 0.114]
    assert np.abs(array(encoded(RGB), channels=1)[..., 0] - luma).max() <= 0.51
    grey = COLOURS[..., 0]
    assert np.array_equal(array(encoded(Image.fromarray(grey))), np.stack([grey] * 3, -1))
    assert np.array_equal(array(encoded(Image.fromarray(grey)), channels=1)[..., 0], grey)


def test_a_grey_picture_of_16_bits_keeps_all_of_them() -> None:
    deep = (np.arange(256).reshape(16, 16) * 257 - 3).clip(0).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        found = array(encoded(Image.fromarray(deep), kind))
        assert found.dtype == np.float32
        assert np.array_equal(found, np.stack([deep.astype(np.float32) / 257] * 3, -1))
    assert len(np.unique(found)) == 256
    smaller = array(encoded(Image.fromarray(deep)), resolution=8)
    assert 0 <= smaller.min() < 12 and 243 < smaller.max() <= 255


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 30)])
def test_transparent_pictures_lie_on_a_background(background: tuple[int, int, int]) -> None:
    alpha = np.linspace(0, 255, 256).round().astype(np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.dstack([COLOURS, alpha]))
    share = alpha[..., None] / 255
    wanted = share * COLOURS + (1 - share) * np.array(background)
    assert np.abs(array(encoded(picture), background=background) - wanted).max() <= 1
    palette = RGB.quantize(8)
    clear = np.asarray(palette) == 3
    found = array(encoded(palette, transparency=3), background=background)
    assert clear.any() and (found[clear] == background).all()
    assert np.array_equal(found[~clear], np.asarray(palette.convert("RGB"))[~clear])


def test_the_square_in_the_middle_is_taken() -> None:
    wide = np.zeros((16, 24, 3), dtype=np.uint8)
    wide[:, 4:20] = COLOURS
    assert np.array_equal(array(encoded(Image.fromarray(wide))), COLOURS)
    assert np.array_equal(array(encoded(Image.fromarray(wide.transpose(1, 0, 2)))), COLOURS.transpose(1, 0, 2))


def test_pictures_are_brought_to_size() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 64)[:, None, None], (64, 64, 3)).astype(np.uint8)
    for content in (encoded(Image.fromarray(ramp)), encoded(Image.fromarray(ramp), "JPEG", quality=100)):
        found = array(content, resolution=8).astype(float)  # the JPEG is decoded at a quarter of its size
        assert np.abs(found - ramp.reshape(8, 8, 8, 8, 3).mean((1, 3))).max() <= 3
    assert (array(encoded(RGB.resize((1, 1)))) == np.asarray(RGB.resize((1, 1)))).all()


def test_no_flipped_bit_of_a_png_goes_unnoticed() -> None:
    small = encoded(RGB.resize((4, 4)))
    wanted = Pictures(4).decode(small)
    for bit in range(8 * len(small)):
        damaged = bytearray(small)
        damaged[bit // 8] ^= 1 << bit % 8
        assert _same_or_refused(lambda content=bytes(damaged): Pictures(4).decode(content), wanted)


def _same_or_refused(decode: Callable[[], torch.Tensor], wanted: torch.Tensor) -> bool:
    try:
        return torch.equal(decode(), wanted)
    except Undecodable:
        return True
