"""Any model of the library timm, with weights from a file."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from diffkit.core import Data, DiffkitError, Features
from diffkit_features.pictures import Network, ready, refuse_missing, refuse_no_pictures, see


@dataclass(frozen=True)
class Timm(Features):
    """What a model of timm gives its classifier, by its name, with weights from a local file.

    `architecture` is a name that timm knows, such as resnet50; `pretrained` is a checkpoint that it reads, .safetensors
    or .pth of tensors alone. Nothing is fetched, and no code in the file is run. Pictures are brought to the size that
    the model's configuration names. Raises `DiffkitError` for data that are no pictures with a range, for an unknown
    model, and for weights that are not its.
    Wightman 2019, PyTorch Image Models.
    """

    architecture: str
    pretrained: str

    def check(self, data: Data) -> None:
        """See `Features`."""
        refuse_no_pictures("timm", data)
        refuse_missing("timm", "timm", "timm torchvision")
        if not Path(self.pretrained).expanduser().is_file():
            raise DiffkitError(f"features=timm: there is no file {self.pretrained}: give a checkpoint, pretrained=...")

    def __call__(self, data: Data, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n features"]:
        """See `Features`."""
        return see(self, network(self), data, x)


@cache
def network(of: Timm) -> Network:
    """The network, with its weights."""
    try:
        timm: Any = import_module("timm")
        models: Any = import_module("timm.models")
        resolve: Any = import_module("timm.data").resolve_model_data_config
    except ImportError as error:
        raise DiffkitError(f"features=timm: timm cannot be used here ({error}): pip install timm torchvision") from None
    try:
        module = timm.create_model(of.architecture, pretrained=False, num_classes=0)
        # neither .npz, which timm reads by code of each model, nor pickled objects
        state = models.load_state_dict(str(Path(of.pretrained).expanduser()), device="cpu", weights_only=True)
        lacking = sorted(module.load_state_dict(state, strict=False).missing_keys)
    except Exception as error:  # of the file's content, or of timm's
        raise DiffkitError(f"features=timm architecture={of.architecture}: {' '.join(str(error).split())}") from error
    if lacking:
        raise DiffkitError(f"features=timm: {of.pretrained} has no weights for {lacking[0]}: it is another model's")
    seen = resolve(module)
    size, mean, std = tuple(seen["input_size"][1:]), tuple(seen["mean"]), tuple(seen["std"])
    return Network(ready(module), module, size, mean, std)
