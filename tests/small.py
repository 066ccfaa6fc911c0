"""A small model on disk, for tests of what is done with trained ones."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from diffkit.compose.build import build_model, part
from diffkit.run import bundle

CONDITIONERS = {"class": {"class": {"_part_": "class"}}, "text": {"text": {"_part_": "text", "width": 8}}, "none": {}}
CONDITIONERS["both"] = CONDITIONERS["text"] | CONDITIONERS["class"]


def choices(condition: str = "text", data: str = "digits") -> dict[str, Any]:
    """The choices of a model that is quick to build."""
    return {
        "seed": 0,
        "data": {"_part_": data},
        "codec": {"_part_": "identity"},
        "conditioner": CONDITIONERS[condition],
        "denoiser": {"_part_": "mlp", "width": 16, "depth": 1, "embedding": 8},
        "prediction": {"_part_": "v"},
        "schedule": {"_part_": "cosine"},
        "sampler": {"_part_": "ddim"},
        "grid": {"_part_": "uniform", "steps": 3},
        "guidance": {"cfg": {"_part_": "cfg", "scale": 2.0}},
    }


def model(config: dict[str, Any]) -> Any:
    """A model whose answers depend on everything it is given, though it was never trained."""
    torch.manual_seed(0)
    made = build_model(config, part("data", config["data"], seed=0).spec)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def run_folder(path: Path, condition: str = "text", data: str = "digits") -> Path:
    """A finished run's folder, as far as sampling needs it."""
    config = choices(condition, data)
    path.mkdir(parents=True)
    (path / "config.yaml").write_text("seed: 0\n")
    bundle.save(path / "bundle", model(config), config, part("data", config["data"], seed=0).spec)
    return path


def asked(run: Path, **values: Any) -> DictConfig:
    """A config as `diffkit sample` composes it."""
    config = choices()
    base = {name: config[name] for name in ("sampler", "grid", "guidance")}
    trainer = {"_target_": "lightning.pytorch.Trainer", "accelerator": "cpu", "devices": 1}
    return OmegaConf.create({"run": str(run), "n": 4, "seed": 0, "batch_size": 4, **base, "trainer": trainer, **values})
