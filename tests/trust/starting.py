"""Runs that begin together, and two in one folder."""

import os
import signal
import socket
import time
from contextlib import ExitStack, chdir
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Thread
from time import monotonic, sleep

from forks import Running

from trust._here import run
from trust.command import start, tiny
from trust.mutation import mutation
from trust.row import Trial, expect, row


@row(
    "R7",
    fault="two runs in one folder; a run's folder whose process was killed, with a child of it still there",
    required="second refuses (lock with host and pid), exit 2 in <= 2 s; stale lock of a dead pid is taken over",
    bare="both ran",
    full=1 + 20,
    small=1,
)
def two_in_one_folder(trial: Trial) -> None:
    with chdir(trial.folder), ExitStack() as stack:
        both = [_begin(stack, trial.folder) for _ in range(1 if trial.number == 0 else 2)]
        if trial.number == 0:
            _until(lambda: Path("run/config.yaml").exists() or both[0].wait(0) is not None)
            run(*_SAME)  # what is imported for it is not what is timed
            begun = time.process_time()
            status, said = run(*_SAME)
            seconds, holder = time.process_time() - begun, both[0]
        else:
            _until(lambda: any(one.wait(0) is not None for one in both))
            refused, holder = sorted(both, key=lambda one: one.wait(0) is None)
            status, said = refused.wait(0) or 0, refused.said
            seconds = float(Path(f"seconds-{refused.pid}").read_text())
        _refused(trial, holder.pid, status, said, seconds)
        os.kill(holder.pid, signal.SIGKILL)  # alone: its child lives on, and has all of its files open
        holder.wait()
        status, said = run(*_SAME)
        expect(status == 0, f"not taken over: {said}")


def _begin(stack: ExitStack, cwd: Path) -> Running:
    return stack.enter_context(start("train", *tiny(*_SAME), cwd=cwd, inject=["trust.starting:lingers"]))


def _refused(trial: Trial, holder: int, status: int, said: str, seconds: float) -> None:
    expect(status == 2, f"status {status}: both ran; {said[-800:]}")
    for word in (str(holder), socket.gethostname()):
        expect(word in said, f"{word!r} is not in: {said[:800]}")
    trial.figure("slowest refusal in s of CPU", seconds)
    expect(seconds <= 2, f"refused after {seconds:.1f} s")


_SAME = ("out=run", "resume=auto", "trainer.max_steps=2")


def lingers(patch):  # type: ignore[no-untyped-def]
    """A run that has a child process, and does not get on; it notes the seconds of CPU that it took."""
    import atexit

    from diffkit.run import train

    def wait(job):  # type: ignore[no-untyped-def]
        if not os.fork():
            sleep(60)
            os._exit(0)
        sleep(60)

    patch.setattr(train, "_fit", wait)
    atexit.register(lambda: Path(f"seconds-{os.getpid()}").write_text(str(time.process_time())))


def _until(done) -> None:  # type: ignore[no-untyped-def]
    end = monotonic() + 60
    while not done():
        expect(monotonic() < end, "it took more than a minute")
        sleep(0.005)


@row(
    "R8",
    fault="four runs started in the same second",
    required="four folders",
    bare="25/40 shared",
    full=1 + 10,
    small=1,
)
def started_together(trial: Trial) -> None:
    with chdir(trial.folder):
        folders = _claimed_together() if trial.number == 0 else _run_together(trial.folder)
    expect(len(set(folders)) == 4, f"{len(set(folders))} folders: {folders}")


def _claimed_together() -> list[Path]:
    from diffkit.core.errors import DiffkitError
    from diffkit.run.claim import claimed

    folders: list[Path] = []
    all_there, all_done = Barrier(4), Barrier(4)

    def claim() -> None:
        all_there.wait()
        try:
            with claimed({"resume": None, "out": None, "name": "moons"}) as place:
                folders.append(place.folder.path)
                all_done.wait(60)
        except (DiffkitError, BrokenBarrierError):  # one of them was refused: the others need not wait for it
            all_done.abort()

    threads = [Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return folders


def _run_together(cwd: Path) -> list[Path]:
    with ExitStack() as stack:
        runs = [stack.enter_context(start("train", *tiny("trainer.max_steps=1"), cwd=cwd)) for _ in range(4)]
        for running in runs:
            status = running.wait(120)
            expect(status == 0, f"status {status}: {running.said[-1500:]}")
    return [file.parents[1] for file in cwd.glob("runs/*/bundle/config.yaml") if not file.parents[1].is_symlink()]


@mutation("a folder that is there already is taken", "R8", said="folders:")
def shared_folders(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import folder

    def take(path):  # type: ignore[no-untyped-def]
        path.mkdir(parents=True, exist_ok=True)
        return True

    nobody_waits(patch)
    patch.setattr(folder, "_mkdir", take)


@mutation("nobody looks whether another run is in the folder", "R7", said="both ran")
def nobody_waits(patch):  # type: ignore[no-untyped-def]
    from contextlib import contextmanager

    from diffkit.run import claim

    @contextmanager
    def made(folder):  # type: ignore[no-untyped-def]
        folder.mkdir(exist_ok=True)
        yield

    patch.setattr(claim, "locked", made)
