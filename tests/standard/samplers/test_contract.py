"""Every registered sampler, in every form of it, against the contract of samplers: what `diffkit verify` says of it.

In processes of its own, since checking the shapes of every call, as the tests' process does, takes four times as long.
"""

import forks
import pytest

from diffkit.compose.registry import registry

SHARES = 4


@pytest.mark.parametrize("share", range(SHARES))
def test_contract(share: int) -> None:
    words = [f"sampler={name}" for name in registry().names("sampler")[share::SHARES]]
    done = forks.run(["-m", "diffkit.cli", "verify", *words])
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in words)
