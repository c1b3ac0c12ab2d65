"""How many grasps are really different, once the object's own symmetry is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from core.objects import GraspObject

#: metres of mean joint distance from which two grasps are different
DIFFERENT: Final = 0.03
#: a turned surface is the same when its mean and largest distances are below these shares of the object's size
SAME_MEAN, SAME_MOST = 0.015, 0.08
#: turns about an axis that are tried: a whole circle in steps of ten degrees stands for any angle
STEPS: Final = 36
FOLDS: Final = (2, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class Symmetry:
    """Rotations about a point that leave an object's surface as it is.

    Attributes:
        centre: (3,) metres, object frame.
        rotations: (R, 3, 3) discrete ones, the identity first; of a round axis, one for every ten degrees.
        kind: "none", "discrete", "axis" or "sphere".
    """

    centre: np.ndarray
    rotations: np.ndarray
    kind: str


def find_symmetry(obj: GraspObject, points: int = 600) -> Symmetry:
    """Finds the object's rotational symmetry by comparing its surface with itself, turned.

    Axes tried are the principal axes through the centroid, of a cube-like object also those of its box; an object
    with equal moments all round whose surface is one distance from its centre is a sphere.
    """
    sample = obj.points[:points].cpu().double().numpy()
    centre, covariance = _surface_moments(obj)
    values, axes = np.linalg.eigh(covariance)
    size = float(np.linalg.norm(obj.surface.vertices - centre, axis=1).max())
    radius = np.linalg.norm(obj.points.cpu().double().numpy() - centre, axis=1)
    if radius.std() < 2 * SAME_MEAN * size and np.ptp(radius) < 2 * SAME_MOST * size:
        return Symmetry(centre, np.eye(3)[None], "sphere")
    candidates = _axes(obj, centre, values, axes)
    group: list[np.ndarray] = [np.eye(3)]
    kind = "none"
    for axis in candidates:
        if kind != "axis" and all(_same(obj, sample, centre, _turn(axis, angle), size) for angle in (0.37, 1.0, 2.1)):
            circle = [_turn(axis, 2 * np.pi * step / STEPS) for step in range(STEPS)]
            group, kind = circle, "axis"
            across = axes[:, np.argmin(np.abs(axis @ axes))]
            across = across - (across @ axis) * axis
            flip = _turn(across / np.linalg.norm(across), np.pi)
            if _same(obj, sample, centre, flip, size):
                group = group + [turn @ flip for turn in circle]
            break
    if kind == "none":
        generators = [
            _turn(axis, 2 * np.pi / fold) for axis in candidates for fold in FOLDS
            if _same(obj, sample, centre, _turn(axis, 2 * np.pi / fold), size)
        ]
        group = _closure(generators)
        kind = "discrete" if len(group) > 1 else "none"
    return Symmetry(centre, np.stack(group), kind)


def different_grasps(joints: torch.Tensor, symmetry: Symmetry, apart: float = DIFFERENT) -> list[int]:
    """Rows of the grasps that differ from all rows before them, in order.

    Args:
        joints: (N, 21, 3) metres, object frame.
        symmetry: of the object: two grasps are compared under the best of its rotations.
        apart: mean joint distance in metres from which grasps are different.
    """
    places = joints.detach().cpu().double().numpy() - symmetry.centre
    chosen: list[int] = []
    for row, mine in enumerate(places):
        if all(_distance(mine, places[other], symmetry) >= apart for other in chosen):
            chosen.append(row)
    return chosen


def most_different(joints: torch.Tensor, symmetry: Symmetry, apart: float = DIFFERENT,
                   value: torch.Tensor | None = None) -> list[int]:
    """Rows of a largest set of grasps of which every two differ; the protocol counts them.

    Unlike `different_grasps` it does not depend on the order: the largest independent set of the graph that joins
    what is alike, found exactly as an integer programme.

    Args:
        joints, symmetry, apart: as for `different_grasps`.
        value: (N,) 0 to 100; among sets of the same size the one of the highest sum is taken.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    places = joints.detach().cpu().double().numpy() - symmetry.centre
    count = len(places)
    alike = [(i, j) for j in range(count) for i in range(j) if _distance(places[j], places[i], symmetry) < apart]
    if not alike:
        return list(range(count))
    row = np.repeat(np.arange(len(alike)), 2)
    pairs = coo_array((np.ones(2 * len(alike)), (row, np.array(alike).ravel())), shape=(len(alike), count))
    worth = np.ones(count) if value is None else 1 + value.double().cpu().numpy() / (101 * count)
    found = milp(-worth, integrality=np.ones(count), bounds=Bounds(0, 1), constraints=LinearConstraint(pairs, ub=1))
    return np.flatnonzero(found.x > 0.5).tolist()


def _distance(first: np.ndarray, second: np.ndarray, symmetry: Symmetry) -> float:
    rotations = symmetry.rotations
    if symmetry.kind == "sphere":
        rotations = _best_turn(first, second)[None]
    turned = first @ rotations.transpose(0, 2, 1)
    return float(np.linalg.norm(turned - second, axis=-1).mean(-1).min())


def _best_turn(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about the origin that brings `first` onto `second` (Kabsch)."""
    left, _, right = np.linalg.svd(first.T @ second)
    sign = np.sign(np.linalg.det(right.T @ left.T))
    return right.T @ np.diag([1.0, 1.0, sign]) @ left.T


def _surface_moments(obj: GraspObject) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and covariance (3, 3) of the surface, by its area."""
    triangles = obj.surface.vertices[obj.surface.faces]
    areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    share = areas / areas.sum()
    centre = share @ triangles.mean(1)
    moved = triangles - centre
    total = moved.sum(1)
    second = np.einsum("n,nki,nkj->ij", share, moved, moved) + np.einsum("n,ni,nj->ij", share, total, total)
    return centre, second / 12


def _axes(obj: GraspObject, centre: np.ndarray, values: np.ndarray, axes: np.ndarray) -> list[np.ndarray]:
    """Unit axes worth a try: the principal ones, those lying between two of equal moment, and the mesh's own."""
    found = [axes[:, i] for i in range(3)]
    equal = [abs(values[i] - values[j]) < 0.06 * values[2] for i, j in ((0, 1), (1, 2))]
    if any(equal):
        # The principal axes of equal moments are arbitrary there: the normals of large flat sides, and
        # what lies between them, are not.
        triangles = obj.surface.vertices[obj.surface.faces]
        areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
        normals = obj.surface.face_normals
        sides: list[np.ndarray] = []
        left = areas.copy()
        while len(sides) < 6 and left.max() > 0:
            seed = normals[int(np.argmax(left))]
            alike = np.abs(normals @ seed) > 0.995
            if left[alike].sum() > 0.03 * areas.sum():
                sides.append(seed)
            left[alike] = 0
        found += sides
        found += [a + sign * b for a, b in product(sides[:4], sides[:4]) for sign in (1, -1) if abs(a @ b) < 0.9]
        found += [*np.eye(3)]
    unique: list[np.ndarray] = []
    for axis in found:
        unit = axis / np.linalg.norm(axis)
        if all(abs(unit @ other) < 0.999 for other in unique):
            unique.append(unit)
    return unique


def _same(obj: GraspObject, sample: np.ndarray, centre: np.ndarray, rotation: np.ndarray, size: float) -> bool:
    turned = (sample - centre) @ rotation.T + centre
    distance = obj.surface.closest(turned)[0]
    return bool(distance.mean() < SAME_MEAN * size and distance.max() < SAME_MOST * size)


def _closure(generators: list[np.ndarray]) -> list[np.ndarray]:
    """All products of rotations, the identity first; at most 60."""
    group = [np.eye(3)]
    pending = list(generators)
    while pending and len(group) < 60:
        new = pending.pop()
        if any(np.abs(new - old).max() < 0.1 for old in group):
            continue
        group.append(new)
        pending += [new @ generator for generator in generators]
    return group


@lru_cache(maxsize=4096)
def _cached_turn(axis: tuple[float, ...], angle: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.array(axis) * angle).as_matrix()


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    return _cached_turn(tuple(axis.tolist()), float(angle))


DIFFERENT = 0.03  # metres of mean joint distance under which two grasps are the same
