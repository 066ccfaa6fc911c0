"""Every registered sampler, and every form of the standard ones, against the contract of samplers."""

import pytest
from parts import SCHEDULES, every

from diffkit.core.sampler import Sampler
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.schedules import Edm, Flow
from diffkit.testing.contracts import check_sampler


@pytest.mark.parametrize("sampler", [*every("sampler"), Ddpm("large"), Ddim(0.5), Ddim(1.0)])
def test_contract(sampler: Sampler) -> None:
    check_sampler(sampler, [*SCHEDULES, Flow(3.0), Edm(1e3)])
