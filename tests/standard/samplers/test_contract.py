"""Every registered sampler, in every form of it, against the contract of samplers.

In processes of its own, since checking the shapes of every call, as the tests' process does, takes four times as long;
without the figures that `diffkit verify` measures besides.
"""

import forks
import pytest

from diffkit.compose.registry import registry

SHARES = 4
PROVE = """
import sys
from diffkit.testing.kinds import Subject, prove
from diffkit.testing.report import chosen
for setting in chosen(sys.argv[1:]):
    prove(Subject(setting))
    print(setting)
"""


@pytest.mark.parametrize("share", range(SHARES))
def test_contract(share: int) -> None:
    words = [f"sampler={name}" for name in registry().names("sampler")[share::SHARES]]
    done = forks.run(["-c", PROVE, *words])
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(word in done.stdout for word in words)
