"""Editing, in the data's own units: what is given comes back where it should, and nothing depends on the batch."""

from dataclasses import replace

import numpy as np
import pytest
import small
import torch
from PIL import Image

import diffkit
from diffkit.compose.build import create
from diffkit.core.errors import DiffkitError
from diffkit.run.edit import ImageToImage, Inpainting, Interpolation, Inversion, cut, logsnr_of
from diffkit.run.sample import sample

LEVELS = torch.arange(128, dtype=torch.float64).reshape(2, 1, 8, 8) % 17


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {
        "text": diffkit.load(small.run_folder(root / "text")),
        "moons": diffkit.load(small.run_folder(root / "moons", "class", "moons")),
    }


def test_image_to_image_at_full_noise_is_plain_sampling_to_the_last_bit(runs):
    for name, given in (("text", LEVELS), ("moons", torch.rand(2, 2))):
        assert torch.equal(runs[name].edit(given, strength=1.0, seed=3).x, runs[name].sample(2, seed=3).x)


def test_image_to_image_without_noise_is_what_is_given(runs):
    x = runs["text"].edit(LEVELS, strength=0.0).x
    torch.testing.assert_close(x, LEVELS.float(), rtol=0, atol=1e-5)


def test_more_strength_goes_further_and_the_seed_matters(runs):
    def away(strength, seed=0):
        return (runs["text"].edit(LEVELS, strength, steps=12, seed=seed).x - LEVELS).norm().item()

    found = [away(s) for s in (0.01, 0.1, 0.5, 0.9)]
    assert found == sorted(found) and found[0] < found[-1] / 2
    assert away(0.5) != away(0.5, seed=1)


def test_a_strength_is_the_noises_share_of_the_variance():
    for name in ("cosine", "ve", "flow"):
        schedule = create("schedule", name)
        alpha, sigma = schedule(schedule.time(torch.tensor(logsnr_of(0.3), dtype=torch.float64)))
        assert (sigma**2 / (alpha**2 + sigma**2)).item() == pytest.approx(0.3, abs=1e-9)


def test_the_grid_is_cut_without_a_tiny_step():
    times = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0], dtype=torch.float64)

    def at(t):
        return cut(times, torch.tensor(t, dtype=torch.float64)).tolist()

    assert at(0.7) == [0.7, 0.5, 0.25, 0.0]
    assert at(0.51) == [0.51, 0.25, 0.0]
    assert at(0.5) == [0.5, 0.25, 0.0]
    assert at(0.01) == [0.01, 0.0]
    assert at(0.0) == [0.0]


@pytest.mark.parametrize(
    "asked",
    [
        {"strength": 0.4},
        {"mask": "left", "repaint": 2},
        {"invert": "exact", "source": "a four"},
        {"invert": "ddim"},
    ],
    ids=str,
)
def test_a_row_is_the_same_in_any_batch(runs, asked):
    both = runs["text"].edit(LEVELS, text="a three", **asked).x
    split = runs["text"].edit(LEVELS, text="a three", batch_size=1, **asked).x
    torch.testing.assert_close(split, both, rtol=0, atol=2e-3)
    assert (both[0] - both[1]).abs().max() > 0.1


def test_what_is_known_comes_back_to_the_last_bit_and_the_rest_does_not(runs):
    x = runs["text"].edit(LEVELS, mask="left", repaint=2, seed=1).x
    assert torch.equal(x[..., 4:], LEVELS.float()[..., 4:])
    assert (x[..., :4] - LEVELS[..., :4]).abs().mean() > 0.5
    other = runs["text"].edit(LEVELS, mask="left", repaint=2, seed=2).x
    assert (x[..., :4] - other[..., :4]).abs().max() > 0.1


def test_missing_columns_of_a_table_are_imputed(runs):
    table = torch.tensor([[0.3, torch.nan], [torch.nan, 0.7], [1.1, torch.nan]], dtype=torch.float64)
    x = runs["moons"].edit(table, label=1).x
    assert torch.equal(x[~table.isnan()], table[~table.isnan()].float()) and bool(x.isfinite().all())
    filled = table.nan_to_num(0.5)
    assert torch.equal(runs["moons"].edit(filled[:1], mask=1, label=1).x, runs["moons"].edit(table[:1], label=1).x)


@pytest.mark.parametrize("steps", [3, 12])
def test_exact_inversion_leads_back_and_ddims_nearly(runs, steps):
    for name, given, scale in (("text", LEVELS, 6.0), ("moons", torch.rand(2, 2), 1.0)):
        exact = runs[name].edit(given, invert="exact", steps=steps).x
        torch.testing.assert_close(exact, given.float(), rtol=0, atol=1e-3 * scale)
        ddim = runs[name].edit(given, invert="ddim", steps=steps).x
        assert 1e-3 * scale < (ddim - given).abs().max()


def test_the_source_is_what_the_given_rows_are(runs):
    def edited(source, text):
        return runs["text"].edit(LEVELS, invert="exact", source=source, text=text, steps=8, scale=1.0).x

    torch.testing.assert_close(edited("four", "four"), LEVELS.float(), rtol=0, atol=1e-2)
    assert (edited("four", "a nine") - LEVELS).abs().max() > 0.02


def test_the_ends_of_an_interpolation_are_what_is_given(runs):
    for name, given in (("text", LEVELS), ("moons", torch.rand(2, 2))):
        x = runs[name].edit(given, between=5).x
        assert x.shape == (5, *given.shape[1:])
        torch.testing.assert_close(x[[0, -1]], given.float(), rtol=0, atol=1e-2)
        assert min((x[2] - x[0]).abs().max(), (x[2] - x[-1]).abs().max()) > 0.02


def test_two_prompts_share_the_noise_of_sample_0_and_end_in_their_own_samples(runs):
    x = runs["text"].edit(text=["a three", "eight"], between=4, seed=5).x
    for row, text in ((x[0], "a three"), (x[-1], "eight")):
        torch.testing.assert_close(row, runs["text"].sample(1, text, seed=5).x[0], rtol=0, atol=1e-3)
    assert (x[1] - x[0]).abs().max() > 1e-3
    given = runs["text"].edit(LEVELS, text=["a three", "eight"], between=4).x
    torch.testing.assert_close(given[[0, -1]], LEVELS.float(), rtol=0, atol=2e-2)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_variations_share_noise_with_one_sample(runs, sampler):
    plain = runs["text"].sample(4, "four", seed=2, sampler=sampler, steps=6).x

    def vary(amount):
        return runs["text"].sample(4, "four", seed=2, sampler=sampler, steps=6, vary=1, variation=amount).x

    assert torch.equal(vary(1.0), plain)
    torch.testing.assert_close(vary(0.0), plain[1:2].expand(4, -1, -1, -1), rtol=0, atol=1e-3)
    torch.testing.assert_close(vary(0.4)[1], plain[1], rtol=0, atol=1e-3)
    away = [(vary(amount)[0] - plain[1]).norm().item() for amount in (0.1, 0.3, 0.7)]
    assert away == sorted(away) and away[0] > 0


def test_n_samples_of_each_row_in_pairs_with_prompts(runs):
    several = runs["text"].edit(LEVELS, strength=0.5, n=3, text=["four", "five"])
    assert several.columns["text"] == ["four"] * 3 + ["five"] * 3
    assert torch.equal(several.columns["given"][:3], LEVELS[:1].expand(3, -1, -1, -1))
    with pytest.raises(DiffkitError, match="input has 2 values beside 3"):
        runs["text"].edit(LEVELS, strength=0.5, text=["four", "five", "six"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"strength": 0.5}, "strength does nothing without input"),
        ({"input": LEVELS}, "nothing to do with it"),
        ({"input": LEVELS, "strength": 1.5}, "strength=1.5 is not allowed"),
        ({"input": LEVELS, "strength": 0.5, "mask": "left"}, "different edits"),
        ({"input": LEVELS[:, :, :4], "strength": 0.5}, r"must be \(rows, 1, 8, 8\)"),
        ({"input": 3 * LEVELS, "strength": 0.5}, "is not from 0.0 to 16.0 grey level"),
        ({"input": LEVELS / 0, "strength": 0.5}, "NaN|not a finite"),
        ({"input": torch.full_like(LEVELS, torch.nan)}, "nothing known"),
        ({"input": LEVELS, "mask": "middle"}, "neither left"),
        ({"input": LEVELS, "mask": 0}, "something to draw and something known"),
        ({"input": LEVELS, "mask": 3}, "from 0 to 0"),
        ({"input": LEVELS, "mask": np.zeros((8, 8))}, "something to draw"),
        ({"input": LEVELS, "mask": np.ones((3, 3))}, r"of shape \(3, 3\)"),
        ({"input": LEVELS, "invert": "edict"}, "invert=edict is not allowed"),
        ({"input": LEVELS, "strength": 0.5, "repaint": 3}, "repaint belongs to inpainting"),
        ({"input": LEVELS, "strength": 0.5, "source": "a"}, "source does nothing without invert"),
        ({"input": LEVELS[:1], "between": 4}, "give two rows, prompts or labels, not 1 rows of input"),
        ({"between": 4}, "between goes from one of two"),
        ({"text": ["a", "b"], "between": 1}, "between=1"),
        ({"text": ["a", "b"], "between": 3, "n": 4}, "leave n out"),
        ({"input": "a.npz", "strength": 0.5}, "input=a.npz: there is no such file"),
        ({"input": "a.jpg", "strength": 0.5}, "no such file|read from"),
    ],
)
def test_mistakes_are_said_in_a_sentence(runs, monkeypatch, asked, message):
    monkeypatch.setattr("diffkit.pipeline.generate", lambda *_: pytest.fail("work began"))
    with pytest.raises(DiffkitError, match=message):
        runs["text"].edit(**asked)


def test_files_are_read_in_the_datas_own_units(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save("white.png")
    Image.fromarray(np.full((8, 8), 51, np.uint8)).convert("RGBA").save("dark.png")
    np.savez("rows.npz", x=LEVELS.numpy())
    given = runs["text"].edit(["white.png", "dark.png", "rows.npz"], strength=0.0).x
    torch.testing.assert_close(given[0], torch.full((1, 8, 8), 16.0))
    torch.testing.assert_close(given[1], torch.full((1, 8, 8), 3.2))
    torch.testing.assert_close(given[2:], LEVELS.float(), rtol=0, atol=1e-5)
    (tmp_path / "table.csv").write_text("x,y\n0.5,\n,0.25\n")
    x = runs["moons"].edit("table.csv", label=0).x
    assert x[0, 0] == 0.5 and x[1, 1] == 0.25 and bool(x.isfinite().all())
    for name, made in (("mask.npy", np.save), ("mask.npz", lambda f, m: np.savez(f, mask=m))):
        mask = np.zeros((8, 8))
        mask[:, :4] = 1
        made(name, mask)
        assert torch.equal(runs["text"].edit(LEVELS, mask=name).x, runs["text"].edit(LEVELS, mask="left").x)
    np.save("evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    Image.fromarray(np.full((8, 8), 60000, np.uint16)).save("deep.png")
    for asked, message in (({"mask": "evil.npy"}, "cannot be read"), ({"input": "deep.png"}, "more than 8 bits")):
        with pytest.raises(DiffkitError, match=message):
            runs["text"].edit(**{"input": LEVELS, "strength": None if "mask" in asked else 0.5, **asked})


def test_the_command_edits_too_and_its_files_hold_what_was_given(runs, tmp_path):
    np.savez(tmp_path / "rows.npz", x=LEVELS.numpy())
    run, source = runs["text"].saved.folder, str(tmp_path / "rows.npz")
    out = sample(small.asked(run, n=None, input=source, mask="top", repaint=2, prompt="four", out=str(tmp_path)))
    with np.load(out / "samples.npz") as file:
        assert file["x"].shape == (2, 1, 8, 8) and file["text"].tolist() == ["four"] * 2
        assert np.array_equal(file["given"], LEVELS.numpy()) and not file["known"][:, :, :4].any()
        expected = runs["text"].edit(LEVELS, mask="top", repaint=2, text="four", batch_size=4).x
        torch.testing.assert_close(torch.from_numpy(file["x"]), expected, rtol=0, atol=1e-3)


def test_the_cost_of_an_edit_is_known(runs):
    pipeline = runs["text"]

    def calls(edit):
        sampling = replace(pipeline.saved.sampling(), edit=edit)  # DDIM, 3 uniform steps
        return sampling.cost(pipeline.model, pipeline.spec, told=True).calls

    assert calls(None) == 3
    assert calls(Inpainting(repeats=4)) == 12
    assert calls(Inversion("exact")) == (3 + 1) + 3
    assert calls(Inversion("ddim")) == 3 + 3
    assert calls(Interpolation()) == 2 * (3 + 1) + 3
    assert calls(ImageToImage(0.0)) == 0
    assert calls(ImageToImage(0.2)) == 1
