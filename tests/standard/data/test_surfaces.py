"""Points on surfaces: they lie there, and are spread evenly over the area, by its element in closed form."""

import math

import pytest
import torch
from torch import Tensor

from diffkit.standard.data.surfaces import SURFACES, _face

POINTS = 20_000
V = torch.tensor([[0.3, 0.7]], dtype=torch.float64)
TALL = 0.5 + 0.3
"""The height of a cylinder, a cone and a pyramid of these proportions."""


def points(name: str) -> tuple[Tensor, Tensor, Tensor]:
    u = torch.rand(1, POINTS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, y, z = SURFACES[name](u, V)[0].T
    return x, y, z


def is_uniform(values: Tensor, low: float = 0.0, high: float = 1.0) -> None:
    """Kolmogorov's test, at a level of 0.1 %."""
    there = ((values - low) / (high - low)).sort().values
    assert there[0] > -1e-9
    assert there[-1] < 1 + 1e-9
    steps = (torch.arange(len(there), dtype=torch.float64) + 0.5) / len(there)
    assert (there - steps).abs().max() < 1.95 / math.sqrt(len(there))


def is_share(there: Tensor, share: float) -> None:
    """A face has its share of the points, to 4 standard deviations."""
    assert abs(there.double().mean() - share) < 4 * math.sqrt(share * (1 - share) / POINTS)


@pytest.mark.parametrize(("name", "low"), [("sphere", -0.5), ("dome", 0.0)])
def test_heights_on_a_sphere_are_uniform(name: str, low: float) -> None:
    x, y, z = points(name)
    z = z + (0.25 if name == "dome" else 0)
    assert torch.allclose(x.square() + y.square() + z.square(), torch.tensor(0.25, dtype=z.dtype))
    is_uniform(z, low, 0.5)
    is_uniform(torch.atan2(y, x), -math.pi, math.pi)


def test_each_face_of_a_box_has_its_share_and_is_covered_evenly() -> None:
    at = torch.stack(points("box"))
    sides = (1.0, 0.4 + 0.6 * 0.3, 0.4 + 0.8 * 0.7)
    whole = 2 * sum(math.prod(sides) / side for side in sides)
    for axis, side in enumerate(sides):
        for end in (-0.5, 0.5):
            on = at[axis] == end * side
            is_share(on, math.prod(sides) / side / whole)
            a, b = (at[other][on] / sides[other] for other in range(3) if other != axis)
            is_uniform(a, -0.5, 0.5)
            is_uniform(b, -0.5, 0.5)
            assert abs((a * b).mean()) < 4 / 12 / math.sqrt(len(a))


def test_a_cylinder() -> None:
    x, y, z = points("cylinder")
    rho, side = x.hypot(y), z.abs() < TALL / 2 - 1e-9
    is_share(side, math.pi * TALL / (math.pi * TALL + math.pi / 2))
    assert torch.allclose(rho[side], torch.tensor(0.5, dtype=z.dtype))
    is_uniform(z[side], -TALL / 2, TALL / 2)
    is_uniform(4 * rho[z > TALL / 2 - 1e-9].square())
    is_share(z > TALL / 2 - 1e-9, math.pi / 4 / (math.pi * TALL + math.pi / 2))


def test_a_cone() -> None:
    x, y, z = points("cone")
    rho, side = x.hypot(y), z > -TALL / 2 + 1e-9
    is_share(side, 0.5 * math.hypot(0.5, TALL) / (0.5 * math.hypot(0.5, TALL) + 0.25))
    assert torch.allclose(rho[side], 0.5 * (0.5 - z[side] / TALL))
    for part in (side, ~side):
        is_uniform(4 * rho[part].square())
        is_uniform(torch.atan2(y, x)[part], -math.pi, math.pi)


def test_a_pyramid() -> None:
    x, y, z = points("pyramid")
    floor = z < -TALL / 2 + 1e-9
    is_share(floor, 1 / (1 + 2 * math.hypot(0.5, TALL)))
    out = torch.maximum(x.abs(), y.abs())
    assert torch.allclose(out[~floor], 0.5 * (0.5 - z[~floor] / TALL))
    for part in (floor, ~floor):
        is_uniform(4 * out[part].square())
        is_uniform(torch.minimum(x.abs(), y.abs())[part] / out[part])
    for of in (x, -x, y, -y):
        is_share((of == out) & ~floor, math.hypot(0.5, TALL) / 2 / (1 + 2 * math.hypot(0.5, TALL)))
    is_uniform(x[floor], -0.5, 0.5)
    assert abs((x * y)[floor].mean()) < 4 / 12 / math.sqrt(int(floor.sum()))


def test_a_tube_has_more_points_on_its_outer_side() -> None:
    x, y, z = points("torus")
    tube = 0.1 + 0.1 * 0.3
    middle, rho = 0.5 - tube, x.hypot(y)
    assert torch.allclose((rho - middle).square() + z.square(), torch.tensor(tube**2, dtype=z.dtype))
    phi = torch.atan2(z, rho - middle)
    is_uniform(phi + tube / middle * phi.sin(), -math.pi, math.pi)
    is_share(rho > middle, 0.5 + tube / middle / math.pi)
    is_uniform(torch.atan2(y, x), -math.pi, math.pi)


def test_the_thickest_tube_is_solved_too() -> None:
    u = torch.linspace(0, 1, 1001, dtype=torch.float64).reshape(1, -1, 1).expand(-1, -1, 3)
    x, y, z = SURFACES["torus"](u, torch.ones(1, 2, dtype=torch.float64))[0].T
    phi = torch.atan2(z, x.hypot(y) - 0.3)[1:-1]
    assert torch.allclose(phi + 2 / 3 * phi.sin(), 2 * math.pi * u[0, 1:-1, 0] - math.pi)


def test_a_helix_climbs_evenly() -> None:
    x, y, z = points("helix")
    turns, height = 2 + 2 * 0.3, 0.6 + 0.9 * 0.7
    is_uniform(z, -height / 2, height / 2)
    angle = 2 * math.pi * turns * (z / height + 0.5)
    assert torch.allclose(torch.stack([x, y]), 0.5 * torch.stack([angle.cos(), angle.sin()]))


def test_a_face_of_no_area_is_never_chosen() -> None:
    face = _face(torch.tensor([[0.0, 0.5, 0.99]]), torch.tensor([[0.0, 2.0, 2.0, 0.0]]))
    assert face.tolist() == [[1, 2, 2]]
