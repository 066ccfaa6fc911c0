"""The pytest plugin: `pytest --diffkit-plugin my_sampler` holds a plugin's parts against their contracts.

Of diffkit it imports what it needs when the option is used, and not before.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from diffkit.testing.settings import Setting


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--diffkit-plugin`."""
    parser.getgroup("diffkit").addoption(
        "--diffkit-plugin",
        action="append",
        default=[],
        metavar="PLUGIN",
        help="hold the parts of an installed diffkit plugin (its name or its distribution's), or of one that is a file "
        "(./mine.py), against the contracts of their kinds; may be given several times",
    )


@pytest.hookimpl(tryfirst=True)  # before -k chooses among them
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each part, setting and contract of the plugins that were asked for."""
    words = config.getoption("--diffkit-plugin")
    if words:
        from diffkit.core.errors import DiffkitError

        try:
            for word in dict.fromkeys(words):
                items.extend(_items(session, word))
        except DiffkitError as error:
            raise pytest.UsageError(f"--diffkit-plugin {word}: {error}") from None


def _items(session: pytest.Session, word: str) -> Iterator[pytest.Item]:
    from diffkit.testing.collect import parts_of, plugins_of

    found = plugins_of(word)

    import torch

    torch.set_num_threads(1)  # the tensors are small: threads would only wait for each other
    for plugin in found:
        for name, setting in parts_of(plugin):
            yield from session.genitems(PartCollector.from_parent(session, name=name, nodeid=name, setting=setting))


class PartCollector(pytest.Collector):
    """A part in one setting."""

    def __init__(self, *, setting: "Setting", **given: Any) -> None:
        super().__init__(**given)
        self.setting = setting

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """An item for each contract."""
        from diffkit.testing.kinds import Subject

        contracts = Subject(self.setting).contracts
        return [ContractItem.from_parent(self, name=name, setting=self.setting) for name in contracts]


class ContractItem(pytest.Item):
    """One contract of one part in one setting."""

    def __init__(self, *, setting: "Setting", **given: Any) -> None:
        super().__init__(**given)
        self.setting = setting

    def runtest(self) -> None:
        """Hold the part against the contract; what cannot be proven is skipped, and so is what `builds` says."""
        from diffkit.testing.given import Unproven
        from diffkit.testing.kinds import NotBuilt, Subject

        try:
            Subject(self.setting).check(self.name)
        except Unproven as error:
            pytest.skip(str(error))
        except NotBuilt as error:
            if self.name == "builds":
                raise
            pytest.skip(f"it cannot be built, as builds says: {error}")

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """The id as the headline of a failure."""
        return self.path, None, self.nodeid

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What broke, and the sentence of the contract; with --full-trace the traceback."""
        if self.config.getoption("fulltrace"):
            return super().repr_failure(excinfo, style)
        from diffkit.testing.kinds import Subject, explain

        return explain(excinfo.value, self.name, Subject(self.setting).contracts[self.name])
