"""`_target_` may name Lightning's and torch's own objects; tests/trust/targets.py has those that it may not."""

from typing import Any

import pytest
import torch

from diffkit.compose.foreign import allowed, check_node, instantiate, leads_out, maker
from diffkit.core.errors import DiffkitError


def test_targets_of_one_group_do_not_serve_another() -> None:
    assert allowed("torch.optim.SGD", "optimizer")
    assert not allowed("torch.optim.SGD", "trainer")
    assert not allowed(["torch.optim.SGD"], "optimizer")


def test_what_a_module_imports_itself_is_no_part_of_it() -> None:
    with pytest.raises(DiffkitError, match="it is no Logger"):
        maker("logger.x", {"_target_": "diffkit.run.logging.Path"})


def test_an_allowed_object_is_built() -> None:
    node = {"_target_": "torch.optim.SGD", "lr": 0.1}
    optimizer = maker("optimizer", node)([torch.nn.Parameter(torch.zeros(1))])
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


def test_arguments_that_name_a_place_are_found() -> None:
    places = {"dirpath": "x", "save_dir": "x", "a": "/x", "b": "../x", "c": "~/x", "d": "s3://x", "e": "C:\\x"}
    others = {"_target_": "x", "monitor": "val_loss", "mode": "min", "name": "x", "filename": "{step}", "n": 3}
    assert leads_out({**places, **others}) == list(places)
