"""`diffkit export`: the averaged weights of a run, a bundle or a checkpoint, as one file that other programs read."""

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save as save_tensors
from torch import Tensor

from diffkit.compose.plain import read_yaml
from diffkit.core.errors import DiffkitError
from diffkit.run import bundle
from diffkit.run.checkpoint import SUFFIX, newest, read
from diffkit.run.folder import RunFolder, write_bytes
from diffkit.run.snapshots import digest

HELP = """\
diffkit export PATH out=FILE.safetensors: write the averaged weights of a run, a bundle or a .ckpt file into one file.

It needs neither the plugins that made them nor the data. A run's are those of its newest whole checkpoint; of one
without any, those of its bundle.
"""
_AVERAGE = "ema."


def command(arguments: Sequence[str]) -> int:
    """Export what the arguments say; gives the exit status. Raises `DiffkitError` for a mistake in them."""
    if not arguments or {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0
    places = [a for a in arguments if not a.startswith("out=")]
    outs = [a.removeprefix("out=") for a in arguments if a.startswith("out=")]
    if len(places) != 1 or len(outs) != 1 or not outs[0]:
        raise DiffkitError("diffkit export takes a path and out=FILE.safetensors, and nothing else (--help says more)")
    out = Path(outs[0]).expanduser()
    names = export(places[0], out)
    print(f"Wrote {len(names)} tensors into {out}: safetensors.torch.load_file reads it.")
    return 0


def export(place: str | Path, out: Path) -> dict[str, Tensor]:
    """Write the weights at `place` into the file `out`, whose metadata say what they are of, and give them.

    Raises `DiffkitError` if there are none or they are damaged, if `out` exists, and if it cannot be written.
    """
    if out.exists():
        raise DiffkitError(f"out={out} exists: choose another file")
    source, weights = _weights(place)
    made = {"source": source, "sha256": digest(weights)}
    write_bytes(out, save_tensors(weights, {"diffkit": json.dumps(made)}))
    return weights


def _weights(place: str | Path) -> tuple[str, dict[str, Tensor]]:
    """Where the weights are, and they."""
    path = Path(place).expanduser()
    if path.suffix == SUFFIX and path.is_file():
        return _of_checkpoint(path)
    if not (path / bundle.WEIGHTS).is_file():
        run = RunFolder.resolve(place)
        if any(run.checkpoints.glob(f"*{SUFFIX}")):
            return _of_checkpoint(newest(run.checkpoints).path)
    folder = bundle.locate(place)
    made = read_yaml(folder / bundle.CONFIG).get("diffkit")
    weights = bundle.read_weights(folder / bundle.WEIGHTS, str(made.get("sha256") if isinstance(made, dict) else None))
    return str(folder), weights


def _of_checkpoint(path: Path) -> tuple[str, dict[str, Tensor]]:
    state = read(path).get("state_dict")
    pairs = state.items() if isinstance(state, dict) else ()
    weights = {
        str(name).removeprefix(_AVERAGE): a.detach().clone()
        for name, a in pairs
        if str(name).startswith(_AVERAGE) and isinstance(a, Tensor)
    }
    if not weights:
        raise DiffkitError(f"{path} holds no averaged weights: it is no checkpoint of a run")
    return str(path), weights
