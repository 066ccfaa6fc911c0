"""The other implementations, with the little that it takes to load them here and to run them in float64."""

import importlib
import importlib.util
import inspect
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import torch

UNUSED = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchsde", "torchdiffeq")
"""What k-diffusion imports for other purposes than the samplers that are compared."""


def load(name: str, *modules: str) -> list[Any]:
    """Modules of an installed peer; without the peer, the tests that ask for it are skipped."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        pytest.skip(f"{name} is not installed: make test installs what parity is tested with", allow_module_level=True)
    with warnings.catch_warnings(), _stand_ins(name, list(spec.submodule_search_locations or [])):
        warnings.simplefilter("ignore")  # what other packages warn of while they load is theirs
        return [importlib.import_module(module) for module in modules]


@contextmanager
def _stand_ins(name: str, folders: list[str]) -> Iterator[None]:
    """k-diffusion's package loads everything that it has: a bare one is in its place, and others for what is unused."""
    absent: dict[str, Any] = {}
    if name == "k_diffusion":
        absent = {unused: mock.MagicMock() for unused in UNUSED if unused not in sys.modules}
        absent[name] = ModuleType(name)
        absent[name].__path__ = folders
    sys.modules.update(absent)
    try:
        yield
    finally:
        for stand_in in absent:
            del sys.modules[stand_in]


@contextmanager
def in_float64() -> Iterator[None]:
    """diffusers computes in `torch.float32` whatever it is given: the name stands for float64 in here."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch, "float32", torch.float64):
            yield
    finally:
        torch.set_default_dtype(usual)


def mended(method: Callable[..., Any], *mends: tuple[str, str]) -> Callable[..., Any]:
    """A peer's method with expressions replaced, each of which is there."""
    source = textwrap.dedent(inspect.getsource(method))
    for old, new in mends:
        assert old in source, f"{method.__qualname__} has changed: there is no {old!r} to mend"
        source = source.replace(old, new)
    names = dict(inspect.getmodule(method).__dict__)  # type: ignore[union-attr]
    exec(source, names)
    return names[method.__name__]  # type: ignore[no-any-return]
