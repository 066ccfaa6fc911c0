"""The graph network over points: what turns, mirrors, moves or reorders them does so with the answer, to rounding."""

import math
from functools import partial

import pytest
import torch
from torch.nn.functional import silu

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.denoisers.egnn import Distance, Egnn, Graph
from diffkit.testing import check_denoiser

SPEC = ConditionSpec(5, 4, 2)
THERE = torch.tensor([[True] * 6, [True, False, True, True, False, False]])


def network(condition: ConditionSpec = SPEC, depth: int = 2) -> Egnn:
    """A small one whose output is not 0."""
    torch.manual_seed(0)
    made = Egnn((3, 6), condition, width=8, depth=depth, waves=3).double()
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return made


def told() -> Condition:
    torch.manual_seed(1)
    sequence, mask = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    return Condition(torch.randn(2, 5), sequence, mask, torch.randn(2, 2, 6), None).map(
        lambda a: a.double() if a.is_floating_point() else a
    )


@pytest.mark.parametrize("waves", [0, 2])
def test_it_keeps_the_contracts(waves: int) -> None:
    check_denoiser(partial(Egnn, width=8, depth=1, waves=waves), [(3, 6), (2, 5)], [ConditionSpec(), SPEC])


def test_only_sets_of_points_are_taken() -> None:
    with pytest.raises(DiffkitError, match=r"not on \(1, 8, 8\): choose denoiser=mlp"):
        Egnn((1, 8, 8), ConditionSpec())


@pytest.mark.parametrize("there", [None, THERE])
def test_it_is_equivariant_to_turns_mirrors_and_orders_and_sees_no_translation(there: torch.Tensor | None) -> None:
    f, c = network(), told()
    c = Condition(c.vector, c.sequence, c.mask, c.spatial, there)
    x, logsnr, order = torch.randn(2, 3, 6).double(), torch.tensor([-3.0, 5.0]), torch.tensor([3, 0, 5, 1, 4, 2])
    turn = torch.linalg.qr(torch.randn(2, 3, 3).double()).Q
    out = f(x, logsnr, c)
    assert out.abs().amax((1, 2)).min() > 0.1
    assert torch.allclose(f(turn @ x + 7, logsnr, c), turn @ out, atol=1e-10)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]).double())
    assert torch.allclose(f(mirror @ x, logsnr, c), mirror @ out, atol=1e-10)
    moved = Condition(
        c.vector, c.sequence, c.mask, told().spatial[..., order], None if there is None else there[:, order]
    )
    assert torch.allclose(f(x[..., order], logsnr, moved), out[..., order], atol=1e-10)
    assert torch.allclose(out.sum(2), torch.zeros(2, 3).double(), atol=1e-10)


def test_a_translation_of_the_ends_alone_is_seen() -> None:
    """Distances matter: two molecules of equal atoms and other bonds have other answers."""
    f, x = network(ConditionSpec()), torch.randn(1, 3, 6).double()
    stretched = x * torch.tensor([1.0, 1.0, 1.5]).double()[:, None]
    out, other = (f(a, torch.zeros(1), Condition()) for a in (x, stretched))
    assert (out - other).abs().amax(1).min() > 1e-3


def test_two_points_move_along_the_line_between_them_and_one_does_not() -> None:
    f = network(ConditionSpec())
    x = torch.randn(2, 3, 2).double()
    out = f(x, torch.zeros(2), Condition(present=torch.tensor([[True, True], [True, False]])))
    along = (x[0, :, 0] - x[0, :, 1]) / (x[0, :, 0] - x[0, :, 1]).norm()
    assert torch.allclose((out[0, :, 0] @ along) * along, out[0, :, 0], atol=1e-12) and out[0].abs().max() > 1e-3
    assert not out[1].any()


def test_the_features_of_a_distance() -> None:
    """Wavelengths 8, 4 and 2."""
    d = Distance(3)(torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    angles = [2 * math.pi * 5 / length for length in (8, 4, 2)]
    wanted = torch.tensor([5.0, *map(math.sin, angles), *map(math.cos, angles)])
    torch.testing.assert_close(d[0], wanted, atol=1e-5, rtol=0)


def test_pairs_are_all_ordered_ones_within_a_row() -> None:
    graph = Graph.of(THERE)
    assert graph.row.tolist() == [0] * 6 + [1] * 3 and graph.place.tolist() == [*range(6), 0, 2, 3]
    wanted = {(i, j) for k in (range(6), range(6, 9)) for i in k for j in k if i != j}
    found = list(zip(graph.i.tolist(), graph.j.tolist(), strict=True))
    assert set(found) == wanted and len(found) == len(wanted)


def test_a_block_is_what_its_docstring_says() -> None:
    """Written again point by point, for a row of three."""
    f, x = network(ConditionSpec(), depth=1), torch.randn(1, 3, 3).double()
    with torch.no_grad():
        out = f(x, torch.zeros(1), Condition())[0].T
        b, e = f.blocks[0], f.embedding(torch.zeros(1), Condition())[0]
        m = b.modulation(e).chunk(6)
        points = (x - x.mean(2, keepdim=True))[0].T
        h = f.first(f.distance(points))

        def normed(k: int) -> list[torch.Tensor]:
            rows = [(a - a.mean()) / (a.var(unbiased=False) + 1e-5).sqrt() for a in h]
            return [a * (1 + m[k]) + m[k + 1] for a in rows]

        def pair(layer: torch.nn.Module, u: list[torch.Tensor], i: int, j: int) -> torch.Tensor:
            told = f.distance((points[i] - points[j])[None])[0]
            return silu(layer.here(u[i]) + layer.other(u[j]) + layer.distance(told))

        u, others = normed(0), [[j for j in range(3) if j != i] for i in range(3)]
        messages = [[b.again(pair(b.message, u, i, j)) for j in others[i]] for i in range(3)]
        h = h + torch.stack([b.out(sum(b.gate(a) * a for a in row)) for row in messages])
        h = h + b.feed_forward(torch.stack(normed(2)))
        u, moved = normed(4), points.clone()
        for i in range(3):
            for j in others[i]:
                apart = points[i] - points[j]
                moved[i] += b.weight(pair(b.pull, u, i, j)) * apart / (1 + apart.norm())
        wanted = moved - points
    assert torch.allclose(out, wanted - wanted.mean(0), atol=1e-9)
