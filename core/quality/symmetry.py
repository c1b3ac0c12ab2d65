"""The rotational symmetry of an object's surface: the turns under which two grasps are one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from core.objects.mesh_query import face_normals_areas

if TYPE_CHECKING:
    from core.objects import GraspObject


@dataclass(frozen=True)
class SymmetryConfig:
    """When a turned surface is the same, and which turns are tried.

    Attributes:
        mean: share of the object's size below which the mean distance of the turned surface from itself must be.
        largest: share of it below which the largest distance must be.
        steps: rotations that stand for any angle about a round axis: one for every ten degrees.
        folds: of the discrete symmetries tried about an axis.
        probes: angles, radians, at which an axis is tested for roundness.
        equal_moments: share of the largest moment within which two moments are equal, so that their axes are arbitrary.
        largest_group: rotations at which a discrete group is complete.
    """

    mean: float = 0.015
    largest: float = 0.08
    steps: int = 36
    folds: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    probes: tuple[float, ...] = (0.37, 1.0, 2.1)
    equal_moments: float = 0.06
    largest_group: int = 60


CONFIG: Final = SymmetryConfig()


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

    @property
    def trivial(self) -> Symmetry:
        """The identity alone, about the same centre: a grasp turned about the object is another one."""
        return Symmetry(self.centre, np.eye(3)[None], "none")


#: of an object whose symmetry does not matter
NO_SYMMETRY: Final = Symmetry(np.zeros(3), np.eye(3)[None], "none")


def find_symmetry(obj: GraspObject, points: int = 600) -> Symmetry:
    """Finds the object's rotational symmetry by comparing its surface with itself, turned.

    Axes tried are the principal axes through the centroid, of a cube-like object also those of its box; an object
    with equal moments all round whose surface is at one distance from its centre is a sphere.

    Args:
        obj: the object.
        points: of its surface that are compared.
    """
    sample = obj.points[:points].cpu().double().numpy()
    centre, covariance = _surface_moments(obj)
    values, axes = np.linalg.eigh(covariance)
    size = float(np.linalg.norm(obj.surface.vertices - centre, axis=1).max())
    radius = np.linalg.norm(obj.points.cpu().double().numpy() - centre, axis=1)
    if radius.std() < 2 * CONFIG.mean * size and np.ptp(radius) < 2 * CONFIG.largest * size:
        return Symmetry(centre, np.eye(3)[None], "sphere")
    candidates = _candidate_axes(obj, centre, values, axes)
    group: list[np.ndarray] = [np.eye(3)]
    kind = "none"
    for axis in candidates:
        if all(_is_same(obj, sample, centre, _rotation(axis, angle), size) for angle in CONFIG.probes):
            circle = [_rotation(axis, 2 * np.pi * step / CONFIG.steps) for step in range(CONFIG.steps)]
            group, kind = circle, "axis"
            across = axes[:, np.argmin(np.abs(axis @ axes))]
            across = across - (across @ axis) * axis
            flip = _rotation(across / np.linalg.norm(across), np.pi)
            if _is_same(obj, sample, centre, flip, size):
                group = group + [turn @ flip for turn in circle]
            break
    if kind == "none":
        generators = [
            _rotation(axis, 2 * np.pi / fold) for axis in candidates for fold in CONFIG.folds
            if _is_same(obj, sample, centre, _rotation(axis, 2 * np.pi / fold), size)
        ]
        group = _closure(generators)
        kind = "discrete" if len(group) > 1 else "none"
    return Symmetry(centre, np.stack(group), kind)


def _surface_moments(obj: GraspObject) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and covariance (3, 3) of the surface, by its area."""
    triangles = obj.surface.vertices[obj.surface.faces]
    _, areas = face_normals_areas(obj.surface.vertices, obj.surface.faces)
    share = areas / areas.sum()
    centre = share @ triangles.mean(1)
    moved = triangles - centre
    total = moved.sum(1)
    second = np.einsum("n,nki,nkj->ij", share, moved, moved) + np.einsum("n,ni,nj->ij", share, total, total)
    return centre, second / 12


def _candidate_axes(obj: GraspObject, centre: np.ndarray, values: np.ndarray, axes: np.ndarray) -> list[np.ndarray]:
    """Unit axes (3,) to try: the principal ones, those between two of equal moment, and the normals of flat sides."""
    found = [axes[:, i] for i in range(3)]
    equal = [abs(values[i] - values[j]) < CONFIG.equal_moments * values[2] for i, j in ((0, 1), (1, 2))]
    if any(equal):
        # The principal axes of equal moments are arbitrary there: the normals of large flat sides, and
        # what lies between them, are not.
        normals, areas = face_normals_areas(obj.surface.vertices, obj.surface.faces)
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


def _is_same(obj: GraspObject, sample: np.ndarray, centre: np.ndarray, rotation: np.ndarray, size: float) -> bool:
    """Whether points (P, 3) of the surface lie on it when turned by `rotation` (3, 3) about `centre` (3,)."""
    turned = (sample - centre) @ rotation.T + centre
    distance = obj.surface.closest(turned)[0]
    return bool(distance.mean() < CONFIG.mean * size and distance.max() < CONFIG.largest * size)


def _closure(generators: list[np.ndarray]) -> list[np.ndarray]:
    """All products of rotations, the identity first."""
    group = [np.eye(3)]
    pending = list(generators)
    while pending and len(group) < CONFIG.largest_group:
        new = pending.pop()
        if any(np.abs(new - old).max() < 0.1 for old in group):
            continue
        group.append(new)
        pending += [new @ generator for generator in generators]
    return group


@lru_cache(maxsize=4096)
def _cached_rotation(axis: tuple[float, ...], angle: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.array(axis) * angle).as_matrix()


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) the rotation by `angle` radians about a unit axis (3,)."""
    return _cached_rotation(tuple(axis.tolist()), float(angle))
