"""Building blocks of the training objects: closed solids with a name for each part, united by manifold3d.

Lengths are in centimetres here; a finished `Shape` is in metres. Up is +z.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manifold3d import Manifold

#: points of two or three numbers, centimetres
Points: TypeAlias = "Sequence[Sequence[float]] | np.ndarray"
#: a few numbers, centimetres
Vector: TypeAlias = "Sequence[float] | np.ndarray"


@dataclass(frozen=True)
class Shape:
    """A training object.

    Attributes:
        vertices: (V, 3) float64 metres.
        faces: (F, 3) int64, outward, closed.
        part: (F,) int64 index into `names`.
        names: of the parts (`core.grasps.intents`).
        types: grasp types with which a person uses it; empty where any will do.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    names: tuple[str, ...]
    types: tuple[str, ...] = ()


@dataclass
class Assembly:
    """Named solids on their way to one surface; a part added later wins where two share a surface.

    Attributes:
        types: grasp types with which a person uses the thing; empty where any will do.
        parts: name and solid of each.
        holes: solids that are cut out of everything.
    """

    types: tuple[str, ...] = ()
    parts: list[tuple[str, Manifold]] = field(default_factory=list)
    holes: list[Manifold] = field(default_factory=list)

    def add(self, name: str, *solids: Manifold) -> Assembly:
        """Adds solids as one part."""
        self.parts.append((name, united(*solids).as_original()))
        return self

    def cut(self, *solids: Manifold) -> Assembly:
        """Takes solids away from everything; the cut surface belongs to the part it was cut from."""
        self.holes += solids
        return self

    def shape(self) -> Shape:
        """The united surface.

        Raises:
            ValueError: nothing is left, or the parts do not hang together.
        """
        cut = united(*self.holes) if self.holes else None
        pieces = []
        for name, solid in self.parts:
            rest = (solid - cut).as_original() if cut is not None else solid
            pieces.append((name, rest))
        whole = united(*(solid for _, solid in pieces))
        if whole.is_empty():
            raise ValueError("the parts leave nothing")
        if len([piece for piece in whole.decompose() if piece.volume() > 1e-3 * whole.volume()]) != 1:
            raise ValueError("the parts do not hang together")
        mesh = whole.to_mesh()
        names = tuple(dict.fromkeys(name for name, _ in pieces))
        owner = {solid.original_id(): names.index(name) for name, solid in pieces}
        part = np.zeros(len(mesh.tri_verts), np.int64)
        runs = [int(index) // 3 for index in mesh.run_index]
        for start, end, original in zip(runs[:-1], runs[1:], mesh.run_original_id, strict=True):
            part[start:end] = owner[int(original)]
        vertices = np.asarray(mesh.vert_properties, np.float64)[:, :3] / 100
        return Shape(vertices, np.asarray(mesh.tri_verts, np.int64), part, names, self.types)


def united(*solids: Manifold) -> Manifold:
    """The union; one solid comes back as it is."""
    from manifold3d import Manifold, OpType

    return solids[0] if len(solids) == 1 else Manifold.batch_boolean(list(solids), OpType.Add)


def smooth(points: Points, count: int = 24) -> np.ndarray:
    """(count, D) points of a curve without overshoot through the (N, D) ones given."""
    from scipy.interpolate import PchipInterpolator

    knots = np.asarray(points, float)
    steps = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    return PchipInterpolator(along, knots)(np.linspace(0, along[-1], count))


def lathe(profile: Points, segments: int = 48) -> Manifold:
    """A (N, 2) profile of (radius, height), closed along the axis, turned about z in `segments` steps."""
    from manifold3d import CrossSection, FillRule, Manifold

    outline = np.asarray(profile, float)
    outline = np.concatenate([[[0, outline[0, 1]]], outline, [[0, outline[-1, 1]]]])
    return Manifold.revolve(CrossSection([outline], FillRule.NonZero), segments)


def hollow(profile: Points, wall: float, floor: float, segments: int = 48) -> Manifold:
    """An open vessel: the profile's outside, less the same `wall` farther in and `floor` higher."""
    outer = np.asarray(profile, float)
    bottom, top = outer[0, 1] + floor, outer[-1, 1]
    heights = np.linspace(bottom, top, max(8, len(outer)))
    slope = np.gradient(np.interp(heights, outer[:, 1], outer[:, 0]), heights)
    radius = np.interp(heights, outer[:, 1], outer[:, 0]) - wall * np.sqrt(1 + slope.clip(-4, 4) ** 2)
    inner = np.stack([radius.clip(0.05), heights], 1)
    inner[-1, 1] = top + 0.5
    return lathe(outer, segments) - lathe(inner, segments)


def extrude(outline: Points, height: float, scale_top: float = 1.0) -> Manifold:
    """A (N, 2) outline in the plane z = 0 drawn up by `height`."""
    from manifold3d import CrossSection, FillRule, Manifold

    section = CrossSection([np.asarray(outline, float)], FillRule.NonZero)
    return Manifold.extrude(section, height, scale_top=(scale_top, scale_top))


def box(size: Vector, rounding: float = 0.0, segments: int = 12) -> Manifold:
    """A box about the origin, its edges rounded."""
    from manifold3d import Manifold

    half = np.asarray(size, float) / 2
    rounding = min(rounding, 0.98 * half.min())
    if rounding <= 0:
        return Manifold.cube(list(2 * half), True)
    ball = Manifold.sphere(rounding, segments)
    corners = [(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    return Manifold.batch_hull([ball.translate(list((half - rounding) * corner)) for corner in corners])


def ellipsoid(radii: Vector, segments: int = 40) -> Manifold:
    """An ellipsoid about the origin."""
    from manifold3d import Manifold

    return Manifold.sphere(1.0, segments).scale(list(map(float, radii)))


def capsule(start: Sequence[float], end: Sequence[float], radius: float, end_radius: float | None = None) -> Manifold:
    """The hull of two balls."""
    from manifold3d import Manifold

    last = radius if end_radius is None else end_radius
    return Manifold.batch_hull([Manifold.sphere(r, 20).translate(list(map(float, at)))
                                for at, r in ((start, radius), (end, last))])


def superquadric(radii: Vector, e1: float, e2: float, segments: int = 44) -> Manifold:
    """Barr's superellipsoid (1981).

    Args:
        radii: along x, y, z.
        e1: exponent along z: 1 gives an ellipsoid, near 0 a box, near 2 a diamond.
        e2: exponent around z.
        segments: of the sphere that is deformed.
    """
    from manifold3d import Manifold

    def bent(points: np.ndarray) -> np.ndarray:
        theta = np.arcsin(points[:, 2].clip(-1, 1))
        phi = np.arctan2(points[:, 1], points[:, 0])

        def power(base: np.ndarray, exponent: float) -> np.ndarray:
            return np.sign(base) * np.abs(base) ** exponent

        ring = power(np.cos(theta), e1)
        unit = np.stack([ring * power(np.cos(phi), e2), ring * power(np.sin(phi), e2), power(np.sin(theta), e1)], 1)
        return unit * np.asarray(radii, float)

    return Manifold.sphere(1.0, segments).warp_batch(bent)


def sweep(path: Points, widths: Points | float, up: Sequence[float] = (0, 0, 1), closed: bool = False,
          sides: int = 16) -> Manifold:
    """An elliptic tube along a (N, 3) path.

    Args:
        path: (N, 3).
        widths: radius, or (N, 2) half widths across: first at right angles to `up`, then along it.
        up: a direction that is never along the path.
        closed: the path is a ring.
        sides: of the tube.

    Raises:
        ValueError: the tube meets itself.
    """
    from manifold3d import Manifold, Mesh

    path = np.asarray(path, float)
    count = len(path)
    half = np.broadcast_to(np.asarray(widths, float).reshape(-1, 1) if np.ndim(widths) < 2 else widths, (count, 2))
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.cross(ahead, np.asarray(up, float))
    side = side / np.linalg.norm(side, axis=1, keepdims=True)
    rise = np.cross(side, ahead)
    angle = np.arange(sides) * 2 * np.pi / sides
    rings = (path[:, None] + half[:, :1, None] * np.cos(angle)[None, :, None] * side[:, None]
             + half[:, 1:, None] * np.sin(angle)[None, :, None] * rise[:, None])
    vertices = rings.reshape(-1, 3)
    here = np.arange(count if closed else count - 1)
    faces = []
    for k in range(sides):
        a, b = here * sides + k, here * sides + (k + 1) % sides
        c, d = (here + 1) % count * sides + k, (here + 1) % count * sides + (k + 1) % sides
        faces += [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    if not closed:
        vertices = np.concatenate([vertices, path[:1], path[-1:]])
        low, high, last = count * sides, count * sides + 1, (count - 1) * sides
        around = np.arange(sides)
        faces += [np.stack([np.full(sides, low), around, (around + 1) % sides], 1),
                  np.stack([np.full(sides, high), last + (around + 1) % sides, last + around], 1)]
    triangles = np.concatenate(faces)
    corner = vertices[triangles]
    if np.einsum("ij,ij->", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])) < 0:
        triangles = triangles[:, ::-1]
    solid = Manifold(Mesh(vertices.astype(np.float32), np.ascontiguousarray(triangles.astype(np.uint32))))
    if solid.is_empty():
        raise ValueError(f"the tube is not closed: {solid.status()}")
    return solid


def arc(centre: Sequence[float], radii: Sequence[float], start: float, end: float, count: int = 24) -> np.ndarray:
    """(count, 3) points of an elliptic arc in the plane of x and z, angles in degrees from +x towards +z."""
    angle = np.radians(np.linspace(start, end, count))
    x, y, z = centre
    return np.stack([x + radii[0] * np.cos(angle), np.full(count, float(y)), z + radii[1] * np.sin(angle)], 1)


def oval(width: float, height: float, power: float = 2.0, count: int = 40) -> np.ndarray:
    """(count, 2) a superellipse outline, counter-clockwise."""
    angle = np.arange(count) * 2 * np.pi / count
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([width / 2 * np.sign(c) * np.abs(c) ** (2 / power),
                     height / 2 * np.sign(s) * np.abs(s) ** (2 / power)], 1)
