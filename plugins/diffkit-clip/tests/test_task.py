"""task=clip: its loss is the published one, it learns, leaves out what has no caption, and its bundle is whole."""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import diffkit
from diffkit import DiffkitError
from diffkit.core import DataSpec
from diffkit.standard.data import MemoryData
from diffkit.testing import check_task
from diffkit_clip.export import load
from diffkit_clip.network import NoisyCLIP
from diffkit_clip.retrieval import ranks, retrieval
from diffkit_clip.task import CLIPTask, contrastive, moved, refuse_untold

TOLD = ("bright", "a bright one", "dark", "a dark one")


class Toy(MemoryData):
    """Pictures that are bright or dark; one in five has no caption."""

    def __init__(self, batch_size: int = 32, seed: int = 0) -> None:
        super().__init__(DataSpec((1, 4, 4), {"text": None}), batch_size, seed)

    def read(self, split: Any) -> dict[str, Any]:
        bright = torch.arange(100) % 2 == 0
        x = torch.where(bright, 1.0, -1.0)[:, None, None, None].expand(-1, 1, 4, 4)
        words = [TOLD[:2] if b else TOLD[2:] for b in bright]
        return {"x": x, "text": [None if i % 5 == 4 else words[i] for i in range(100)]}

    def draw(self, x: Tensor, titles: Any = ()) -> Any:
        raise NotImplementedError


def unit(rows: int, seed: int) -> Tensor:
    return normalize(torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


def alone(pictures: Tensor, words: Tensor, texts: list[str | None]) -> Tensor:
    rows = (pictures, words, texts)
    return contrastive(*rows, torch.tensor(5.0), *rows)


def cross_entropies(logits: np.ndarray) -> np.ndarray:
    """Of each row's own column."""
    return -np.log(np.exp(logits).diagonal() / np.exp(logits).sum(1))


def test_the_loss_is_the_symmetric_infonce() -> None:
    pictures, words = unit(4, 0), unit(4, 1)
    logits = 5 * pictures.numpy() @ words.numpy().T
    wanted = (cross_entropies(logits) + cross_entropies(logits.T)) / 2
    np.testing.assert_allclose(alone(pictures, words, ["a", "b", "c", "d"]).numpy(), wanted, rtol=1e-5)


def test_rows_without_a_caption_are_as_if_they_were_not_there() -> None:
    """Neither they nor their gradient: the mean over all rows is that over the others."""
    pictures, words = unit(4, 0).requires_grad_(), unit(4, 1)
    losses = alone(pictures, words, ["a", None, "c", None])
    few = alone(pictures[::2], words[::2], ["a", "c"])
    assert losses[1] == losses[3] == 0
    torch.testing.assert_close(losses.mean(), few.mean())
    (gradient,) = torch.autograd.grad(losses.mean(), pictures)
    assert (gradient[1::2] == 0).all() and (gradient[::2] != 0).any()
    nobody = alone(pictures, words, [None] * 4)
    assert (nobody == 0).all() and (torch.autograd.grad(nobody.sum(), pictures)[0] == 0).all()


def test_equal_captions_match_alike() -> None:
    """Each row of two is to choose both: the cross-entropy to a half for each."""
    pictures, words = unit(3, 0), unit(3, 1)
    words[1] = words[0]
    logits = 5 * pictures.numpy() @ words.numpy().T
    target = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    logs = [a - np.log(np.exp(a).sum(1, keepdims=True)) for a in (logits, logits.T)]
    wanted = -(target * (logs[0] + logs[1])).sum(1) / 2
    np.testing.assert_allclose(alone(pictures, words, ["a", "a", "c"]).numpy(), wanted, rtol=1e-5)


def test_the_order_of_rows_is_nothing_and_parts_of_a_batch_know_the_whole() -> None:
    """What two devices with half of the rows each find is what one finds with all."""
    pictures, words, texts = unit(6, 0), unit(6, 1), ["a", "b", None, "a", "c", "d"]
    whole, turn = alone(pictures, words, texts), torch.tensor([4, 2, 0, 5, 1, 3])
    turned = alone(pictures[turn], words[turn], [texts[i] for i in turn])
    torch.testing.assert_close(turned, whole[turn])
    halves = [
        contrastive(pictures[r::2], words[r::2], texts[r::2], torch.tensor(5.0), pictures[turn], words[turn],
                    [texts[i] for i in turn])
        for r in (0, 1)
    ]  # fmt: skip
    torch.testing.assert_close(torch.stack(halves, 1).flatten(), whole)


def test_a_picture_is_moved_as_a_whole_and_its_edge_repeated() -> None:
    x = torch.arange(25.0).reshape(1, 1, 5, 5).repeat(400, 2, 1, 1)
    padded = np.pad(x[0, 0].numpy(), 1, mode="edge")
    allowed = {padded[i : i + 5, j : j + 5].tobytes() for i in range(3) for j in range(3)}
    found = moved(x, 1)
    assert torch.equal(found[:, 0], found[:, 1])
    assert {row.numpy().tobytes() for row in found[:, 0]} == allowed
    assert torch.equal(moved(x, 0), x)


def test_ranks_count_the_wrong_ones_that_are_not_behind() -> None:
    """A network that gives everything the same score finds nothing."""
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [0.0, 2.0, 1.0]])
    right = torch.tensor([[False, True, False], [True, False, False], [True, False, True]])
    assert ranks(scores, right).tolist() == [1, 2, 1]


@pytest.mark.parametrize("reader", ["own", "bert"])
def test_it_keeps_the_contracts_of_a_task(reader: str, folders: dict[str, str]) -> None:
    """With a tower for words, and with a frozen encoder."""

    def small(**given: Any) -> CLIPTask:
        wanted = ("model", "density", "weighting", "optimizer", "shape", "seed", "data")
        sizes = {"width": 8, "depth": 1, "text_width": 8, "text_depth": 1, "features": 8, "merges": 20}
        return CLIPTask(**{name: given[name] for name in wanted}, **sizes, shift=1, pretrained=folders.get(reader, ""))

    check_task(small)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on `Toy`, by the command."""
    diffkit.use(diffkit.Component("data", "toy", Toy))
    out = tmp_path_factory.mktemp("toy") / "run"
    sizes = ["task.width=16", "task.depth=1", "task.text_width=16", "task.text_depth=1", "task.merges=20"]
    few = ["trainer.max_steps=60", "trainer.val_check_interval=60", "task.warmup=5", "task.ema=0.9", "logger=[csv]"]
    (script,) = entry_points(group="console_scripts", name="diffkit")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(
            sys, "argv", ["diffkit", "train", "task=clip", "data=toy", "denoiser=mlp", *sizes, *few, f"out={out}"]
        )
        script.load()()
    assert end.value.code == 0
    return out


def test_it_learns_what_is_bright(run: Path) -> None:
    """The bundle's network: with the task's keys, and the merges of its captions."""
    network = diffkit.load_model(run)
    assert isinstance(network, NoisyCLIP)
    assert network.clip.config.vision_config.hidden_size == 16
    assert len(network.tokens(["bright"])[0]) == 3
    rows = Toy().reference("test")
    for level in (0.0, 12.0):
        x, texts = rows["x"][:4], ["bright", "dark"] * 2
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        alpha, sigma = (torch.tensor(a, dtype=torch.float64).sigmoid().sqrt() for a in (level, -level))
        x_t = alpha.float() * x + sigma.float() * noise
        assert (network.match(x_t, alpha, sigma, texts) > network.match(x_t, alpha, sigma, texts[::-1])).all()


def test_it_logs_retrieval_among_the_held_out_captions_by_level(run: Path) -> None:
    lines = (run / "metrics.csv").read_text().splitlines()
    last = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    assert {f"val_r{k}/{level}" for k in (1, 10) for level in (-6, -3, 0, 3, 6, 12)} <= last.keys()
    assert float(last["val_r10/12"]) == 1.0  # of 4 captions
    assert float(last["val_r1/12"]) > 0.3  # two captions suit a picture
    network, rows = diffkit.load_model(run), Toy().reference("test")
    told = [i for i, text in enumerate(rows["text"]) if text is not None]
    found = retrieval(network, rows["x"][told], [rows["text"][i] for i in told], 12.0, asked=40)
    assert found["text_r10"] == 1.0 and found["image_r1"] == 1.0


def test_the_command_exports_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = entry_points(group="console_scripts", name="diffkit")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["diffkit", "clip-export", f"run={run}", f"out={tmp_path / 'clip'}"])
        script.load()()
    assert end.value.code == 0 and "CLIPModel.from_pretrained reads it" in capsys.readouterr().out
    network, again = diffkit.load_model(run), load(tmp_path / "clip")
    assert torch.equal(again.texts(list(TOLD)), network.texts(list(TOLD)))


def test_data_without_captions_are_refused() -> None:
    with pytest.raises(DiffkitError, match=r"learns from captions, and the data offer label beside x: choose other"):
        refuse_untold(DataSpec((1, 8, 8), {"label": 10}))
