"""Vision models of transformers from folders that are written here, with random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diffkit.core import DiffkitError
from diffkit.testing import check_features
from diffkit_features.hub import Transformers

SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SEEN = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5], "size": {"shortest_edge": 12}}


def made(kind: str) -> Any:
    from transformers import (
        BertConfig,
        BertModel,
        CLIPConfig,
        CLIPModel,
        ResNetConfig,
        ResNetModel,
        ViTConfig,
        ViTModel,
    )

    if kind.startswith("vit"):
        return ViTModel(ViTConfig(**SIZE, image_size=12, patch_size=4), add_pooling_layer=kind == "vit")
    if kind == "clip":
        text = {**SIZE, "vocab_size": 30, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        vision = {**SIZE, "image_size": 12, "patch_size": 4}
        return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    if kind == "resnet":
        return ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"))
    return BertModel(BertConfig(**SIZE, vocab_size=30))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes a model into a folder; gives the folder and the model."""

    def write(kind: str) -> tuple[Path, Any]:
        place = tmp_path_factory.mktemp(kind)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = made(kind)
            for parameter in model.parameters():  # far from the tiny values that networks start with
                nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(place)
        (place / "preprocessor_config.json").write_text(json.dumps(SEEN))
        return place, model.eval()

    return write


def standardised(x: Tensor) -> Tensor:
    mean, std = (torch.tensor(SEEN[f"image_{name}"]).reshape(3, 1, 1) for name in ("mean", "std"))
    return (x - mean) / std


EXPECTED = {
    "vit": lambda model, x: model(x).pooler_output,
    "vit_without_pooler": lambda model, x: model(x).last_hidden_state.mean(1),
    "clip": lambda model, x: model.visual_projection(model.vision_model(x).pooler_output),
    "resnet": lambda model, x: model(x).last_hidden_state.mean((2, 3)),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_features_are_what_the_model_says_of_a_whole_picture(kind: str, folder: Any, some: Any) -> None:
    place, model = folder(kind)
    with torch.no_grad():
        wanted = EXPECTED[kind](model, standardised(some.x))
    torch.testing.assert_close(Transformers(str(place))(some, some.x), wanted, rtol=1e-4, atol=1e-5)
    check_features(Transformers(str(place)), some)


def test_what_is_no_vision_model_is_refused(folder: Any, some: Any) -> None:
    place, _ = folder("bert")
    with pytest.raises(DiffkitError, match="holds a bert, which sees no pictures"):
        Transformers(str(place))(some, some.x)
    with pytest.raises(DiffkitError, match=r"there is no config.json in /nowhere"):
        Transformers("/nowhere").check(some)
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(DiffkitError, match=r"there is no preprocessor_config.json in .*: give the folder"):
        Transformers(str(place)).check(some)


def test_weights_that_are_not_all_there_are_refused(folder: Any, some: Any) -> None:
    from safetensors.torch import load_file, save_file

    place, _ = folder("vit")
    state = load_file(place / "model.safetensors")
    lost = sorted(state)[0]
    save_file({name: state[name] for name in state if name != lost}, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(DiffkitError, match=f"has no weights for {lost}"):
        Transformers(str(place))(some, some.x)
    (place / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(DiffkitError, match="features=transformers pretrained="):
        Transformers(f"{place}/")(some, some.x)
