"""Thin places that hands grasp: the rims of walls, and rods and handles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from core.objects.grasp_object import GraspObject
    from core.objects.mesh_query import ExactSurface

#: metres, thickness of the thickest wall
WALL: Final = 0.008
#: metres, width of the widest rod
ROD: Final = 0.045
#: a rod is longer than this many widths, along straight lines inside it
SLENDER: Final = 1.8


@dataclass(frozen=True)
class RimPoints:
    """Places where a wall ends (N of them), object frame, metres.

    Attributes:
        points: (N, 3) on the edge.
        outward: (N, 3) unit, along the wall's middle plane, away from the wall.
        tangent: (N, 3) unit, along the edge.
        across: (N, 3) unit, through the wall; across = outward x tangent up to sign.
        thickness: (N,) of the wall.
    """

    points: torch.Tensor
    outward: torch.Tensor
    tangent: torch.Tensor
    across: torch.Tensor
    thickness: torch.Tensor

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class RodPoints:
    """Places on parts that are thin in two directions (N of them), object frame, metres.

    Attributes:
        points: (N, 3) the middle of the cross-section.
        axis: (N, 3) unit, along the part (either way).
        radius: (N, 2) smallest and largest half width of the cross-section.
        length: (N,) of the straight line along the axis inside the part.
        inner: (N, 3) unit, perpendicular to the axis, towards another part of the object across free
            space (a handle's hole); zero where there is none.
        gap: (N,) width of that free space; inf where there is none.
    """

    points: torch.Tensor
    axis: torch.Tensor
    radius: torch.Tensor
    length: torch.Tensor
    inner: torch.Tensor
    gap: torch.Tensor

    def __len__(self) -> int:
        return len(self.points)


def rims(obj: GraspObject, count: int, generator: torch.Generator) -> RimPoints:
    """Places on the rims of walls thinner than 8 mm, drawn at random.

    The middles of the wall under the object's points form a sheet; where all neighbours lie on one
    side the sheet ends, and a ray inside the wall finds the edge itself.

    Args:
        obj: the object.
        count: how many places at most.
        generator: of the draw, on the CPU.
    """
    from scipy.spatial import cKDTree

    width = obj.thickness.cpu().double().numpy()
    thin = np.flatnonzero(width < WALL)
    if len(thin) < 8:
        return RimPoints(*_tensors(np.zeros((0, 3)), *(np.zeros((0, 3)),) * 3, np.zeros(0), like=obj.points))
    normal = obj.normals.cpu().double().numpy()[thin]
    width = width[thin]
    middle = obj.points.cpu().double().numpy()[thin] - normal * width[:, None] / 2
    # Wide enough to hold about forty neighbours, however large the object is.
    reach = float(np.clip(np.sqrt(40 * obj.area / len(obj.points) / np.pi / 2), 0.006, 0.025))
    pairs = cKDTree(middle).query_pairs(reach, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    parallel = np.abs((normal[both[:, 0]] * normal[both[:, 1]]).sum(1)) > 0.7
    both = both[parallel]
    offset = middle[both[:, 1]] - middle[both[:, 0]]
    mean = np.stack([np.bincount(both[:, 0], weights=offset[:, i], minlength=len(thin)) for i in range(3)], 1)
    number = np.bincount(both[:, 0], minlength=len(thin))
    mean = mean / np.maximum(number, 1)[:, None]  # bincount of no pairs gives integers
    mean -= (mean * normal).sum(1, keepdims=True) * normal
    lopsided = np.linalg.norm(mean, axis=1)
    rows = np.flatnonzero((number >= 6) & (lopsided > 0.22 * reach))
    outward = -mean[rows] / lopsided[rows, None]
    rows, outward = _smoothed(middle, normal, rows, outward, reach)
    length, _ = obj.surface.first_hit(middle[rows], outward)
    ends = length < reach
    rows, outward, length = rows[ends], outward[ends], length[ends]
    edge = middle[rows] + outward * length[:, None]
    free = ~_leaves_plane(obj, edge, normal[rows], width[rows], reach)
    for step in (0.004, 0.012):
        beyond = torch.from_numpy(edge + outward * step).to(obj.points)
        free &= obj.grid.query(beyond)[0].cpu().numpy() > 0.6 * step
    rows, outward, edge = rows[free], outward[free], edge[free]
    chosen = torch.randperm(len(rows), generator=generator)[:count].numpy()
    rows, outward, edge = rows[chosen], outward[chosen], edge[chosen]
    across = normal[rows]
    return RimPoints(
        *_tensors(edge, outward, np.cross(across, outward), across, width[rows], like=obj.points)
    )


def _smoothed(
    middle: np.ndarray, normal: np.ndarray, rows: np.ndarray, outward: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (M,) and their outward directions (M, 3), averaged over rim neighbours."""
    from scipy.spatial import cKDTree

    if not len(rows):
        return rows, outward
    pairs = cKDTree(middle[rows]).query_pairs(reach, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[(outward[both[:, 0]] * outward[both[:, 1]]).sum(1) > 0]
    mean = outward.copy()
    np.add.at(mean, both[:, 0], outward[both[:, 1]])
    mean -= (mean * normal[rows]).sum(1, keepdims=True) * normal[rows]
    length = np.linalg.norm(mean, axis=1)
    kept = length > 1e-6
    return rows[kept], mean[kept] / length[kept, None]


def _leaves_plane(
    obj: GraspObject, edge: np.ndarray, normal: np.ndarray, width: np.ndarray, reach: float
) -> np.ndarray:
    """(N,) bool: at the edge (N, 3) the surface leaves the wall's plane; a cup's foot is a corner, no rim."""
    from scipy.spatial import cKDTree

    points = obj.points.cpu().double().numpy()
    leaves = np.zeros(len(edge), bool)
    for row, near in enumerate(cKDTree(points).query_ball_point(edge, 1.3 * reach) if len(edge) else ()):
        aside = np.abs((points[near] - edge[row]) @ normal[row])
        leaves[row] = (aside > width[row] / 2 + 0.4 * reach).mean() > 0.15 if near else True
    return leaves


def rods(obj: GraspObject, count: int, generator: torch.Generator) -> RodPoints:
    """Places inside parts that are narrower than 4.5 cm in two directions and longer than wide, drawn at random.

    Args:
        obj: the object.
        count: how many places at most.
        generator: of the draw, on the CPU.
    """
    surface = obj.surface
    width = obj.thickness.cpu().double().numpy()
    narrow = np.flatnonzero(width < ROD)
    order = torch.randperm(len(narrow), generator=generator).numpy()
    narrow = narrow[order[: max(512, 4 * count)]]
    normal = obj.normals.cpu().double().numpy()[narrow]
    centre = obj.points.cpu().double().numpy()[narrow] - normal * width[narrow, None] / 2
    directions = _half_sphere(32)
    axis = np.zeros_like(centre)
    for _ in range(3):
        ahead, behind = _chords(surface, centre, np.broadcast_to(directions, (len(centre), *directions.shape)))
        chord = np.minimum(ahead + behind, 0.3)
        spread = np.einsum("nk,ki,kj->nij", chord**4, directions, directions)
        axis = np.linalg.eigh(spread)[1][:, :, -1] if len(centre) else axis
        around = _around(axis, 8)
        ahead, behind = _chords(surface, centre, around)
        both = np.isfinite(ahead) & np.isfinite(behind)
        shift = around * np.where(both, np.where(both, ahead, 0) - np.where(both, behind, 0), 0)[..., None] / 2
        centre = centre + shift.mean(1) * 2
    around = _around(axis, 8)
    ahead, behind = _chords(surface, centre, around)
    across = ahead + behind
    along = np.add(*_chords(surface, centre, axis[:, None]))[:, 0]
    # Along a bent part the straight line is short; slanted ones are longer.
    is_rod = (
        (across.max(1, initial=0) < ROD)
        & (along > SLENDER * across.max(1, initial=0))
        & (along > 0.02)
        & np.isfinite(along)
        & surface.inside(centre)
    )
    rows = np.flatnonzero(is_rod)
    rows = rows[_stands_alone(obj, centre[rows], axis[rows], across[rows].max(1, initial=0) / 2)][:count]
    centre, axis, around = centre[rows], axis[rows], around[rows]
    inner, gap = _inner_side(surface, centre, around, ahead[rows], behind[rows])
    radius = np.stack([across[rows].min(1, initial=np.inf), across[rows].max(1, initial=0)], 1) / 2
    return RodPoints(*_tensors(centre, axis, radius, along[rows], inner, gap, like=obj.points))


def _stands_alone(obj: GraspObject, centre: np.ndarray, axis: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(N,) bool: the surface around centre (N, 3) is all near its axis (N, 3); a curved wall is narrow from inside."""
    from scipy.spatial import cKDTree

    points = obj.points.cpu().double().numpy()
    around = cKDTree(points).query_ball_point(centre, np.maximum(3 * radius, 0.012))
    alone = np.zeros(len(centre), bool)
    for row, near in enumerate(around):
        offset = points[near] - centre[row]
        aside = np.linalg.norm(offset - (offset @ axis[row])[:, None] * axis[row], axis=1)
        alone[row] = len(near) >= 6 and (aside > 1.7 * radius[row]).mean() < 0.2
    return alone


def _inner_side(
    surface: ExactSurface, centre: np.ndarray, around: np.ndarray, ahead: np.ndarray, behind: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Directions (N, 3) across free space of a finger's width to another part, and its width (N,); see `RodPoints`."""
    directions = np.concatenate([around, -around], 1)
    start = np.concatenate([ahead, behind], 1) + 1e-5
    origins = centre[:, None] + directions * start[..., None]
    length, _ = surface.first_hit(origins.reshape(-1, 3), directions.reshape(-1, 3))
    length = length.reshape(start.shape)
    facing_part = (length > 0.01) & (length < 0.09)
    direction = (directions * facing_part[..., None]).sum(1)
    size = np.linalg.norm(direction, axis=1)
    # With other parts all around it is a rod in a cage, not a handle.
    found = (size > 0.5) & (facing_part.mean(1) < 0.8)
    gap = np.where(found, np.min(np.where(facing_part, length, np.inf), axis=1, initial=np.inf), np.inf)
    return np.where(found[:, None], direction / np.maximum(size, 1e-12)[:, None], 0.0), gap


def _chords(surface: ExactSurface, centre: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (N, K) inside the solid from centre (N, 3) along directions (N, K, 3) and against them."""
    shape = directions.shape
    origins = np.broadcast_to(centre[:, None], shape).reshape(-1, 3)
    flat = directions.reshape(-1, 3)
    ahead, behind = (surface.first_hit(origins, sign * flat)[0].reshape(shape[:2]) for sign in (1.0, -1.0))
    return ahead, behind


def _around(axis: np.ndarray, number: int) -> np.ndarray:
    """`number` unit directions (N, K, 3) over half a turn perpendicular to axis (N, 3)."""
    helper = np.eye(3)[np.abs(axis).argmin(1)] if len(axis) else np.zeros((0, 3))
    first = np.cross(axis, helper)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    second = np.cross(axis, first)
    angle = np.arange(number) / number * np.pi
    return first[:, None] * np.cos(angle)[:, None] + second[:, None] * np.sin(angle)[:, None]


def _half_sphere(number: int) -> np.ndarray:
    """Evenly spread unit directions (K, 3), one of each opposite pair (Fibonacci's spiral)."""
    height = (np.arange(number) + 0.5) / number
    azimuth = np.pi * (1 + 5**0.5) * np.arange(number)
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], 1)


def _tensors(*arrays: np.ndarray, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(array)).to(like) for array in arrays)
