"""Every registered sampler, in every form of it, against the contract of samplers: what `diffkit verify` says of it."""

import pytest

from diffkit.testing.report import Setting, chosen, verify


@pytest.mark.parametrize("setting", chosen(["sampler"]), ids=str)
def test_contract(setting: Setting) -> None:
    (row,) = verify([setting])
    assert row.verdict == "pass", row.sentence
