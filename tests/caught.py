"""How the tests of contracts say what must be said of a slip."""

from collections.abc import Callable

import pytest


def caught(check: Callable[[], object], contract: str, message: str) -> None:
    """The named contract is the one that is broken, and says this."""
    with pytest.raises(AssertionError, match=message) as found:
        check()
    assert found.value.__notes__[0].startswith(f"The contract {contract!r}: ")
