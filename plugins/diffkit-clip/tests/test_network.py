"""The CLIP of noisy pictures: what it sees, what it says, and that transformers says the same of it."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import diffkit
from diffkit import DiffkitError
from diffkit_clip.encoders import HFText
from diffkit_clip.export import command, export, is_noisy, load
from diffkit_clip.network import NoisyCLIP, Sizes, planes

CAPTIONS = ["a red heart", "a blue heart", "the woman's red hat", "\u00e9t\u00e9 \U0001f600", "three-thirty"] * 3
NASTY = [
    "",
    "  a red\n\n\theart ",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 heart",
    "\u05e9\u05dc\u05d5\u05dd \u0639\u0631\u0628\u064a",
    "E\u0301te\u0301 \u0130\u00df \u65e5\u672c",
    "woman's we'll 1234 ~~!?",
    "<|endoftext|> red <|startoftext|>",
    "\x00\x7f",
]
SIZES = Sizes(width=32, depth=1, text_width=32, text_depth=1, features=16, merges=40, length=12)
WHOLE, HALF = (torch.tensor(value, dtype=torch.float64) for value in (1.0, 0.5**0.5))
NONE = torch.zeros((), dtype=torch.float64)


def small(shape: tuple[int, ...] = (1, 8, 8), sizes: Sizes = SIZES) -> NoisyCLIP:
    codec = diffkit.create("codec", "identity", shape=shape)
    return NoisyCLIP(codec, diffkit.create("schedule", "cosine"), shape, sizes)


@pytest.fixture(scope="module")
def network() -> NoisyCLIP:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = small()
        for parameter in made.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    made.tokens.learn(CAPTIONS)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(network: NoisyCLIP, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where it was exported to, with a factor beyond its bound."""
    there, kept = tmp_path_factory.mktemp("clip") / "out", network.clip.logit_scale.item()
    network.clip.logit_scale.fill_(9.0)
    export(network, there)
    yield there
    network.clip.logit_scale.fill_(kept)


def pictures(rows: int = 5) -> Tensor:
    return torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_match_is_the_scaled_cosine_and_0_without_a_text(network: NoisyCLIP) -> None:
    x, texts = pictures(3), ["a red heart", None, "x"]
    found = network.match(x, HALF, HALF, texts)
    images, words = network.images(x, HALF, HALF), network.texts(["a red heart", "", "x"])
    for unit in (images, words):
        torch.testing.assert_close(unit.norm(dim=1), torch.ones(3))
    wanted = network.logit_scale * (images * words).sum(1)
    torch.testing.assert_close(found, torch.stack([wanted[0], torch.zeros(()), wanted[2]]))
    with torch.no_grad():
        network.clip.logit_scale.fill_(9.0)
        assert network.logit_scale.item() == pytest.approx(100)
        network.clip.logit_scale.fill_(math.log(1 / 0.07))


def test_each_row_is_seen_by_itself_and_at_its_own_level(network: NoisyCLIP) -> None:
    x, turn = pictures(), torch.tensor([3, 0, 4, 1, 2])
    level = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    alpha, sigma = (1 - level).sqrt(), level.sqrt()
    texts = ["x", "y z", "red", "x", ""]
    all_at_once = network.match(x, alpha, sigma, texts)
    turned = network.match(x[turn], alpha[turn], sigma[turn], [texts[i] for i in turn])
    torch.testing.assert_close(turned, all_at_once[turn])
    alone = network.match(x[2:3], alpha[2], sigma[2], texts[2:3])
    torch.testing.assert_close(alone, all_at_once[2:3])


def test_another_path_with_the_same_log_snr_is_the_same(network: NoisyCLIP) -> None:
    x = pictures()
    for scale in (0.25, 30.0):
        torch.testing.assert_close(
            network.images(scale * x, scale * HALF, scale * HALF), network.images(x, HALF, HALF), rtol=1e-4, atol=1e-5
        )


def test_the_level_matters_and_clean_pictures_are_those_of_log_snr_20(network: NoisyCLIP) -> None:
    x = pictures()
    assert (network.images(x, HALF, HALF) - network.images(x, 0.9 * WHOLE, 0.19**0.5 * WHOLE)).abs().max() > 1e-3
    edge = torch.tensor(20.0, dtype=torch.float64)
    near = network.images(x, edge.sigmoid().sqrt(), (-edge).sigmoid().sqrt())
    clean = network.images(x, WHOLE, NONE)
    assert clean.isfinite().all()
    torch.testing.assert_close(clean, near, rtol=1e-4, atol=1e-4)


def test_planes_are_sines_and_cosines_of_periods_80_40_20_10() -> None:
    found = planes(torch.tensor([3.0, -50.0], dtype=torch.float64))
    angles = [[2 * np.pi * level / period for period in (80, 40, 20, 10)] for level in (3.0, -20.0)]
    wanted = [[*np.sin(row), *np.cos(row)] for row in angles]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.5, 0.99])
def test_its_gradient_is_the_difference_quotient(network: NoisyCLIP, noise: float) -> None:
    """Of the match by x_t at a level, in float64; a row without a text has none."""
    exact = small().double().eval()
    exact.load_state_dict(network.state_dict())
    alpha, sigma = (torch.tensor(a, dtype=torch.float64).sqrt() for a in (1 - noise, noise))
    x, texts = pictures(2).double().requires_grad_(), ["a red heart", None]
    (gradient,) = torch.autograd.grad(exact.match(x, alpha, sigma, texts).sum(), x)
    along = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ahead, behind = (exact.match(x + h * along, alpha, sigma, texts).sum() for h in (1e-5, -1e-5))
    assert gradient[0].norm() > 1e-4 and gradient[1].norm() == 0
    torch.testing.assert_close((gradient * along).sum(), (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("size", "patch"), [(8, 2), (16, 2), (28, 4), (32, 4), (64, 8), (1, 1)])
def test_a_picture_has_at_most_64_patches(size: int, patch: int) -> None:
    made = small((1, size, size), Sizes(width=8, depth=1, text_depth=1, merges=0))
    assert made.clip.config.vision_config.patch_size == patch


def test_data_that_are_no_square_pictures_are_refused() -> None:
    for shape in ((2,), (3, 8, 16)):
        with pytest.raises(DiffkitError, match="sees square pictures, and the data are of shape"):
            small(shape)
    with pytest.raises(DiffkitError, match="8 pixels wide cannot be cut into patches of 3"):
        small(sizes=Sizes(patch=3))


def test_the_tokeniser_is_transformers_own(network: NoisyCLIP, folder: Path) -> None:
    """As loaded from the folder, on any text, cut at the length, whatever texts are beside it."""
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(folder)
    for text in [*NASTY, *CAPTIONS, "a red heart " * 8000, "\U0001f600" * 100_000]:
        assert network.tokens([text])[0].tolist() == theirs(text, truncation=True)["input_ids"]
    rows = network.tokens(NASTY)
    assert torch.equal(rows, theirs(NASTY, truncation=True, padding=True, return_tensors="pt")["input_ids"])
    assert len(network.tokens(["heart"])[0]) == 3  # a word of the captions is a token


def test_every_text_has_tokens_of_its_own_bytes(network: NoisyCLIP) -> None:
    """None is unknown: the pieces between start and end spell the text, in lower case and NFC."""
    from tokenizers.decoders import ByteLevel

    pieces = {i: piece for piece, i in network.tokens.files()[0].items()}
    for text in ("red heart", "caf\u00e9", "\u65e5\u672c", "~~"):
        spelt = [pieces[i].removesuffix("</w>") for i in network.tokens([text])[0].tolist()[1:-1]]
        assert ByteLevel().decode(spelt) == text.replace(" ", "")
    assert network.tokens(["\ud800"]).tolist() == network.tokens(["?"]).tolist()
    assert network.tokens([]).shape == (0, 2)


def test_what_is_learned_depends_on_the_captions_alone(network: NoisyCLIP) -> None:
    """The most frequent pairs, and as many as there are places."""
    again = small().tokens
    again.learn(iter(CAPTIONS))
    assert torch.equal(again.merges, network.tokens.merges)
    few = small(sizes=Sizes(width=32, depth=1, text_depth=1, merges=2)).tokens
    few.learn(["abc abc abd"])
    assert [len(few([text])[0]) - 2 for text in ("abc", "abd", "cab")] == [1, 2, 3]


def test_transformers_gives_the_same_features(network: NoisyCLIP, folder: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    theirs = CLIPModel.from_pretrained(folder).eval()
    tokens = CLIPTokenizer.from_pretrained(folder)(NASTY, truncation=True, padding=True, return_tensors="pt")
    x = pictures()
    pixels = torch.cat([x, planes(torch.zeros(1, dtype=torch.float64)).float()[..., None, None].expand(5, -1, 8, 8)], 1)
    with torch.no_grad():
        found = theirs(**tokens, pixel_values=pixels)
        torch.testing.assert_close(found.text_embeds, network.texts(NASTY))
        torch.testing.assert_close(found.image_embeds, network.images(x, HALF, HALF))
        cosines = normalize(network.images(x, HALF, HALF)) @ network.texts(NASTY).T
        torch.testing.assert_close(found.logits_per_image, 100 * cosines, rtol=1e-4, atol=1e-4)


def test_a_folder_is_the_same_network_again_to_the_last_bit(network: NoisyCLIP, folder: Path) -> None:
    again = load(folder)
    assert is_noisy(folder) and not is_noisy(folder.parent)
    assert again.shape == network.shape and again.tokens.length == network.tokens.length
    x = pictures(len(NASTY))
    assert torch.equal(again.match(x, HALF, HALF, NASTY), network.match(x, HALF, HALF, NASTY))


def test_a_frozen_encoder_may_read_the_words(folders: dict[str, str], tmp_path: Path) -> None:
    """Through one linear map; its weights are not the CLIP's, and a `CLIPModel` has no place for it."""
    sizes = Sizes(width=16, depth=1, features=8, pretrained=folders["bert"])
    made, again = small(sizes=sizes).eval(), small(sizes=sizes).eval()
    vectors = HFText(folders["bert"])({"text": CAPTIONS[:3]}).vector
    assert vectors is not None
    wanted = normalize(vectors @ made.state_dict()["clip.text_projection.weight"].T, dim=1)
    torch.testing.assert_close(made.texts(CAPTIONS[:3]), wanted)
    told = {name for name in made.state_dict() if name.startswith(("clip.text", "conditioners"))}
    assert told == {"clip.text_projection.weight", "conditioners.parts.0.digest", "conditioners.nulls.0.vector"}
    again.load_state_dict(made.state_dict())
    texts = [*CAPTIONS[:3], None, ""]
    assert torch.equal(again.match(pictures(), HALF, HALF, texts), made.match(pictures(), HALF, HALF, texts))
    with pytest.raises(DiffkitError, match=r"are read by .*, and a CLIPModel has no place for it: export a run that"):
        export(made, tmp_path / "out")


def test_what_cannot_be_exported_or_loaded_is_said(network: NoisyCLIP, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DiffkitError, match="is there already: give out= a new or an empty folder"):
        export(network, folder)
    with pytest.raises(DiffkitError, match="holds no CLIP of noisy pictures: diffkit clip-export writes one"):
        load(tmp_path)
    broken = tmp_path / "broken"
    export(network, broken)
    (broken / "model.safetensors").write_bytes(b"")
    with pytest.raises(DiffkitError, match="cannot be read"):
        load(broken)
    with pytest.raises(DiffkitError, match=r"takes run=RUN and out=FOLDER, and nothing else"):
        command(["run=last", "to=here"])
