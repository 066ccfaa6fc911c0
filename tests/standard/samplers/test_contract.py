"""Every registered sampler, in every form of it, against the contract of samplers: what `diffkit verify` says of it.

In processes of its own, since checking the shapes of every call, as the tests' process does, takes four times as long.
"""

import os
import subprocess
import sys

import pytest

from diffkit.compose.registry import registry

SHARES = 4


@pytest.mark.parametrize("share", range(SHARES))
def test_contract(share: int) -> None:
    words = [f"sampler={name}" for name in registry().names("sampler")[share::SHARES]]
    command = [sys.executable, "-m", "diffkit.cli", "verify", *words]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in words)
