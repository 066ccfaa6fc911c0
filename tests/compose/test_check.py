"""Parts that cannot work together are refused before any work; the report says what a run is made of."""

from pathlib import Path

import pytest
import torch
import yaml
from strangers import Install, entry

from diffkit import compose
from diffkit.compose.check import refuse_misfits, skeleton
from diffkit.compose.presets import config_dir
from diffkit.compose.report import report
from diffkit.core.errors import DiffkitError

SMALL = ["denoiser=mlp", "denoiser.width=8", "denoiser.embedding=8", "conditioner=[class]"]

MISFITS = {
    "data=moons conditioner=[text]": "conditioner=text needs the column 'text', but data=moons offers 'label'",
    "data=moons conditioner=[class] denoiser=unet": "denoiser 'unet'",
    "data=moons conditioner=[class] denoiser=dit": "denoiser 'dit'",
    "denoiser=dit denoiser.patch=3": "denoiser 'dit'.*patch",
    "prediction=eps grid=uniform grid.logsnr_min=-20": "prediction Eps does not suit the schedule Cosine with the grid",
    "condition_dropout=[0.1,0.2] conditioner=[class]": "condition_dropout has 2 numbers",
    "grid=logsnr grid.logsnr_max=-15 schedule=linear": "grid's logsnr_max",
    "optimizer.betas=[0.9,1]": r"optimizer \(torch.optim.AdamW\) could not be built: .*beta",
    "trainer.strategy=fsdp trainer.accelerator=cpu": "trainer.accelerator=cpu trainer.strategy=fsdp cannot be: .*GPU",
    "trainer.strategy=ddpp": "trainer.strategy=ddpp cannot be",
}


@pytest.mark.parametrize("line", MISFITS)
def test_a_pair_that_cannot_work_is_refused(line: str) -> None:
    with pytest.raises(DiffkitError, match=MISFITS[line]) as caught:
        refuse_misfits(compose(line.split(" ")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "conditioner=[]",
        "conditioner=[class,text] condition_dropout=[0.1,0.2]",
        "denoiser=dit",
        "prediction=eps schedule=linear",
        "prediction=eps grid=logsnr",
        "schedule=edm prediction=edm density=edm grid=karras sampler=dpmpp_2m",
        "schedule=flow prediction=flow density=logit_normal weighting=min_snr sampler=heun grid.steps=1",
        "data=moons denoiser=mlp conditioner=[class] metric=[sliced_wasserstein]",
    ],
)
def test_pairs_that_work_pass(line: str) -> None:
    refuse_misfits(compose(line.split(" ") if line else []))


@pytest.mark.parametrize("file", sorted((config_dir() / "experiment").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_preset_composes_and_opens_with_its_command(file: Path) -> None:
    refuse_misfits(compose([f"experiment={file.stem}"]))
    opening = file.read_text().splitlines()
    assert opening[0] == "# @package _global_" and f"diffkit train experiment={file.stem}" in opening[1]


def test_the_preset_of_a_sweep_sweeps_over_what_there_is() -> None:
    sweep = yaml.safe_load((config_dir() / "sweep.yaml").read_text())
    program, verb, *fixed, arguments = sweep["command"]
    assert (program, verb, arguments) == ("diffkit", "train", "${args_no_hyphens}")
    choices = [(key, c.get("values", [c.get("min"), c.get("max")])) for key, c in sweep["parameters"].items()]
    for i in range(max(len(values) for _, values in choices)):
        refuse_misfits(compose([*fixed, *(f"{key}={values[i % len(values)]}" for key, values in choices)]))


def test_nothing_is_computed_for_the_check() -> None:
    built = skeleton(compose(["denoiser=mlp", "denoiser.width=40000"]))
    assert {p.device.type for p in built.parts.model.parameters()} == {"meta"}


NETWORK = """
import torch
from diffkit.core import DenoiserNetwork

class Odd(DenoiserNetwork):
    def __init__(self, shape, condition, crop: int = 0, counted: bool = False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.crop = crop
        if counted:
            self.total = self.weight.sum().item()  # needs values

    def forward(self, x, logsnr, condition):
        return x[..., self.crop:] if self.crop < 5 else x.view(7)
"""


def test_a_strangers_network_is_held_to_its_shape(install: Install) -> None:
    install("mine", entry("denoiser=odd=odd_network:Odd"), odd_network=NETWORK)
    refuse_misfits(compose(["denoiser=odd"]))
    with pytest.raises(DiffkitError, match=r"'odd' of mine 1.2 must give the output F of shape \(2, 1, 8, 8\), not"):
        refuse_misfits(compose(["denoiser=odd", "denoiser.crop=1"]))
    with pytest.raises(DiffkitError, match=r"'odd' of mine 1.2 cannot take data of shape \(2,\)"):
        refuse_misfits(compose(["denoiser=odd", "denoiser.crop=5", "data=moons", "conditioner=[]"]))


def test_a_network_that_needs_values_is_built_with_values(install: Install) -> None:
    install("mine", entry("denoiser=odd=odd_network:Odd"), odd_network=NETWORK)
    built = skeleton(compose(["denoiser=odd", "denoiser.counted=true"]))
    assert next(built.parts.model.denoiser.parameters()).device == torch.device("cpu")


def reported(overrides: list[str]) -> str:
    cfg = compose(overrides)
    return report(cfg, skeleton(cfg))


def test_the_report_says_what_a_run_is_made_of() -> None:
    text = reported([*SMALL, "sampler=heun", "grid=logsnr", "grid.steps=5", "guidance=[cfg]"])
    lines = {line.split(" ")[0]: line for line in text.splitlines() if line}
    assert "heun" in lines["sampler"] and lines["sampler"].endswith("diffkit 0.1.0")
    assert "1 x 8 x 8 -> latents 1 x 8 x 8" in lines["shapes"]
    assert "label (10 classes)" in text
    assert "9 network calls a sample, each of 2 rows" in lines["sampling"]
    assert "-9.00 at the first step" in lines["log-SNR"] and "9.00 at the last" in lines["log-SNR"]
    parameters = sum(p.numel() for p in skeleton(compose(SMALL)).parts.model.parameters())
    assert f"all {parameters:,}" in lines["parameters"]


def test_without_a_condition_guidance_costs_nothing() -> None:
    text = reported([*SMALL[:3], "conditioner=[]", "grid.steps=5"])
    assert "5 network calls a sample\n" in text and "(none)" in text
