import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlparse

import pytest
import wandb

from diffkit.core.errors import RunFailed
from diffkit.run.background import Background
from diffkit.run.wandb import _mode
from diffkit.run.wandb_parts import Part

from .conftest import Run


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody is logged in."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))


def of_kind(folder: Path, kind: str, number: int = 0) -> list[Any]:
    """The records of one kind in a run's n-th W&B file, once W&B's own process has ended it."""
    found: list[Any] = []
    end = monotonic() + 20
    while not any(r.WhichOneof("record_type") == "exit" for r in found) and monotonic() < end:
        sleep(0.1)
        parts = sorted(folder.glob("wandb/offline-run-*"))[number : number + 1]
        found = [record for part in parts for record in Part(part).records()]
    return [getattr(r, kind) for r in found if r.WhichOneof("record_type") == kind]


def history(folder: Path) -> dict[int, dict[str, Any]]:
    """Everything that was logged, by step."""
    found: dict[int, dict[str, Any]] = {}
    for line in of_kind(folder, "history"):
        values = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in line.item}
        found.setdefault(values["_step"], {}).update(values)
    return found


def test_a_run_and_its_continuation_are_found_in_the_offline_file(run: Run) -> None:
    folder = run(
        "logger=[csv,wandb]",
        "metric=[sliced_wasserstein]",
        "preview_every=4",
        "trainer.val_check_interval=4",
        "trainer.max_steps=6",
        "group=sweep-1",
        "tags=[a,b]",
        "name=mine",
    )
    (start,), (end,) = of_kind(folder, "run"), of_kind(folder, "exit")
    assert (start.run_group, list(start.tags), start.display_name) == ("sweep-1", ["a", "b"], "mine")
    config = {u.key: json.loads(u.value_json) for u in start.config.update}
    assert config["denoiser"]["_part_"] == "mlp" and config["trainer"]["max_steps"] == 6
    assert config["diffkit"]["version"] and config["diffkit"]["plugins"]["standard"]["version"]
    assert end.exit_code == 0
    logged = history(folder)
    assert {"loss", "lr", "images_per_second"} <= logged[2].keys()
    assert logged[2]["loss_by_logsnr/_type"] == "histogram" and len(logged[2]["loss_by_logsnr/bins"]) == 21
    assert "val_loss" in logged[4] and logged[4]["preview/captions"] == ["after 4 updates"]
    last = logged[6]
    assert last["samples/captions"] and last["strip/captions"] and last["table/ncols"] == 4
    assert last["film/_type"] == "video-file" and last["film/caption"] == "samples emerging from noise"
    assert {"sliced_wasserstein/value", "sliced_wasserstein/real"} <= last.keys()
    (bundle,) = (a for a in of_kind(folder, "artifact") if a.type == "model")
    assert {c.path for c in bundle.manifest.contents} == {"model.safetensors", "config.yaml"}

    run(f"resume={folder}", "trainer.max_steps=8")
    (again,) = of_kind(folder, "run", 1)
    assert again.run_id == start.run_id


def test_a_failed_run_is_finished_as_failed(run: Run) -> None:
    with pytest.raises(RunFailed, match="loss is"):
        run("logger=[csv,wandb]", "optimizer.lr=1e30", "out=broken")
    (end,) = of_kind(Path("broken"), "exit")
    assert end.exit_code == 3


def test_offline_unless_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _mode() == "offline"
    for host in ("api.wandb.ai", urlparse(wandb.Settings().base_url).hostname):  # where `wandb login` has had it
        (tmp_path / "netrc").write_text(f"machine {host} login user password {'0' * 40}")
        assert _mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert _mode() == "disabled"


@pytest.fixture
def never() -> Iterator[Event]:
    event = Event()
    yield event
    event.set()


def test_a_call_that_hangs_holds_nobody_up(never: Event, capsys: pytest.CaptureFixture[str]) -> None:
    background, start = Background("W&B", lambda: "Look elsewhere."), monotonic()
    for _ in range(2000):
        background(never.wait)
    assert not background.close(0.1)
    assert monotonic() - start < 20  # not at all
    assert capsys.readouterr().err.count("W&B is off for this run: it does not answer. Look elsewhere.") == 1


def test_a_call_that_fails_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    background, done = Background("W&B", lambda: "Look elsewhere."), []
    background(lambda: done.append(1))
    background(lambda: 1 / 0)
    background(lambda: done.append(2))
    assert not background.close(5)
    assert done == [1]
    assert capsys.readouterr().err == "W&B is off for this run: division by zero. Look elsewhere.\n"


def test_all_calls_are_made_in_order() -> None:
    background, done = Background("W&B", str), []
    for i in range(100):
        background(lambda i=i: done.append(i))
    assert background.close(5) and done == list(range(100))
