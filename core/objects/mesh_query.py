"""Exact distances to a triangle mesh, inside tests and ray casts, by libigl and Embree."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import igl
    from trimesh.ray.ray_pyembree import RayMeshIntersector

#: points whose distances are asked for at once, a fraction of a second's work on the roughest surfaces
AT_ONCE: Final = 4096


def face_normals_areas(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (F, 3) and areas (F,) of triangles."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(length, 1e-30)[:, None], length / 2


class ExactSurface:
    """Distances, inside tests and ray casts for one closed or nearly closed, outward-oriented mesh.

    Inside is where the generalised winding number is above one half: right for nested and
    overlapping parts, and small holes do not matter.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) outward.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64.
        face_normals: (F, 3) outward, unit.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.vertices = np.ascontiguousarray(vertices, dtype=np.float64)
        self.faces = np.ascontiguousarray(faces, dtype=np.int64)
        self.face_normals = face_normals_areas(self.vertices, self.faces)[0]

    def closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unsigned distance (N,), closest face (N,) and closest point (N, 3) of points (N, 3)."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        if not len(points):
            return np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 3))
        squared, face, closest = self._tree.squared_distance(self.vertices, self.faces, points)
        return np.sqrt(np.maximum(squared, 0.0)), face, closest

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Whether each of points (N, 3) is inside the solid, (N,) bool."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        if not len(points):
            return np.zeros(0, bool)
        return self._winding.winding_number(points, 2.0) > 0.5

    def signed(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Signed distance (N,), positive outside, closest face (N,) and closest point (N, 3)."""
        distance, face, closest = self.closest(points)
        return np.where(self.inside(points), -distance, distance), face, closest

    def first_hit(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ray casts.

        Args:
            origins: (N, 3) metres.
            directions: (N, 3) unit.

        Returns:
            (N,) metres to the first face, inf where the ray meets none, and (N,) that face, -1 where it meets none.
        """
        lengths = np.full(len(origins), np.inf)
        if not len(origins):
            return lengths, np.zeros(0, np.int64)
        # By Embree: libigl's tree misses two rays in a hundred, whole cones of them on long triangles.
        face = np.asarray(self._rays.intersects_first(origins, directions), dtype=np.int64)
        rows = np.flatnonzero(face >= 0)
        normal = self.face_normals[face[rows]]
        towards = (normal * directions[rows]).sum(1)
        height = (normal * (self.vertices[self.faces[face[rows], 0]] - origins[rows])).sum(1)
        lengths[rows] = np.maximum(height / np.where(np.abs(towards) < 1e-12, 1e-12, towards), 0.0)
        return lengths, face

    @cached_property
    def crowding(self) -> float:
        """Faces that a place in the surface's box is near, for their size, in the mean: some dozens but for soups."""
        corners = self.vertices[self.faces]
        radius = np.linalg.norm(corners - corners.mean(1, keepdims=True), axis=2).max(1)
        box = np.maximum(np.ptp(self.vertices, axis=0), 1e-9)
        return float(np.minimum(4.2 * (2 * radius) ** 3 / box.prod(), 1.0).sum())

    @cached_property
    def layers(self) -> float:
        """The surface's area over that of its box: one or two, a few where walls lie in walls, many in a soup."""
        corners = self.vertices[self.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
        x, y, z = np.maximum(np.ptp(self.vertices, axis=0), 1e-9)
        return float(area / (2 * (x * y + y * z + z * x)))

    # What a question needs is made when it is asked first: each takes a while, and many surfaces are asked one alone.

    @cached_property
    def _tree(self) -> igl.AABB:
        import igl

        tree = igl.AABB()
        tree.init(self.vertices, self.faces)
        return tree

    @cached_property
    def _winding(self) -> igl.FastWindingNumberBVH:
        import igl

        winding = igl.FastWindingNumberBVH()
        winding.init(self.vertices, self.faces, 2)
        return winding

    @cached_property
    def _rays(self) -> RayMeshIntersector:
        import trimesh
        from trimesh.ray.ray_pyembree import RayMeshIntersector

        return RayMeshIntersector(trimesh.Trimesh(self.vertices, self.faces, process=False))
