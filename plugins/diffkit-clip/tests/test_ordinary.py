"""Guidance by an ordinary CLIP: its gradient through the model's x_0, the cutouts, what it refuses."""

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from torch import Tensor

import diffkit
from diffkit.core import Branches, Condition, DataSpec, DiffkitError
from diffkit_clip.guidance import ClipGuidance
from diffkit_clip.ordinary import OrdinaryCLIP, cutouts

SPEC = DataSpec((1, 8, 8), {"text": None}, "grey level", (5.0,), (6.0,), 0.0, 16.0)
COSINE = diffkit.create("schedule", "cosine")
T = torch.tensor(0.6, dtype=torch.float64)
WORDS = ["a three", None, "nine"]


@pytest.fixture
def folder(folders: dict[str, str]) -> Path:
    """A CLIP of transformers with random weights, which sees 8 x 8 pixels."""
    return Path(folders["clip"])


def guidance(folder: Path, scale: float = 3.0, cuts: int = 3, spec: DataSpec = SPEC) -> ClipGuidance:
    made = ClipGuidance(str(folder), lambda run, spec: None, spec, scale, (), cuts)
    made.clip.double()
    return made


class Model:
    """A denoiser that mixes all pixels, and counts its passes and what they keep."""

    def __init__(self) -> None:
        mix = torch.randn(64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        self.mix, self.passes = mix / 8, []  # type: ignore[var-annotated]

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.passes.append((len(x_t), torch.is_grad_enabled()))
        shift = 0.3 if condition.vector is None else condition.vector[:, :, None, None]
        return ((x_t.flatten(1) @ self.mix).reshape(x_t.shape) + shift).tanh()


def noise(rows: int = 3) -> Tensor:
    return torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def ask(parts: list[Any], branches: Branches, x_t: Tensor, told: Condition) -> Tensor:
    denoise: Any = branches
    for part in parts:
        denoise = part(denoise, branches)
    with torch.no_grad():
        answer: Tensor = denoise(x_t, T, told)
    return answer


def test_the_gradient_is_that_of_the_match_of_x_0_with_respect_to_x_t(folder: Path) -> None:
    """Against central differences of the whole map, in float64; a row without a prompt is left alone."""
    steered, model, x_t, h = guidance(folder), Model(), noise(), 1e-5
    clip: Any = steered.clip
    assert isinstance(clip, OrdinaryCLIP)
    found = ask([steered], Branches(model, Condition(), COSINE, {"text": WORDS}), x_t, Condition())
    alpha, sigma = COSINE(T)
    with torch.no_grad():
        plain = model(x_t, T, Condition())
        slope = (found - plain) / (2 * sigma**2 / alpha)
        words = clip.texts([text or "" for text in WORDS])

        def match(x: Tensor) -> Tensor:
            cuts = cutouts(model(x, T, Condition()), T, 3, 0.5)
            return clip.logit_scale * torch.stack([(clip.images(cut) * words).sum(1) for cut in cuts]).mean(0)

        for direction in torch.randn(4, *x_t.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64):
            numbers = (match(x_t + h * direction) - match(x_t - h * direction)) / (2 * h)
            along = (slope * direction).flatten(1).sum(1)
            torch.testing.assert_close(along[[0, 2]], numbers[[0, 2]], rtol=1e-6, atol=1e-8)
    assert torch.equal(found[1], plain[1]) and slope[[0, 2]].abs().max() > 1e-3


def test_x_0_and_its_gradient_are_one_pass_and_a_row_does_not_depend_on_others(folder: Path) -> None:
    steered, model, x_t = guidance(folder), Model(), noise()
    together = ask([steered], Branches(model, Condition(), COSINE, {"text": WORDS}), x_t, Condition())
    assert model.passes == [(3, True)]
    torch.manual_seed(5)  # nothing is drawn from torch's own generator
    alone = ask([steered], Branches(model, Condition(), COSINE, {"text": WORDS[2:]}), x_t[2:], Condition())
    torch.testing.assert_close(alone, together[2:], rtol=1e-12, atol=1e-12)


def test_it_adds_to_classifier_free_guidance_in_any_order(folder: Path) -> None:
    """After it a second pass is that of the null alone."""
    cfg, steered, x_t = diffkit.create("guidance", "cfg", scale=3.0), guidance(folder), noise()
    told, null = Condition(torch.full((3, 1), 0.4).double()), Condition(torch.zeros(3, 1).double())
    lists: dict[str, list[Any]] = {"": [], "cfg": [cfg], "clip": [steered], "both": [cfg, steered]}
    answers, passes = {}, {}
    for name, parts in {**lists, "reversed": [steered, cfg]}.items():
        model = Model()
        answers[name] = ask(parts, Branches(model, null, COSINE, {"text": WORDS}), x_t, told)
        passes[name] = model.passes
    wanted = answers["cfg"] + answers["clip"] - answers[""]
    torch.testing.assert_close(answers["both"], wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(answers["reversed"], wanted, rtol=1e-12, atol=1e-12)
    assert passes["both"] == [(3, True), (3, False)] and passes["reversed"] == [(6, False), (3, True)]


def test_cutouts_are_squares_that_the_time_alone_chooses() -> None:
    x = torch.arange(2 * 3 * 10 * 14.0).reshape(2, 3, 10, 14)
    for t in (0.5, 0.25, 0.6):
        cuts = cutouts(x, torch.tensor(t).double(), 100, 0.4)
        sides = [cut.shape[2] for cut in cuts]
        assert all(cut.shape[2] == cut.shape[3] for cut in cuts) and (min(sides), max(sides)) == (4, 10)
        corners = {tuple(divmod(int(cut[0, 0, 0, 0]), 14)) for cut in cuts}
        assert {top for top, _ in corners} >= set(range(6)) and len({left for _, left in corners}) > 6
        for cut, again in zip(cuts, cutouts(x[1:], torch.tensor(t).double(), 100, 0.4), strict=True):
            assert torch.equal(cut[1:], again)
            assert torch.equal(cut[0, 0, 0], cut[0, 0, 0, 0] + torch.arange(float(cut.shape[3])))
    assert sides != [cut.shape[2] for cut in cutouts(x, torch.tensor(0.61).double(), 100, 0.4)]
    (whole,) = cutouts(x[..., :10], T, 1, 1.0)
    assert torch.equal(whole, x[..., :10])


def test_it_sees_pictures_as_the_clip_was_trained_to(folder: Path, tmp_path: Path) -> None:
    """From the data's units to 0 to 1, then by CLIP's mean and deviation or the folder's; grey in three channels."""
    folder, x = copytree(folder, tmp_path / "clip"), noise(2)
    pixels = (6 * x + 5) / 16
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    clip = OrdinaryCLIP(folder, SPEC)
    for middle, deviation in ((mean, std), (torch.full((3,), 0.5), torch.full((3,), 0.25))):
        given = (pixels.repeat(1, 3, 1, 1) - middle.reshape(3, 1, 1)) / deviation.reshape(3, 1, 1)
        features = clip.clip.get_image_features(given.float()).pooler_output
        torch.testing.assert_close(clip.images(x), features / features.norm(dim=1, keepdim=True))
        (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
        clip = OrdinaryCLIP(folder, SPEC)
    large = clip.images(x.repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert (clip.images(x) * large).sum(1).min() > 0.9


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DataSpec((2,), low=0.0, high=1.0), r"sees pictures of one or three channels, and the data are of shape \[2\]"),
        (DataSpec((4, 8, 8), low=0.0, high=1.0), r"three channels, and the data are of shape \[4, 8, 8\]"),
        (DataSpec((1, 8, 8)), "the data declare no lowest and highest value"),
    ],
)
def test_data_that_are_no_pictures_are_refused(folder: Path, spec: DataSpec, message: str) -> None:
    with pytest.raises(DiffkitError, match=message):
        guidance(folder, spec=spec)


def test_folders_that_hold_no_such_clip_are_refused(folder: Path, tmp_path: Path) -> None:
    known = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(known))
    with pytest.raises(DiffkitError, match="has no weights"):
        guidance(tmp_path)
    for file in ("model.safetensors", "tokenizer.json"):
        (tmp_path / file).write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(DiffkitError, match="holds a model of type 'bert': give the folder of a CLIP"):
        guidance(tmp_path)
    with pytest.raises(DiffkitError, match="run '/nowhere' does not exist"):
        ClipGuidance("/nowhere", diffkit.load_model, SPEC)
    with pytest.raises(DiffkitError, match=r"not for latents of shape \[1, 4, 4\]"):
        small = Branches(lambda x, t, c: x, Condition(), COSINE, {"text": ["a"]})
        ask([guidance(folder)], small, noise(1)[..., :4, :4], Condition())
