"""The prepared object that every generator, the fit and the metrics work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.objects.mesh_query import ExactSurface
from core.objects.parts import Parts

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from core.objects.grid import DistanceGrid


def with_parts(obj: GraspObject, vertices: np.ndarray, faces: np.ndarray, part: np.ndarray,
               names: tuple[str, ...], types: tuple[str, ...] = ()) -> GraspObject:
    """An object with its parts named.

    Args:
        obj: prepared from this mesh.
        vertices: (V, 3) as given to `prepare_object`, metres.
        faces: (F, 3) likewise.
        part: (F,) index into `names`, -1 for no part.
        names: of the parts.
        types: grasp types with which it is used, if known.
    """
    surface = ExactSurface(np.asarray(vertices, np.float64) - obj.centroid, np.asarray(faces, np.int64))
    _, face, _ = surface.closest(obj.points.cpu().double().numpy())
    return replace(obj, parts=Parts(tuple(names), torch.from_numpy(np.asarray(part, np.int64)[face]), tuple(types)))


@dataclass(frozen=True)
class GraspObject:
    """A cleaned object, centred by its surface's area centroid; metres.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int64, outward.
        centroid: (3,) float64 numpy; add it to come back to the caller's frame.
        points: (4096, 3) drawn by area, seeded.
        normals: (4096, 3) their outward unit normals.
        thickness: (4096,) length through the solid from each point against its normal; large where nothing is hit.
        grid: signed distance around the object.
        area: m2, of the cleaned surface.
        volume: m3, of the cleaned surface.
        watertight: every edge of the cleaned surface has two faces.
        shell: some open surface was given a wall of half a millimetre.
        digest: sixteen hexadecimal digits that stand for the cleaned mesh.
        parts: named parts, where they are known (`core.objects.grasp_object.with_parts`).
    """

    vertices: torch.Tensor
    faces: torch.Tensor
    centroid: np.ndarray
    points: torch.Tensor
    normals: torch.Tensor
    thickness: torch.Tensor
    grid: DistanceGrid
    area: float
    volume: float
    watertight: bool
    shell: bool
    digest: str
    parts: Parts | None = None

    @cached_property
    def extent(self) -> torch.Tensor:
        """(3,) sides of the bounding box, metres."""
        return self.vertices.amax(0) - self.vertices.amin(0)

    @cached_property
    def points_tree(self) -> cKDTree:
        """Of the `points`, for the nearest one."""
        from scipy.spatial import cKDTree

        return cKDTree(self.points.cpu().numpy())

    @cached_property
    def surface(self) -> ExactSurface:
        """The exact surface (libigl and Embree); much slower than `grid`."""
        return ExactSurface(self.vertices.cpu().double().numpy(), self.faces.cpu().numpy())

    def signed_distance(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Exact signed distance (N,), positive outside, and closest surface points (N, 3) of points (N, 3), metres."""
        distance, _, closest = self.surface.signed(points.detach().cpu().double().numpy())
        return (
            torch.from_numpy(distance).to(points),
            torch.from_numpy(np.ascontiguousarray(closest)).to(points),
        )

    def to(self, device: torch.device | str) -> GraspObject:
        """The same object with its tensors on `device`."""
        tensors = ("vertices", "faces", "points", "normals", "thickness", "grid")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})
