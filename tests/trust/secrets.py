"""What this machine's environment holds stays there: files do not read it, and runs do not write it."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trust.command import diffkit as command, tiny
from trust.mutation import mutation
from trust.row import Trial, expect, row
from trust.targets import command as composed, dump, edited
from trust.trained import trained

CANARY = "canary-8c1f"
KEYS = {
    "WANDB_API_KEY": "0badc0de" * 5,
    "HF_TOKEN": "hf_canaryCanaryCanary1",
    "AWS_SECRET_ACCESS_KEY": "canary/AWS/secret+1",
    "TRUST_DB_PASSWORD": "canary word 1234",
}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


def _nowhere(folder: Path, *secrets: str) -> None:
    """No file below the folder has any of these, packed ones included."""
    for file in folder.rglob("*"):
        if file.is_file():
            contents = [str(file).encode(), file.read_bytes()]
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as packed:
                    contents += [packed.read(name) for name in packed.namelist()]
            for secret in secrets:
                expect(not any(secret.encode() in c for c in contents), f"a secret is in {file.relative_to(folder)}")


def _said(call: Callable[[], object]) -> str | None:
    """The refusal, or None."""
    from diffkit import DiffkitError

    try:
        call()
    except DiffkitError as error:
        return str(error)
    return None


def _preset(folder: Path, content: dict[str, Any]) -> None:
    from omegaconf import OmegaConf

    dump(folder / "conf/experiment/a.yaml", content, "# @package _global_\n")
    configs = composed("experiment=a", "--config-dir", str(folder / "conf"))
    (folder / "config").write_text(OmegaConf.to_yaml(configs[0], resolve=True))


def _run(folder: Path, content: dict[str, Any]) -> None:
    edited(folder / "run", content)
    trained("resume=run", cwd=folder)


def _bundle(folder: Path, content: dict[str, Any]) -> None:
    import small
    import yaml

    import diffkit

    run = small.run_folder(folder / "run", "none", "moons") / "bundle"
    dump(run / "config.yaml", yaml.safe_load((run / "config.yaml").read_text()) | content)
    for verb in ("sample", "evaluate"):
        cfg = diffkit.compose([f"run={run}"], verb)
        (folder / verb).write_text(str(cfg))
    diffkit.load(run)


def _prompts(folder: Path, content: dict[str, Any]) -> None:
    import small

    from diffkit.run.sample import sample

    run = small.run_folder(folder / "run", "text")
    (folder / "prompts").write_text(f"{content['name']}\n")
    sample(small.asked(run, prompts=str(folder / "prompts"), n=1, seed=0))


_ENV = "${oc.env:TRUST_CANARY}"
PLACES: tuple[tuple[Callable[[Path, dict[str, Any]], None], dict[str, Any]], ...] = (
    (_preset, {"name": _ENV}),
    (_preset, {"tags": ["${oc.decode:${oc.env:TRUST_CANARY}}"]}),
    (_preset, {"name": "${trust_unknown:x}"}),
    (_preset, {"defaults": [{"/data": _ENV}]}),
    (_run, {"name": _ENV}),
    (_run, {"diffkit": {"version": _ENV}}),
    (_bundle, {"denoiser": {"_part_": "mlp", "width": "${oc.decode:3}", "depth": _ENV}}),
    (_bundle, {"sampler": {"_part_": _ENV}}),
    (_bundle, {"data": {"_part_": "moons", "batch_size": "${trust_unknown:x}"}}),
    (_prompts, {"name": _ENV}),
)


@row(
    "S4",
    fault="oc.env, oc.decode or an unknown resolver in a file that is loaded",
    required="kept as text, or refused; the variable's value is in no file and no message",
    bare="resolved",
    full=10,
    small=10,
)
def resolvers(trial: Trial) -> None:
    read, content = trial.pick(PLACES)
    with _environment({"TRUST_CANARY": CANARY}):
        said = _said(lambda: read(trial.folder, content))
    if read is not _prompts:
        expect(said, "it was not refused")
        why = "nothing of this machine" if read is _preset else "has an interpolation"
        expect(why in str(said), f"it was refused otherwise: {said}")
    expect(CANARY not in (said or ""), f"it was said: {said}")
    _nowhere(trial.folder, CANARY)


@mutation("what a file says is resolved", "S4", said="it was not refused")
def resolved(patch):  # type: ignore[no-untyped-def]
    from diffkit.compose import files

    patch.setattr(files, "_refuse_resolver", lambda where, key, value: None)


@mutation("what a saved config says is not looked at", "S4", said="refused")
def unread(patch):  # type: ignore[no-untyped-def]
    from diffkit.compose import plain

    patch.setattr(plain, "_refuse_more", lambda value, path, where: None)


def _whole(folder: Path) -> None:
    """A run that logs to W&B, in a folder of git whose remote has a token in its address."""
    remote = (
        f'[core]\nrepositoryformatversion = 0\n[remote "origin"]\nurl = https://{KEYS["HF_TOKEN"]}@x.invalid/x.git\n'
    )
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text(remote)
    (folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    for name in ("objects", "refs"):
        (folder / ".git" / name).mkdir()
    words = tiny("logger=[csv,wandb]", "logger.wandb.mode=offline", "trainer.max_steps=2", "out=run")
    done = command("train", *words, cwd=folder, env=KEYS)
    expect(done.returncode == 0, f"status {done.returncode}: {done.stderr[-1500:]}")
    expect(any((folder / "run").rglob("*.wandb")), "W&B wrote nothing")
    (folder / ".git/config").unlink()
    (folder / "said").write_text(done.stdout + done.stderr)


def _failed(folder: Path) -> None:
    """A run that fails with a secret in its error."""
    from diffkit.run.module import Task

    def fails(task: Any, batch: Any, number: int) -> Any:
        raise RuntimeError(f"401 for https://me:{KEYS['HF_TOKEN']}@x.invalid with {KEYS['WANDB_API_KEY']}")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(Task, "training_step", fails)
        trained("trainer.max_steps=1", "out=run", cwd=folder)
    expect("401" in (folder / "run/status.json").read_text(), "status.json does not say why")


def _refused(folder: Path, override: str) -> None:
    """A choice that is a secret."""
    from diffkit import compose

    words = (override, "trainer.max_steps=1", "out=run")
    said = _said(lambda: compose(tiny(*words))) or _said(lambda: trained(*words, cwd=folder))
    secret = override.partition("=")[2].strip("[]'")
    _nowhere(folder, secret)
    expect(said and "environment" in said and secret not in said, f"it was not refused as a secret: {said}")


_CHOICES = (
    f"name={KEYS['WANDB_API_KEY']}",
    f"tags=[{KEYS['HF_TOKEN']}]",
    f"group='{KEYS['TRUST_DB_PASSWORD']}'",
    f"name=x-{KEYS['AWS_SECRET_ACCESS_KEY']}-y",
    "name='https://me:secretword@x.invalid/data'",
    "+logger.csv.api_key=secretword",
    "+trainer.password=secretword",
)


@row(
    "S5",
    fault="keys, tokens and passwords in the environment, in choices and in errors",
    required="never in the run's folder: config, checkpoints, bundle, metrics, status, W&B's files",
    bare="not measured",
    full=18,
    small=9,
)
def kept_secrets(trial: Trial) -> None:
    number = trial.number % (len(_CHOICES) + 2)
    with _environment(KEYS):
        if number < len(_CHOICES):
            _refused(trial.folder, _CHOICES[number])
        else:
            (_whole if number == len(_CHOICES) else _failed)(trial.folder)
    _nowhere(trial.folder, *KEYS.values(), "secretword")


@mutation("choices are written as they are", "S5", said="a secret is in")
def written(patch):  # type: ignore[no-untyped-def]
    from diffkit.compose import validate

    patch.setattr(validate, "refuse_secrets", lambda config: None)
