"""What a plugin's code may do while it is loaded: nothing that lasts."""

import os
import random
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator

import numpy
import pytest
import torch

from diffkit.compose import guard
from diffkit.compose.guard import Overdue, filters_kept, guarded, time_limit
from diffkit.core.errors import DiffkitError


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Should the guard fail, the next test is not disturbed."""
    threads, mode = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = False
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(mode)


def test_what_is_printed_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with guarded("it"):
        print("one")
        os.write(1, b"two\n")
        subprocess.run(["echo", "three"], check=True)
    print("four")
    out, err = capfd.readouterr()
    assert out == "four\n" and sorted(err.split()) == ["one", "three", "two"]


def test_generators_go_on_as_if_nothing_had_been_drawn() -> None:
    def draw() -> list[float]:
        return [random.random(), float(numpy.random.rand()), torch.rand(()).item()]

    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(7)
    expected = draw()
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(7)
    with pytest.raises(ZeroDivisionError), guarded("it"):
        draw()
        torch.manual_seed(0)
        print(1 / 0)
    assert draw() == expected


@pytest.mark.parametrize("before", ["defaults", "others"])
def test_torchs_defaults_are_what_they_were(before: str) -> None:
    if before == "others":
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = True
    was = guard._defaults(torch)
    with guarded("it"):
        torch.set_default_dtype(torch.bfloat16)
        torch.set_default_device("cpu" if before == "others" else "meta")
        torch.set_grad_enabled(before == "others")
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = before != "others"
        changed = guard._defaults(torch)
    assert not {name for name in was if was[name] == changed[name]}
    assert guard._defaults(torch) == was


def test_a_device_in_use_stays_in_use() -> None:
    """A part may be imported while the model is built on the meta device."""
    with torch.device("meta"):
        with guarded("it"):
            pass
        assert torch.empty(1).device.type == "meta"
    assert torch.empty(1).device.type == "cpu"


def test_it_is_announced_and_then_broken_off(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    said = r"takes longer than 0\.4 s to load; DIFFKIT_PLUGIN_SECONDS=60"
    with pytest.raises(Overdue, match=said), guarded("the plugin x 1.0", limit=0.4):
        time.sleep(20)
    assert 0.3 < time.monotonic() - started < 2
    assert capsys.readouterr().err == (
        "Warning: the plugin x 1.0 is still loading after 0.1 s; "
        "it is given up after 0.4 s (DIFFKIT_PLUGIN_SECONDS changes that)\n"
    )


def test_the_plugin_cannot_swallow_it() -> None:
    with pytest.raises(Overdue), guarded("it", limit=0.1):
        for _ in range(3):
            try:
                time.sleep(5)
            except Exception:
                continue
    started = time.monotonic()
    with pytest.raises(Overdue), guarded("it", limit=0.1):
        try:
            time.sleep(5)
        except BaseException:
            time.sleep(5)
    assert time.monotonic() - started < 3


def test_in_another_thread_it_is_announced_only(capsys: pytest.CaptureFixture[str]) -> None:
    done = []

    def load() -> None:
        with guarded("it", limit=0.2):
            time.sleep(0.4)
        done.append(True)

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert done and capsys.readouterr().err.startswith("Warning: it is still loading after 0.05 s")


def test_somebody_elses_alarm_still_rings() -> None:
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with guarded("it", limit=5):
            time.sleep(0.05)
        assert not rung
        time.sleep(0.5)
        assert rung == [signal.SIGALRM]
        with guarded("it", limit=0.05), pytest.raises(Overdue):
            time.sleep(1)
        time.sleep(0.1)
        assert rung == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_filters_of_warnings_are_kept() -> None:
    before = list(warnings.filters)
    with filters_kept():
        warnings.simplefilter("ignore")
    assert warnings.filters == before


def test_the_limit_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert time_limit() == 8
    for given, limit in (("0.5", 0.5), ("60", 60), ("0", None)):
        monkeypatch.setenv("DIFFKIT_PLUGIN_SECONDS", given)
        assert time_limit() == limit
    monkeypatch.setenv("DIFFKIT_PLUGIN_SECONDS", "long")
    with pytest.raises(DiffkitError, match=r"DIFFKIT_PLUGIN_SECONDS=long is not allowed"):
        time_limit()
