"""Whether saved tensors are those that are wanted: told before any of them is loaded."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import SGD, Adam, Optimizer, RMSprop


def misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """How tensors differ from those wanted, by name, shape and dtype, the first five of each; empty if they fit."""
    missing, extra = wanted.keys() - given.keys(), given.keys() - wanted.keys()
    other = [
        f"{name}: {_kind(given[name])} for {_plain(a)}"
        for name, a in wanted.items()
        if name in given and _kind(given[name]) != _plain(a)
    ]
    faults = [f"missing {', '.join(sorted(missing)[:5])}"] if missing else []
    faults += [f"unknown {', '.join(sorted(extra)[:5])}"] if extra else []
    faults += [f"wrong shape or dtype {', '.join(other[:5])}"] if other else []
    return "; ".join(faults)


def optimizer_misfits(optimizer: Optimizer, saved: Any) -> str:
    """The same of an optimizer's state, by the number of its parameter.

    What it keeps is known of those whose every tensor is like its parameter; of others the parameters are counted.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    try:
        count = [len(group["params"]) for group in saved["param_groups"]]
        state = {(i, name): a for i, entry in saved["state"].items() for name, a in entry.items()}
    except (TypeError, KeyError, AttributeError):
        return "the optimizer's state is none"
    if count != [len(group["params"]) for group in optimizer.param_groups]:
        return f"the optimizer's state is of {sum(count)} parameters for {len(parameters)}"
    if not isinstance(optimizer, Adam | SGD | RMSprop):
        return ""
    arrays = {key: a for key, a in state.items() if isinstance(a, Tensor) and a.ndim}
    extra = {key: a for key, a in arrays.items() if key[0] not in range(len(parameters))}
    wanted = {key: parameters[key[0]] for key in arrays if key not in extra}
    faults = misfits(*({f"{name} of {i}": a for (i, name), a in tensors.items()} for tensors in (wanted, arrays)))
    return f"of the optimizer's state {faults}" if faults else ""


def _kind(a: Any) -> str:
    """A tensor's dtype and shape, and where it is no ordinary one; what else stands in its place."""
    if not isinstance(a, Tensor):
        return f"a {type(a).__name__}"
    return f"{_plain(a)}{' without values' if a.is_meta else ' sparse' if a.is_sparse else ''}"


def _plain(a: Tensor) -> str:
    return f"{str(a.dtype).removeprefix('torch.')} {list(a.shape)}"
