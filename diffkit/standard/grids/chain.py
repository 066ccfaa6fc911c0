"""The steps of a discrete chain: where a model that was trained on them alone may be asked."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.standard.grids.span import start


def on_chain(times: Float[Tensor, " n"], schedule: Schedule, chain: int | None) -> Float[Tensor, " n"]:
    r"""The nearest steps of a chain, the times $i / \mathrm{chain}$, falling strictly; or `times` where there is none.

    Where two times are nearest to one step, the later of them moves on. A step that is noise alone stands at a
    log-SNR of -20, as it does for the network. Raises `DiffkitError` if the chain has too few steps.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models.
    """
    if chain is None:
        return times
    n, end = len(times) - 1, start(schedule, -LOGSNR_LIMIT)
    last = math.ceil(end * chain)
    if n > last:
        beyond = "" if last == chain else f", {last} of them before the log-SNR of {schedule} falls below -20"
        raise DiffkitError(
            f"the grid asks for {n} steps on a chain of {chain}{beyond}; set grid.steps to at most {last}, or "
            "grid.chain to the number of steps the model was trained on"
        )
    k = torch.arange(n + 1)
    # falling strictly is the same as i + k not rising; then n is what it ends at, so that i ends at 0
    steps = ((times * chain).round().long() + k).cummin(0).values.clamp(n, last) - k
    return (steps.double() / chain).clamp(max=end)
