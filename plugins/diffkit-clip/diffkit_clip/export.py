"""Our CLIP as a folder in the format of transformers, and back."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

import diffkit
from diffkit.core import DiffkitError
from diffkit_clip.network import MOST, PLANES, NoisyCLIP, Sizes
from diffkit_clip.tokens import BYTES

WEIGHTS = "model.safetensors"
OURS = "diffkit"
"""The section of the folder's `config.json` by which a noise-aware CLIP is known."""
HELP = """\
diffkit clip-export run=RUN out=FOLDER: write the CLIP of a run of task=clip in the format of transformers.

  run=RUN      a run's folder or a bundle; `last` is the newest run
  out=FOLDER   a new or an empty folder

  The vision tower's input is a picture as the run's data are standardised, or a codec's latents, times
  1 / sqrt(alpha^2 + sigma^2), and 8 planes: diffkit_clip.network.planes makes them from the log-SNR.
"""


def export(network: NoisyCLIP, folder: str | Path) -> None:
    """Write the two towers and the tokens into a new or an empty folder.

    `CLIPModel.from_pretrained` and `CLIPTokenizer.from_pretrained` read it, and so does `load`. The codec and the
    schedule are not in it. Raises `DiffkitError` if it cannot be written, and for a CLIP without a tower for words.
    """
    from transformers import CLIPConfig, CLIPTokenizer

    if network.reader is not None:
        name = network.reader.encoder.pretrained.name
        raise DiffkitError(
            f"the words of this CLIP are read by {name}, and a CLIPModel has no place for it: export a run that was "
            "trained without task.pretrained"
        )
    folder = Path(folder).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DiffkitError(f"{folder} is there already: give out= a new or an empty folder")
    config = CLIPConfig.from_dict(
        network.clip.config.to_dict() | {OURS: {"channels": network.shape[0], "planes": PLANES}}
    )
    config.architectures = ["CLIPModel"]
    weights = {name: a.detach().cpu().contiguous() for name, a in network.clip.state_dict().items()}
    weights["logit_scale"] = weights["logit_scale"].clamp(max=math.log(MOST))
    vocabulary, merges = network.tokens.files()
    make: Any = CLIPTokenizer  # which says of merges that they are strings
    tokenizer = make(vocab=vocabulary, merges=merges, model_max_length=network.tokens.length)
    try:
        config.save_pretrained(folder)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        tokenizer.save_pretrained(folder)
    except OSError as error:
        raise DiffkitError(f"cannot write the CLIP in {folder}: {error.strerror or error}") from error


def is_noisy(folder: str | Path) -> bool:
    """Whether a folder holds a CLIP of noisy pictures, as `export` writes it."""
    try:
        config = json.loads((Path(folder).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and isinstance(config.get(OURS), dict)


def load(folder: str | Path) -> NoisyCLIP:
    """The CLIP that `export` wrote, with the same answers to the last bit, in evaluation mode.

    Its codec is the identity and its schedule the cosine: it takes what the exported one's towers took, along any
    path. Raises `DiffkitError` for a folder that holds no such CLIP.
    """
    from transformers import CLIPConfig, CLIPTokenizer

    folder = Path(folder).expanduser()
    if not is_noisy(folder):
        raise DiffkitError(f"{folder} holds no CLIP of noisy pictures: diffkit clip-export writes one")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        network = _untrained(CLIPConfig.from_pretrained(folder, local_files_only=True))
        network.clip.load_state_dict(load_file(folder / WEIGHTS))
        network.tokens.take(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"])
    except Exception as error:  # of a file's content, or of a library beneath
        raise DiffkitError(f"the CLIP in {folder} cannot be read: {' '.join(str(error).split())}") from error
    return network.eval().requires_grad_(False)


def _untrained(config: Any) -> NoisyCLIP:
    """One of the sizes that a `CLIPConfig` tells."""
    text, vision = config.text_config, config.vision_config
    shape = (vision.num_channels - PLANES, vision.image_size, vision.image_size)
    towers = (vision.patch_size, vision.hidden_size, vision.num_hidden_layers, text.hidden_size, text.num_hidden_layers)
    sizes = Sizes(*towers, config.projection_dim, text.vocab_size - 2 * BYTES - 2, text.max_position_embeddings)
    codec = diffkit.create("codec", "identity", shape=shape)
    return NoisyCLIP(codec, diffkit.create("schedule", "cosine"), shape, sizes)


def command(arguments: Sequence[str]) -> int:
    """`diffkit clip-export run=RUN out=FOLDER`; gives the exit status. Raises `DiffkitError` for a mistake in them."""
    if not arguments or {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0
    given = dict(argument.partition("=")[::2] for argument in arguments)
    if set(given) != {"run", "out"} or len(arguments) != 2 or not all(given.values()):
        raise DiffkitError("diffkit clip-export takes run=RUN and out=FOLDER, and nothing else (--help says more)")
    network = diffkit.load_model(given["run"])
    if not isinstance(network, NoisyCLIP):
        raise DiffkitError(f"run={given['run']} holds a {type(network).__name__}: only task=clip trains a CLIP")
    export(network, given["out"])
    print(f"Wrote the CLIP into {given['out']}: CLIPModel.from_pretrained reads it, and guidance.clip.run= takes it.")
    return 0
