"""Two runs that begin together."""

from trust.command import start, tiny
from trust.mutation import mutation
from trust.row import Trial, expect, row


@row(
    "R8",
    fault="four runs started in the same second",
    required="four folders",
    bare="25/40 shared",
    full=10,
    small=1,
)
def started_together(trial: Trial) -> None:
    runs = [start("train", *tiny("trainer.max_steps=1"), cwd=trial.folder) for _ in range(4)]
    for running in runs:
        with running:
            status = running.wait(120)
            expect(status == 0, f"status {status}: {running.said[-1500:]}")
    folders = {file.parents[1].resolve() for file in trial.folder.glob("runs/*/bundle/config.yaml")}
    expect(len(folders) == 4, f"{len(folders)} folders: {folders}")


@mutation("a folder that is there already is taken", "R8", said="folders:")
def shared_folders(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import folder

    def take(path):  # type: ignore[no-untyped-def]
        path.mkdir(parents=True, exist_ok=True)
        return True

    patch.setattr(folder, "_mkdir", take)
