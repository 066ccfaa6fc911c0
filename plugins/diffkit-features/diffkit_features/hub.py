"""Any vision model of the library transformers, from its folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from logging import ERROR
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Data, DiffkitError, Features
from diffkit_features.pictures import Network, ready, refuse_missing, refuse_no_pictures, see

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")


@dataclass(frozen=True)
class Transformers(Features):
    """What a vision model of transformers says of a whole picture: ViT, DINOv2, ConvNeXt, the pictures' side of a CLIP.

    `pretrained` is a local folder with config.json, model.safetensors and preprocessor_config.json; code in it is not
    run. The features are the model's pooled output; the mean over its tokens where it was trained without a pooler; the
    projected ones of a CLIP. Raises `DiffkitError` for data that are no pictures with a range, and for a folder that
    holds no such model.
    Wolf et al. 2020, Transformers: State-of-the-Art Natural Language Processing.
    """

    pretrained: str

    def check(self, data: Data) -> None:
        """See `Features`."""
        refuse_no_pictures("transformers", data)
        refuse_missing("transformers", "transformers", "transformers")
        for file in FILES:
            if not (Path(self.pretrained).expanduser() / file).is_file():
                raise DiffkitError(
                    f"features=transformers: there is no {file} in {self.pretrained}: give the folder of a vision model"
                )

    def __call__(self, data: Data, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
        """See `Features`."""
        return see(self, network(self), data, x)


@cache
def network(of: Transformers) -> Network:
    """The network, with its weights."""
    from transformers import AutoConfig, AutoModel

    folder = Path(of.pretrained).expanduser()
    try:
        with _quietly():
            config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            said = json.loads((folder / FILES[2]).read_text(encoding="utf-8"))
            module, loaded = AutoModel.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
            size, mean, std = _size(config, said), tuple(said["image_mean"]), tuple(said["image_std"])
    except Exception as error:  # of a file's content, or of a library beneath
        raise DiffkitError(f"features=transformers pretrained={folder}: {' '.join(str(error).split())}") from error
    lacking = sorted(loaded["missing_keys"])
    pooled = not any(name.startswith("pooler.") for name in lacking)
    other = [name for name in lacking if not name.startswith("pooler.")]
    if other or (module.main_input_name != "pixel_values" and not _two_towers(config)):
        what = f"has no weights for {other[0]}" if other else f"holds a {config.model_type}, which sees no pictures"
        raise DiffkitError(f"features=transformers: {folder} {what}: give the folder of a vision model")
    ready(module)
    if _two_towers(config):
        return Network(module, lambda x: module.get_image_features(x).pooler_output, size, mean, std)
    return Network(module, lambda x: _whole(module(pixel_values=x), pooled), size, mean, std)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's bars, and its remarks on weights that are not used."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _two_towers(config: Any) -> bool:
    """Whether it is a model of texts and pictures, as CLIP is."""
    return "vision_config" in config.to_dict()


def _whole(output: Any, pooled: bool) -> Tensor:
    """One vector for each picture: the pooled one, or the mean over tokens, or over places."""
    vectors: Tensor | None = output.get("pooler_output")
    if vectors is not None and pooled:
        return vectors
    last: Tensor = output["last_hidden_state"]
    return last.mean(1) if last.ndim == 3 else last.mean((2, 3))


def _size(config: Any, said: dict[str, Any]) -> tuple[int, int]:
    """The height and the width of the pictures that the model was trained on."""
    known: Any = config.to_dict()
    size = known.get("vision_config", known).get("image_size") or said.get("crop_size") or said["size"]
    if isinstance(size, dict):
        size = (size["height"], size["width"]) if "height" in size else size["shortest_edge"]
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)
