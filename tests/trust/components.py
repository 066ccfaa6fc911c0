"""Runs in which every registered part takes part at least once: those of a training step, and of what it draws."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trust.command import tiny as tiny_run
from trust.trained import composed, trained

KINDS = (
    "data", "task", "codec", "conditioner", "denoiser", "guidance", "prediction", "schedule", "density", "weighting",
    "sampler", "grid",
)  # fmt: skip
"""All that a run is made of but what measures it."""
DEFAULTS: dict[str, list[str | None]] = {
    "data": ["moons", "digits", "shapes", "molecules"], "task": ["diffusion", "autoencoder"],
    "codec": ["identity", "vae"], "conditioner": [None, "class"], "denoiser": ["mlp", "set_transformer"],
    "guidance": [None], "prediction": ["v"], "schedule": ["cosine"], "density": ["uniform"], "weighting": ["unit"],
    "sampler": ["ddim"], "grid": ["uniform"],
}  # fmt: skip
"""What a part is tried with where no other one is to be tried too: the first that fits."""
TRIES = 3
ROOT = Path(__file__).parents[2]
ROWS = 12
Part = tuple[str, str]
"""Kind and name; what follows a blank says which variant of it."""
Choice = dict[str, str | None]


def parts() -> list[Part]:
    """Every part of these kinds; data that have workers without any and with two, and a codec that was trained."""
    from diffkit.compose.registry import registry
    from diffkit.compose.values import hyperparameters

    found = [(kind, name) for kind in KINDS for name in registry().names(kind)]
    read = [
        name for kind, name in found if kind == "data" and "workers" in hyperparameters(registry().load(kind, name))
    ]
    return [*found, *(("data", f"{name} 2") for name in read), ("codec", "vae run")]


def runs(files: Path) -> Iterator[tuple[Choice, dict[str, Any]]]:
    """Runs that have every part among them, found by trying what fits: the choices, and the config's nodes.

    What they need is made in the folder `files`. Raises `AssertionError` in the end for parts that are in none.
    """
    left, hopeless = parts(), list[Part]()
    while left:
        made = _next(left, files)
        if made is None:
            hopeless.append(left.pop(0))
        else:
            left = [(kind, name) for kind, name in left if made[0][kind] != name]
            yield made
    assert not hopeless, f"no run was found for {hopeless}"


def _next(left: list[Part], files: Path) -> tuple[Choice, dict[str, Any]] | None:
    """A run with the first of these parts, and as many of the others as are soon found to fit."""
    first, name = left[0]
    options = [[name] if kind == first else DEFAULTS[kind] for kind in KINDS]
    tried = (dict(zip(KINDS, names, strict=True)) for names in product(*options))
    choice = next((choice for choice in tried if _nodes(choice, files)), None)
    if choice is None:
        return None
    for kind in KINDS:
        others = [other for k, other in left if k == kind] if kind != first else []
        better = (choice | {kind: other} for other in others[:TRIES])
        choice = next((other for other in better if _nodes(other, files)), choice)
    return choice, _nodes(choice, files)


def _nodes(choice: Choice, files: Path) -> dict[str, Any]:
    """The nodes of these parts; none if they do not fit each other."""
    from omegaconf import OmegaConf

    from diffkit.compose.check import skeleton
    from diffkit.compose.registry import registry
    from diffkit.core.errors import DiffkitError

    nodes: dict[str, Any] = {}
    try:
        for kind, name in choice.items():
            node = {} if name is None else _node(kind, name, str(choice["data"]), files)
            nodes[kind] = {node["_part_"]: node} if registry().kind(kind).many and node else node
        skeleton(OmegaConf.create({**composed(tuple(tiny_run())), **nodes}))
    except DiffkitError:
        return {}
    return nodes


def _node(kind: str, name: str, data: str, files: Path) -> dict[str, Any]:
    from diffkit.compose.registry import registry
    from diffkit.compose.values import hyperparameters
    from diffkit.testing.given import tiny

    name, _, variant = name.partition(" ")
    known = hyperparameters(registry().load(kind, name))
    given = {"rows": 96, "held_out": 16} if kind == "data" else {"atol": 0.1, "rtol": 0.1}
    fit = {key: value for key, value in given.items() if key in known and type(known[key].default) is type(value)}
    node = {**tiny(kind, name), **fit}
    if (kind, name) in NEEDS:
        node |= NEEDS[kind, name](data, files)
    if variant == "run":
        node["run"] = _run(files, data, "autoencoder", "vae")
    if kind == "data":
        node |= {"workers": int(variant or 0)} if "workers" in known else {}
        node["batch_size"] = _rows(json.dumps(node)) // 3  # so that an epoch ends within a run
    return node


@cache
def _rows(node: str) -> int:
    from diffkit.compose.build import part

    return len(part("data", json.loads(node), seed=0).reference("train")["x"])


@cache
def _run(files: Path, data: str, task: str, codec: str = "identity") -> str:
    """A run of this task on these data, for a part that needs one."""
    nodes = {kind: _node(kind, name, data, files) for kind, name in (("data", data), ("task", task), ("codec", codec))}
    where = f"out={task}-{data.replace(' ', '-')}"
    return str(trained(where, "trainer.max_steps=1", cwd=files, parts={**nodes, "conditioner": {}}))


def pictures(files: Path) -> dict[str, Any]:
    """A folder of pictures of two classes, as data take it."""
    folder = files / "pictures"
    for row in range(ROWS):
        path = folder / "ab"[row % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        _picture(row).save(path)
    return {"folder": str(folder), "held_out": 0.25}


def _shards(data: str, files: Path) -> dict[str, Any]:
    import webdataset

    with webdataset.ShardWriter(f"{files}/s-%03d.tar", maxcount=4, verbose=0) as writer:
        for row in range(ROWS):
            writer.write({"__key__": f"{row:04}", "png": _picture(row), "txt": f"row {row}", "cls": row % 2})
    return {"shards": f"{files}/s-{{000..002}}.tar", "held_out": 0.34}


def _set(data: str, files: Path) -> dict[str, Any]:
    from datasets import ClassLabel, Dataset, Features, Image, Value, disable_progress_bars

    disable_progress_bars()
    features = Features({"photo": Image(), "caption": Value("string"), "kind": ClassLabel(names=["a", "b"])})
    columns = {"photo": [_picture(row) for row in range(ROWS)], "caption": [f"row {row}" for row in range(ROWS)]}
    made = Dataset.from_dict({**columns, "kind": [row % 2 for row in range(ROWS)]}, features=features)
    made.save_to_disk(str(files / "set"))
    return {"path": str(files / "set"), "held_out": 0.25}


def _table(data: str, files: Path) -> dict[str, Any]:
    lines = [f"{row % 7},{row % 5},{'ab'[row % 2]}" for row in range(2 * ROWS)]
    (files / "table.csv").write_text("\n".join(["a,b,kind", *lines]))
    return {"file": str(files / "table.csv"), "label": "kind"}


def _encoder(kind: str, files: Path) -> dict[str, Any]:
    """A small network with random weights, in a folder as transformers writes it."""
    place = ROOT / "plugins" / "diffkit-clip" / "tests" / "conftest.py"
    spec = importlib.util.spec_from_file_location("small_encoders", place)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    if not (files / kind).exists():
        spec.loader.exec_module(made)
        made.small(kind).save_pretrained(files / kind)
        made.tokenizer().save_pretrained(files / kind)
    return {"pretrained": str(files / kind)}


def _picture(row: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(row).integers(0, 256, (8, 8, 3), dtype=np.uint8))


NEEDS: dict[Part, Callable[[str, Path], dict[str, Any]]] = {
    ("data", "image_folder"): lambda data, files: pictures(files),
    ("data", "webdataset"): _shards,
    ("data", "huggingface"): _set,
    ("data", "table"): _table,
    ("conditioner", "clip_text"): lambda data, files: _encoder("clip", files),
    ("conditioner", "hf_text"): lambda data, files: _encoder("bert", files),
    ("guidance", "auto"): lambda data, files: {"run": _run(files, data, "diffusion")},
    ("guidance", "classifier"): lambda data, files: {"run": _run(files, data, "classifier")},
    ("guidance", "clip"): lambda data, files: {"run": _run(files, data, "clip")},
}
"""What parts cannot be made without."""
