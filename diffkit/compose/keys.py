"""The keys at the top of each verb's config, beside the groups: their types and ranges. Values are in conf/."""

from dataclasses import dataclass
from typing import Literal

from diffkit.core.types import Count, Fraction, Length, Natural, Positive


@dataclass(frozen=True)
class Train:
    """`diffkit train`."""

    seed: Natural
    """Everything random is a function of it."""
    name: str | None
    """Of the run; the data's name by default."""
    out: str | None
    """The run's folder; `runs/<date>-<time>-<name>` by default."""
    resume: str | None
    """A run to continue; `auto` for the one in `out`, which is begun if there is none."""
    allow_change: list[str]
    """Keys, as denoiser.width, that may be others than those of the run that is continued."""
    condition_dropout: Fraction | list[Fraction]
    """How often training drops a condition: one number, or one for each conditioner."""
    learn_variance: bool
    """Whether the network learns the reverse variance too, for samplers that use it (`sampler.variance=learned`)."""
    compile: bool
    """Whether torch compiles the network first."""
    preview_every: Natural
    """Steps between previews; 0 for none."""
    samples: Natural
    """How many samples are drawn at the end."""
    patience: Count
    """How many updates in a row may be not finite: the run stops at the last of them, and skips those before."""
    timeout: Positive
    """Seconds that one of several devices may keep the others waiting."""
    group: str | None
    """The sweep that the run belongs to."""
    tags: list[str]
    """Words to find the run by."""


@dataclass(frozen=True)
class Sample:
    """`diffkit sample`."""

    run: str
    """A run or a bundle: a folder, `last` for the newest run, or a name of `diffkit list bundle`."""
    n: Count | None
    """How many samples of each prompt, label or given row; by default 64, and 1 of each given row."""
    seed: Natural
    """Sample i is a function of (seed, i)."""
    ema: Length | None
    """The length of an average made of the run's snapshots; by default the run's own average."""
    prompt: str | list[str | None] | None
    """A prompt, or a list of them, with null for samples that are told nothing."""
    prompts: str | None
    """A file with one prompt a line."""
    label: Natural | str | list[Natural | str | None] | None
    """A class (number or name), or a list of them, with null for samples that are told none; paired with prompts."""
    negative: Natural | str | list[Natural | str | None] | None
    """A prompt or a class to steer away from, or one for each prompt; it takes the null's place in guidance."""
    input: str | list[str] | None
    """Rows to edit, or small pictures to enlarge: .npz, .csv, .png; NaN where a number is missing."""
    strength: Fraction | None
    """Image-to-image: from input with noise, this share of the variance; log-SNR log((1 - strength) / strength)."""
    mask: Natural | list[Natural] | str | None
    """Inpainting: where input is drawn anew; left, right, top, bottom, center, columns' numbers, or a file."""
    repaint: Count | None
    """How many times RePaint makes each jump of the inpainting; by default 10; 1 is replacement alone."""
    jump: Count | None
    """The steps of a jump; by default 1."""
    invert: Literal["exact", "ddim"] | None
    """From the noise that input comes from, found by the leapfrog (exact) or by DDIM backwards."""
    source: Natural | str | None
    """The prompt (or class) under which invert finds the noise; by default that of the sample."""
    between: Count | None
    """How many samples from one end to the other: of two rows of input, two prompts or two labels."""
    vary: Natural | None
    """The number of a sample of the same seed, of which all samples are variations."""
    variation: Fraction | None
    """How much of their own noise variations have, from 0 to 1; by default 0.3."""
    out: str | None
    """A folder for the samples; `samples/` in the run's by default."""
    batch_size: Count
    """How many samples are drawn at once; the samples do not depend on it."""


@dataclass(frozen=True)
class Evaluate:
    """`diffkit evaluate`."""

    run: str
    """A run or a bundle: a folder, `last` for the newest run, or a name of `diffkit list bundle`."""
    n: Count | None
    """How many samples, or rows to measure the model on; by default as many as the data hold out, at most 1000."""
    file: str | None
    """Rows to measure the model on in place of the held-out ones: an .npz or .csv file, in the data's own units."""
    seed: Natural
    """Sample i is a function of (seed, i)."""
    ema: Length | None
    """The length of an average made of the run's snapshots; by default the run's own average."""
    out: str | None
    """A folder for the figures; by default one in the run."""
    batch_size: Count
    """How many samples are drawn at once; the figures do not depend on it."""


@dataclass(frozen=True)
class Compare:
    """`diffkit compare`: lists of samplers, grids, guidances and `ema` make points, all others are the same for all."""

    run: str
    """A run or a bundle: a folder, `last` for the newest run, or a name of `diffkit list bundle`."""
    n: Count | None
    """How many samples of each point; by default as many as the data hold out, at most 1000."""
    seed: Natural
    """Sample i is a function of (seed, i)."""
    ema: Length | None
    """The length of an average made of the run's snapshots (or lengths: 0.05,0.1); by default the run's own average."""
    out: str | None
    """A folder for table, plot and figures, in which a comparison goes on; `compare/` in the run's by default."""
    batch_size: Count
    """How many samples are drawn at once; seconds depend on it, and the figures do not."""


VERBS = {"train": Train, "sample": Sample, "evaluate": Evaluate, "compare": Compare}
"""The verbs that Hydra composes a config for."""
