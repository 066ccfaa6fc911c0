"""Small encoders with random weights, in folders as transformers writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from diffkit_clip.encoders import ClipText, FrozenText, HFText

LIMIT = 40
"""Tokens of a text for the small encoders."""


@pytest.fixture(autouse=True)
def _kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))


def tokenizer() -> Any:
    """Bytes between a start and an end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "<unk>", "</s>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({token: i for i, token in enumerate([*special, *letters])}, [], unk_token="<unk>"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 3)])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "unk_token": "<unk>", "eos_token": "</s>", "cls_token": "<s>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=LIMIT, **names)


def small(kind: str) -> nn.Module:
    """A network with random weights."""
    from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel, T5Config, T5ForConditionalGeneration

    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    if kind == "clip":
        text = {**size, "vocab_size": 260, "max_position_embeddings": LIMIT}
        text |= {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
        pictures = {**size, "image_size": 8, "patch_size": 4}
        return CLIPModel(CLIPConfig(text_config=text, vision_config=pictures, projection_dim=8))
    if kind == "bert":
        return BertModel(BertConfig(**size, vocab_size=260, max_position_embeddings=LIMIT), add_pooling_layer=False)
    t5 = T5Config(vocab_size=260, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, tie_word_embeddings=False)
    return T5ForConditionalGeneration(t5)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder of each kind."""
    made = {}
    for kind in ("clip", "bert", "t5"):
        folder = tmp_path_factory.mktemp(kind)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network: Any = small(kind)
            for parameter in network.parameters():  # far from the tiny values that networks start with
                nn.init.normal_(parameter, std=0.3)
        network.save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        made[kind] = str(folder)
    return made


@pytest.fixture(scope="session")
def build(folders: dict[str, str]) -> Callable[..., FrozenText]:
    """Makes a conditioner of a kind, from its folder or another one."""

    def make(kind: str, folder: str | None = None, **keys: Any) -> FrozenText:
        return (ClipText if kind == "clip" else HFText)(folder or folders[kind], **keys)

    return make
