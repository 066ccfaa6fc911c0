"""Processes that read ahead: a function of each item, in order."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from threading import Thread
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

MOST = 8
T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many workers leave one core to the training; at most 8."""
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(MOST, there - 1)


def ahead(function: Callable[[T], R], items: Iterable[T], workers: int, pinned: bool = False) -> Iterator[R]:
    """The function of each item, in order, computed ahead by so many processes (0: here, when it is asked for).

    Tensors come back in shared memory, `pinned` for a GPU. A process that dies ends this one with torch's RuntimeError.
    """
    loader: DataLoader[Any] = DataLoader(
        _Calls(function),
        batch_size=None,
        sampler=items,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        worker_init_fn=_leave_signals,
        generator=torch.Generator(),  # it draws a seed for the workers, which need none
    )
    return iter(loader)


class _Calls(Dataset[Any]):
    """A function, for a `DataLoader` to call."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __getitem__(self, item: Any) -> Any:
        return self._function(item)


def _as_it_is(item: R) -> R:
    return item


def _leave_signals(worker: int) -> None:
    """Leave signals to the run, which ends its workers when it is done: a scheduler sends them to every process."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_when_told, args=(os.getppid(),), daemon=True).start()


def _end_when_told(run: int) -> None:
    """End with a SIGTERM of the run's own."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != run:
        pass
    os._exit(0)
