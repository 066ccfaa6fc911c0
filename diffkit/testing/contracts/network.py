"""Contracts of denoiser networks, conditioners and guidances."""

import torch
from torch import Tensor

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.guidance import Branches, Guidance
from diffkit.core.types import Batch, Shape
from diffkit.testing.contracts.require import require, require_close


def some_condition(spec: ConditionSpec, rows: int, size: tuple[int, ...] = (), tokens: int = 3) -> Condition:
    """A random condition that fills the slots of `spec`; the last row's last token is padding."""
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    mask[-1, -1] = False
    return Condition(
        None if spec.vector is None else torch.randn(rows, spec.vector),
        None if spec.sequence is None else torch.randn(rows, tokens, spec.sequence),
        None if spec.sequence is None else mask,
        None if spec.spatial is None else torch.randn(rows, spec.spatial, *size),
    )


def check_denoiser(network: DenoiserNetwork, shape: Shape, condition: ConditionSpec) -> None:
    """Shape, finite values, rows apart, every input and condition matters, every parameter has a gradient.

    The parameters are moved a little at random first, since many networks start with an output of zero.
    """
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    x, logsnr = torch.randn(4, *shape), torch.linspace(-20, 20, 4)
    told = some_condition(condition, 4, shape[1:])
    out = network(x, logsnr, told)
    require(out.shape == x.shape, network, f"the output is {tuple(out.shape)}, the input {tuple(x.shape)}")
    require(bool(torch.isfinite(out).all()), network, "the output is not finite")
    first = network(x[:1], logsnr[:1], told.map(lambda a: a[:1]))
    require_close(network, "a row by itself, against the same row of a batch,", first, out[:1], 1e-4)
    _moves(network, "the log-SNR", out, network(x, logsnr + 5, told))
    _moves(network, "x", out, network(x + 0.5, logsnr, told))
    for slot in ("vector", "sequence", "spatial"):
        if getattr(condition, slot) is not None:
            other = Condition(**{**vars(told), slot: getattr(told, slot) + 1})
            _moves(network, f"the condition's {slot}", out, network(x, logsnr, other))
    out.square().sum().backward()
    lost = [name for name, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    require(not lost, network.__class__.__name__, f"no gradient reaches {', '.join(lost)}")
    network.zero_grad()


def _moves(network: DenoiserNetwork, what: str, a: Tensor, b: Tensor) -> None:
    require(not torch.allclose(a, b, atol=1e-7), network.__class__.__name__, f"{what} does not matter")


def check_conditioner(conditioner: Conditioner, batch: Batch) -> None:
    """Fills the slots it declares, with the widths it declares; a row does not depend on the rows beside it."""
    conditioner.eval()
    rows = len(batch[conditioner.key])
    told, spec, name = conditioner(batch), conditioner.spec, conditioner.__class__.__name__
    for slot, axis in (("vector", -1), ("sequence", -1), ("spatial", 1)):
        declared, got = getattr(spec, slot), getattr(told, slot)
        width = None if got is None else got.shape[axis]
        require(width == declared, name, f"the width of the slot {slot} is {width}, declared {declared}")
        require(got is None or len(got) == rows, name, f"{0 if got is None else len(got)} rows of {rows} in {slot}")
    require((told.mask is None) == (told.sequence is None), name, "a sequence and its mask come together")
    alone = conditioner({conditioner.key: batch[conditioner.key][:1]})
    for slot in ("vector", "spatial"):
        if getattr(told, slot) is not None:
            require_close(name, f"{slot} of a row by itself", getattr(alone, slot), getattr(told, slot)[:1], 1e-5)
    if told.sequence is not None and told.mask is not None:
        tokens = alone.sequence[alone.mask]
        require_close(name, "the tokens of a row by itself", tokens, told.sequence[:1][told.mask[:1]], 1e-5)


def check_guidance(guidance: Guidance, off: Guidance | None = None) -> None:
    """Answers like `x_t`, the same twice, writes into nothing; `off` returns the denoiser itself."""

    def model(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        assert condition.vector is not None
        return (x_t + condition.vector) / (1 + t)

    told, null = Condition(torch.randn(3, 2)), Condition(torch.zeros(3, 2))
    x_t, t = torch.randn(3, 2), torch.tensor(0.5, dtype=torch.float64)
    before = x_t.clone()
    branches = Branches(model, null)
    guided = guidance(branches, branches)
    first = guided(x_t, t, told)
    require(bool((x_t == before).all()), guidance, "x_t was written into")
    second = guided(x_t.clone(), t, told)
    require(first.shape == x_t.shape, guidance, f"the answer is {tuple(first.shape)} for {tuple(x_t.shape)}")
    require_close(guidance, "the same question asked again", second, first, 0.0)
    if off is not None:
        require(off(branches, branches) is branches, off, "is off, and does not return the denoiser itself")
