"""`_target_` may name Lightning's and torch's own objects, and nothing else: not even to be imported."""

import sys
from typing import Any

import pytest
import torch

from diffkit.compose.foreign import allowed, check_node, check_targets, instantiate
from diffkit.core.errors import DiffkitError

EVIL = [
    "os.system",
    "posix.system",
    "logging.os.system",
    "subprocess.run",
    "builtins.eval",
    "builtins.exec",
    "asyncio.run",
    "pickle.loads",
    "torch.load",
    "numpy.load",
    "shelve.open",
    "cfg.A",
    "timeit.timeit",
    "code.interact",
    "pdb.run",
    "cProfile.run",
    "trace.Trace.run",
    "site.addsitedir",
    "torch.hub.load",
    "torch.serialization.load",
    "lightning.fabric.utilities.cloud_io._load",
    "pathlib.Path.write_text",
    "numpy.savetxt",
    "shutil.rmtree",
    "torch.optim.Adam.__init__",
    "torch.optim.adam.torch.load",
    "torch.optim.os",
    "lightning.pytorch.callbacks.os.system",
    "lightning.pytorch.Trainer.from_argparse_args",
]


@pytest.mark.parametrize("target", EVIL)
def test_evil_targets_are_refused_before_any_import(target: str) -> None:
    before = set(sys.modules)
    for group in ("trainer", "logger.x", "callbacks.x", "optimizer", "sampler", "data"):
        for node in ({"_target_": target}, {"a": [{"b": {"_target_": target}}]}):
            with pytest.raises(DiffkitError, match="_target_"):
                check_targets(group, node)
    assert set(sys.modules) == before


def test_targets_of_one_group_do_not_serve_another() -> None:
    assert allowed("torch.optim.SGD", "optimizer")
    assert not allowed("torch.optim.SGD", "trainer")
    assert not allowed(["torch.optim.SGD"], "optimizer")


def test_an_allowed_object_is_built() -> None:
    node = {"_target_": "torch.optim.SGD", "lr": 0.1}
    optimizer = instantiate("optimizer", node, _partial_=True)([torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["lr"] == 0.1


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "torch.optim.SGDD"}, "torch.optim.SGDD could not be imported"),
        ({"_target_": "torch.optim.SGD", "lrr": 1}, "optimizer.lrr: SGD has no such argument.*'lr'"),
        ({"_target_": "torch.optim.SGD", "lr": "x"}, "optimizer.lr=x is not allowed"),
        ({"_target_": "torch.optim.SGD", "lr": float("nan")}, "optimizer.lr=nan is not allowed"),
    ],
)
def test_arguments_are_checked_against_the_signature(node: dict[str, Any], words: str) -> None:
    with pytest.raises(DiffkitError, match=words):
        check_node("optimizer", node)


def test_a_refusal_of_the_object_itself_is_told() -> None:
    node = {"_target_": "lightning.pytorch.Trainer", "max_steps": -5, "accelerator": "cpu", "logger": False}
    with pytest.raises(DiffkitError, match=r"trainer \(lightning.pytorch.Trainer\) could not be built: .*max_steps"):
        instantiate("trainer", node)
