"""A film's frames are the samples on their way, on the same axes, and its file is whole, small and always the same."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.compose.build import create
from diffkit.core.data import Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.run.films import LAST, WHOLE, frames, save
from diffkit.run.generate import Film
from diffkit.run.pictures import header, near, stars, strip


class Cloud(Data):
    """Data that are points in space."""

    spec = DataSpec((3, 40), unit="m")

    def reference(self, split):
        return {"x": torch.zeros(1, *self.spec.shape)}

    def draw(self, x, titles=()):
        from diffkit.standard.data import cloud_grid

        return cloud_grid(x, titles, "m")


DATA = {"digits": create("data", "digits", seed=0), "moons": create("data", "moons", seed=0), "cloud": Cloud()}


def film(data, b, n=6):
    """Noise that turns into rows between the bounds of digits."""
    shape = data.spec.shape
    noise, last = (torch.randn(b, *shape, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    x = torch.stack([torch.lerp(noise, last, t) for t in torch.linspace(0, 1, n)])
    x = (x * 4 + 8).clamp(0, 16) if data is DATA["digits"] else x
    times = tuple(torch.linspace(1, 0, n).tolist())
    return Film(x, x, times, times)


@pytest.mark.parametrize("name", DATA)
def test_there_is_a_frame_for_each_time_and_the_last_is_the_samples(name):
    data = DATA[name]
    walked = film(data, 8)
    shown = frames(data, walked)
    assert len(shown) == 6 and len({frame.size for frame in shown}) == 1
    last = walked.x_t[-1]
    alone = data.draw(last[None, None] if name == "moons" else last.reshape(2, 4, *data.spec.shape))
    assert shown[-1].size == header(alone, "t = 0.00").size
    if name == "digits":  # whose axes do not depend on the other frames
        for i, frame in enumerate(shown):
            part = data.draw(walked.x_t[i].reshape(2, 4, 1, 8, 8))
            assert np.array_equal(np.asarray(frame), np.asarray(header(part, f"t = {walked.t[i]:.2f}")))


def test_points_stay_on_the_same_axes():
    """What does not move is at the same pixels in every frame."""
    still = torch.tensor([[-1.0, 1.0, 0.2] * 10, [-1.0, 1.0, -0.4] * 10]).T
    x = torch.stack([torch.cat([still, 0.3 * (k + 1) * still.flip(1)]) for k in range(3)])
    shown = [np.asarray(frame) for frame in frames(DATA["moons"], Film(x, x, (1.0, 0.5, 0.0), (0.0, 1.0, 2.0)))]
    only = frames(DATA["moons"], Film(x[:, :30], x[:, :30], (1.0, 0.5, 0.0), (0.0, 1.0, 2.0)))
    ink = np.asarray(only[0])[24:].min(-1) < 120
    assert ink.any() and all((frame[24:].min(-1)[ink] < 160).all() for frame in shown)


def test_far_points_are_left_out_and_all_else_is_as_it_was():
    spec = DataSpec((3, 2))
    last = torch.zeros(1, 3, 2)
    last[0, 0] = torch.tensor([-1.0, 1.0])
    x = torch.stack([last, last])
    x[0, 0, :, 0] = torch.tensor([0.0, 1.1, 0.0])
    x[0, 0, :, 1] = torch.tensor([1.0, 1.0, 0.0])
    kept = near(x, last, spec)
    assert torch.equal(kept[0, 0, :, 0], x[0, 0, :, 0]) and kept[0, 0, :, 1].isnan().all()
    assert torch.equal(kept[1], x[1])
    padded = torch.full_like(last, math.nan)
    padded[..., 0] = last[..., 0]
    assert near(last[None], padded, spec)[0, 0, :, 0].isfinite().all()
    for shape in ((1, 8, 8), (4,), (4, 9)):
        other = torch.randn(3, 2, *shape) * 9
        assert near(other, other[-1] / 9, DataSpec(shape)) is other


def test_the_file_has_every_frame_repeats_and_rests_at_the_end(tmp_path):
    shown = frames(DATA["digits"], film(DATA["digits"], 4))
    save(shown, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == 6 and gif.info["loop"] == 0 and gif.size == shown[0].size
        times = []
        for k in range(gif.n_frames):
            gif.seek(k)
            times.append(gif.info["duration"])
            difference = np.abs(np.asarray(gif.convert("RGB"), dtype=int) - np.asarray(shown[k]))
            assert difference.mean() < 3
    assert times[-1] - times[1] == LAST and times[1] == min(300, WHOLE // 6)
    first = (tmp_path / "film.gif").read_bytes()
    save(shown, tmp_path / "film.gif")
    assert (tmp_path / "film.gif").read_bytes() == first and [p.name for p in tmp_path.iterdir()] == ["film.gif"]
    with pytest.raises(DiffkitError, match="cannot write"):
        save(shown, tmp_path / "film.gif" / "film.gif")


def test_a_film_of_much_is_made_small_and_keeps_its_last_frame(tmp_path, monkeypatch):
    monkeypatch.setattr("diffkit.run.films.WIDTH", 128)
    monkeypatch.setattr("diffkit.run.films.BYTES", 20_000)
    stream = np.random.default_rng(0)
    noise = [Image.fromarray(stream.integers(0, 255, (60, 180, 3), dtype=np.uint8)) for _ in range(12)]
    save([*noise, Image.new("RGB", (180, 60), "red")], tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.width < 128 and abs(gif.height - gif.width / 3) < 1 and gif.n_frames < 13
        gif.seek(gif.n_frames - 1)
        assert np.asarray(gif.convert("RGB")).reshape(-1, 3).mean(0) == pytest.approx([255, 0, 0], abs=12)
    assert (tmp_path / "film.gif").stat().st_size <= 20_000


def test_of_tables_every_second_frame_is_drawn(monkeypatch):
    table = Cloud()
    monkeypatch.setattr(table, "spec", DataSpec((4,)), raising=False)
    shots = []
    monkeypatch.setattr(
        table, "draw", lambda x, titles=(): shots.append(x) or Image.new("RGB", (9, 9 * len(x))), raising=False
    )
    walked = film(table, 7, n=6)
    assert len(frames(table, walked)) == 3
    assert torch.equal(shots[0][:, 0], walked.x_t[[1, 3, 5]])


def test_the_strip_has_some_of_the_films_times_and_samples(monkeypatch):
    digits, shots = DATA["digits"], []
    monkeypatch.setattr(digits, "draw", lambda x, titles=(): shots.append((x, titles)) or Image.new("RGB", (9, 9)))
    walked = film(digits, 8, n=41)
    strip(digits, walked)
    x, titles = shots[0]
    assert x.shape[:2] == (8, 9) and torch.equal(x[::2], walked.x_t[::5, :4].transpose(0, 1))
    assert [title.split("\n")[0] for title in titles] == [f"t = {t:.2f}" for t in walked.t[::5]]
    assert stars(digits.spec, {"text": ["a", "b"] * 9}, 18) == [0, 1, 2, 3, 4, 5, 6, 7]
