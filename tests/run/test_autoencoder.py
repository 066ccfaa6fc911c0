"""An autoencoder is trained, and then a model of its latents, which has it within itself."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import small
import torch
import yaml
from torch.distributions import Independent, Normal, kl_divergence

from diffkit import compose, load, load_model
from diffkit.compose.build import build, part
from diffkit.compose.check import refuse_misfits
from diffkit.core.autoencoder import Autoencoder
from diffkit.core.codec import alike
from diffkit.core.errors import DiffkitError
from diffkit.run.train import train

CODEC = ["codec=vae", "codec.width=8", "codec.channels=2"]
TINY = ["denoiser=mlp", "denoiser.width=16", "conditioner=[]", "metric=[]", "logger=[csv]", "data.batch_size=32"]
FEW = ["guidance=[]", "preview_every=0", "samples=4", "task.warmup=1", "optimizer.lr=0.003"]


def run(*overrides: str) -> Path:
    line = [*TINY, *FEW, "trainer.precision=32-true", *overrides]
    return train(compose(line), line)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps, with pictures on the way."""
    out = tmp_path_factory.mktemp("vae") / "run"
    return run(*CODEC, "task=autoencoder", "trainer.max_steps=60", "trainer.val_check_interval=30", f"out={out}")


@pytest.fixture(scope="module")
def latent(vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model of its latents; the autoencoder is not there any more when it is over."""
    out = tmp_path_factory.mktemp("latent") / "run"
    made = run(
        "codec=vae",
        f"codec.run={vae}",
        "trainer.max_steps=6",
        "trainer.val_check_interval=3",
        "callbacks.saving.every=3",
        f"out={out}",
    )
    vae.rename(vae.with_name("moved"))
    return made


def test_it_learns_and_says_how_far_off_it_is(vae: Path) -> None:
    with (vae / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val_reconstruction"]]
    first, last = (float(rows[i]["val_reconstruction"]) for i in (0, -1))
    assert 0.5 < last < first < 6.0  # grey levels of 16, whose deviation is 6
    assert float(rows[-1]["val_divergence"]) > 0
    assert [path.name for path in (vae / "samples").iterdir()] == ["reconstruction.png"]


def test_the_latents_of_the_data_have_zero_mean_and_unit_variance(vae: Path) -> None:
    codec = load_model(vae).codec
    x = part("data", {"_part_": "digits"}, seed=0).reference("train")["x"]
    z = codec.encode(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(2), atol=1e-3, rtol=0)


def test_the_loss_is_the_evidence_lower_bound_of_a_decoder_with_normal_noise() -> None:
    """With s² half of kl_weight, 2 s² / n times the negative bound, less the constant of the noise."""
    task = build(compose([*TINY, *CODEC, "task=autoencoder", "task.kl_weight=0.3"])).task
    x, eps, t = torch.randn(4, 1, 8, 8), torch.randn(4, 2, 4, 4), torch.zeros(4, dtype=torch.float64)
    loss, _ = task.losses(task.model, {"x": x}, t, eps, None)
    mean, log_variance = task.model.codec.posterior(x)
    deviation, noise = (log_variance / 2).exp(), math.sqrt(0.3 / 2)
    seen = Independent(Normal(task.model.codec.generate(mean + deviation * eps), noise), 3).log_prob(x)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 3)
    bound = seen - kl_divergence(Independent(Normal(mean, deviation), 3), prior)
    constant = math.log(noise * math.sqrt(2 * math.pi))
    torch.testing.assert_close(loss, -2 * noise**2 * (bound / 64 + constant))


def test_a_model_of_latents_has_the_codec_within_itself(latent: Path, vae: Path) -> None:
    """Its bundle says nothing of the run that the codec is from, and the weights are that one's."""
    assert not vae.exists()
    bundle = yaml.safe_load((latent / "bundle" / "config.yaml").read_text())
    assert bundle["codec"] == {"_part_": "vae", "run": None, "width": 8, "channels": 2, "factor": 2, "blocks": 1}
    assert len(bundle["diffkit"]["codec"]) == 64
    pipeline, autoencoder = load(latent), load_model(vae.with_name("moved"))
    assert isinstance(autoencoder, Autoencoder) and alike(pipeline.model.codec, autoencoder.codec)
    assert pipeline.sample(3).x.shape == (3, 1, 8, 8)
    torch.testing.assert_close(pipeline.model.to(torch.bfloat16).codec.shift, autoencoder.codec.shift.bfloat16())
    assert pipeline.sample(1).x.isfinite().all()
    assert {path.name for path in (latent / "samples").iterdir()} >= {"grid.png", "strip.png"}


def test_a_resumed_run_learns_what_one_that_went_through_does(latent: Path, tmp_path: Path) -> None:
    """Where the autoencoder is not there any more; the other run's codec is from the model of latents."""
    short = run(
        "codec=vae",
        f"codec.run={latent}",
        "trainer.max_steps=3",
        "trainer.val_check_interval=3",
        "task.decay=constant",
        f"out={tmp_path / 'a'}",
    )
    whole = run(
        "codec=vae",
        f"codec.run={latent}",
        "trainer.max_steps=6",
        "trainer.val_check_interval=3",
        "task.decay=constant",
        f"out={tmp_path / 'b'}",
    )
    again = [f"resume={short}", "trainer.max_steps=6"]
    train(compose(again), again)
    one, other = (load_model(path).state_dict() for path in (short, whole))
    assert one.keys() == other.keys() and all(torch.equal(a, other[name]) for name, a in one.items())


def test_rows_are_encoded_once(latent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = build(compose([*TINY, "codec=vae", f"codec.run={latent}"]))
    data: Any = parts.data
    fresh = next(iter(data.train_dataloader()))
    data.keep("latent", parts.model.codec.encode, "")
    kept, held = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
    torch.testing.assert_close(kept["x"], fresh["x"])
    for batch in (kept, held):
        torch.testing.assert_close(batch["latent"], parts.model.codec.encode(batch["x"]), atol=1e-5, rtol=1e-5)

    def asked(*given: Any) -> Any:
        raise AssertionError("encoded again")

    t, eps = torch.rand(len(kept["x"]), dtype=torch.float64), torch.randn_like(kept["latent"])
    monkeypatch.setattr(parts.model.codec, "posterior", asked)
    assert parts.task.losses(parts.model, kept, t, eps, None)[0].isfinite().all()


def test_a_codec_that_has_learned_nothing_is_refused() -> None:
    with pytest.raises(DiffkitError, match=r"train one on these data with task=autoencoder, .* codec\.run="):
        refuse_misfits(compose([*TINY, *CODEC]))


def test_a_run_without_such_a_codec_is_refused(tmp_path: Path) -> None:
    run = small.run_folder(tmp_path / "run", "none")
    with pytest.raises(DiffkitError, match="has no such codec: give a run that was trained with task=autoencoder"):
        build(compose([*TINY, "codec=vae", f"codec.run={run}"]))


def test_guidance_by_a_model_of_other_latents_is_refused(latent: Path, tmp_path: Path) -> None:
    other = small.run_folder(tmp_path / "run", "none")
    line = [*TINY, "codec=vae", f"codec.run={latent}", "guidance=[auto]", f"guidance.auto.run={other}"]
    with pytest.raises(DiffkitError, match="has another codec, and so sees other latents"):
        refuse_misfits(compose(line))
    refuse_misfits(compose([*line[:-1], f"guidance.auto.run={latent}"]))


def test_latents_have_no_range_to_be_kept_in(latent: Path) -> None:
    with pytest.raises(DiffkitError, match="latents have none: choose"):
        refuse_misfits(compose([*TINY, "codec=vae", f"codec.run={latent}", "guidance=[static_threshold]"]))
