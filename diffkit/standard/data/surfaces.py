r"""Points spread evenly over surfaces and along curves, as functions of uniform numbers.

Each function maps numbers `u` (m, n, 3) and proportions `v` (m, 2), all uniform on [0, 1), to n points on each of m
shapes that are 1 wide in x and y and stand upright, with the middle of their height at z = 0: (m, n, 3).
"""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

Surface = Callable[[Tensor, Tensor], Tensor]


def sphere(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    """A sphere: heights are uniform (Archimedes)."""
    z = 2 * u[..., 0] - 1
    return 0.5 * _round((1 - z.square()).sqrt(), u[..., 1], z)


def dome(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    """The upper half of a sphere, open below."""
    z = u[..., 0]
    return 0.5 * _round((1 - z.square()).sqrt(), u[..., 1], z - 0.5)


def box(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    """The six faces of a box 0.4 to 1 deep and 0.4 to 1.2 high."""
    sides = torch.stack([torch.ones(len(v)).to(v), 0.4 + 0.6 * v[:, 0], 0.4 + 0.8 * v[:, 1]], 1)
    areas = (sides.prod(1, keepdim=True) / sides).repeat(1, 2)
    face = _face(u[..., 2], areas)
    inside = torch.stack([u[..., 0], u[..., 0].where(face % 3 == 0, u[..., 1]), u[..., 1]], -1)  # two are needed
    flat = (face % 3)[..., None] == torch.arange(3)
    return torch.where(flat, (face >= 3)[..., None].to(u), inside).sub(0.5) * sides[:, None]


def cylinder(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    """The side, floor and lid of a cylinder 0.5 to 1.5 high."""
    height = 0.5 + v[:, :1]
    face = _face(u[..., 2], torch.cat([math.pi * height, torch.full((len(v), 2), math.pi / 4).to(v)], 1))
    radius = torch.where(face == 0, 0.5, 0.5 * u[..., 0].sqrt())
    z = torch.where(face == 0, u[..., 0], (face - 1).to(u))
    return _round(radius, u[..., 1], (z - 0.5) * height)


def cone(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    """The side and floor of a cone 0.5 to 1.5 high: from the top, areas grow with the square of the distance."""
    height = 0.5 + v[:, :1]
    side = math.pi / 2 * (0.25 + height.square()).sqrt()
    face = _face(u[..., 2], torch.cat([side, torch.full_like(side, math.pi / 4)], 1))
    down = u[..., 0].sqrt()
    z = torch.where(face == 0, 1 - down, 0.0)
    return _round(0.5 * down, u[..., 1], (z - 0.5) * height)


def pyramid(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    """The four sides and the floor of a pyramid 0.5 to 1.5 high."""
    height = 0.5 + v[:, :1]
    side = 0.5 * (0.25 + height.square()).sqrt()
    face = _face(u[..., 2], torch.cat([side.expand(-1, 4), torch.ones_like(side)], 1))
    down = torch.where(face == 4, 2 * u[..., 0] - 1, u[..., 0].sqrt())  # on the floor a coordinate of its own
    out = 0.5 * down
    along = torch.where(face == 4, 1.0, down) * (u[..., 1] - 0.5)
    turn = (face % 4).to(u) * (math.pi / 2)
    x, y = out * turn.cos() - along * turn.sin(), out * turn.sin() + along * turn.cos()
    z = torch.where(face == 4, 0.0, 1 - down)
    return torch.stack([x, y, (z - 0.5) * height], -1)


def torus(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    r"""A torus whose tube is 0.2 to 0.4 thick.

    Its element of area is $r (R + r \cos\phi)\,d\phi\,d\theta$: with $e = r/R$ the tube's angle solves
    $\phi + e \sin\phi = 2 \pi u$ (Kepler's equation).
    """
    tube = 0.1 + 0.1 * v[:, :1]
    middle = 0.5 - tube
    e, mean = tube / middle, 2 * math.pi * u[..., 0] - math.pi
    phi = mean.clone()
    for _ in range(12):  # e is at most 2/3: Newton's steps halve the error at least, and then square it
        phi = phi - (phi + e * phi.sin() - mean) / (1 + e * phi.cos())
    return _round(middle + tube * phi.cos(), u[..., 1], tube * phi.sin())


def helix(u: Float[Tensor, "m n 3"], v: Float[Tensor, "m 2"]) -> Float[Tensor, "m n 3"]:
    """A curve of 2 to 4 turns, 0.6 to 1.5 high, that climbs counterclockwise."""
    turns, height = 2 + 2 * v[:, :1], 0.6 + 0.9 * v[:, 1:]
    return _round(torch.full_like(u[..., 0], 0.5), turns * u[..., 0], (u[..., 0] - 0.5) * height)


SURFACES: Mapping[str, Surface] = {
    f.__name__: f for f in (sphere, dome, box, cylinder, cone, pyramid, torus, helix)
}  # fmt: skip


def _round(radius: Float[Tensor, "m n"], turn: Float[Tensor, "m n"], z: Float[Tensor, "m n"]) -> Tensor:
    """Points at a distance from the z axis and a height; `turn` counts whole turns about it."""
    angle = 2 * math.pi * turn
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)


def _face(u: Float[Tensor, "m n"], areas: Float[Tensor, "m k"]) -> Int[Tensor, "m n"]:
    """Which face a point lies on, each as likely as its share of the area."""
    edges = areas.cumsum(1) / areas.sum(1, keepdim=True)
    return torch.searchsorted(edges[:, :-1].contiguous(), u.contiguous(), right=True)
