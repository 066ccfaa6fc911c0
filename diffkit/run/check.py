"""`diffkit check`: what a run would be made of, and whether all of its data can be used."""

import sys
from pathlib import Path
from typing import Literal, get_args

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from diffkit.compose.check import skeleton
from diffkit.compose.report import report
from diffkit.core.bad import LISTED, BadSamples
from diffkit.core.data import Data, Scanned

SHOWN = 10
Split = Literal["train", "test"]


def check(cfg: DictConfig, scan: bool = True) -> None:
    """Print what a run would be made of; then read all of its data once, unless that is not wanted.

    The bad rows are listed in the folder `cfg.out`, where it is given. Raises `DiffkitError` for parts that cannot work
    together, and for data that training would refuse.
    """
    run = skeleton(cfg)
    print(report(cfg, run))
    if scan:
        _scan(run.parts.data, None if cfg.out is None else Path(cfg.out).expanduser())


def _scan(data: Data, out: Path | None) -> None:
    if not isinstance(data, Scanned):
        for split in get_args(Split):  # data in memory are checked whenever they are read
            data.reference(split)
        return
    bad = BadSamples(data.on_bad, data.total)
    console = Console(stderr=True)
    hidden = not sys.stderr.isatty()
    for found in track(data.scan(), "reading", data.total, console=console, transient=True, disable=hidden):
        if found is not None:
            bad.known[found.place] = found.fault
    print(f"{'rows':<12} {data.total:,} read, {len(bad.known):,} bad")
    for place, fault in list(bad.known.items())[:SHOWN]:
        print(f"  {place}: {fault}")
    if len(bad.known) > SHOWN:
        print(
            f"  and {len(bad.known) - SHOWN:,} more"
            + (f" (out=FOLDER lists them in its {LISTED})" if out is None else "")
        )
    if out is not None:
        bad.list(out)
    bad.refuse()
