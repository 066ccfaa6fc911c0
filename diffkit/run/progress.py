"""A progress bar that counts samples while they emerge."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from diffkit.core.sampler import State
from diffkit.run.generate import Watch


@contextmanager
def progress(total: int, steps: int, shown: bool = True) -> Iterator[Watch]:
    """Show a bar that moves with every state of every batch until `total` samples made `steps` steps each."""
    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TextColumn("samples"))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *times, disable=not shown) as bar:
        task, done = bar.add_task("sampling", total=total), 0

        def watch(state: State) -> None:
            nonlocal done
            done += len(state.x) if state.step else 0
            bar.update(task, completed=done // max(1, steps))

        yield watch
