"""From whatever an animator selected to a closed or nearly closed, outward-oriented surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.objects.errors import ObjectError
from core.objects.mesh_query import face_normals_areas
from core.objects.simplify import DENSE, simplify_dense
from core.objects.topology import (
    edge_table,
    face_components,
    open_components,
    orient_consistently,
    orient_outward,
    thicken,
)
from core.progress import Progress

#: share of the object's size: vertices nearer to each other are one vertex
WELD: Final = 1e-6
#: metres, thickness given to a surface that encloses nothing
SHEET: Final = 0.0005
#: metres: a part with an opening wider than this is a sheet, not a solid with a hole
OPENING: Final = 0.025
#: parts that hang together by no edge; each takes its share of every distance
MOST_PIECES: Final = 2000


@dataclass(frozen=True)
class CleanMesh:
    """Triangles that enclose a solid, outward, in the caller's frame.

    Attributes:
        vertices: (V, 3) float64 metres, in the frame of the input minus `centroid`.
        faces: (F, 3) int64.
        centroid: (3,) area centroid of the surface, float64, caller's frame.
        shell: some part was an open surface and has been given a thin wall.
        watertight: every edge belongs to exactly two faces.
        pieces: how many of its parts hang together by no edge.
    """

    vertices: np.ndarray
    faces: np.ndarray
    centroid: np.ndarray
    shell: bool
    watertight: bool
    pieces: int


def clean_mesh(vertices: np.ndarray, faces: np.ndarray, progress: Progress | None = None) -> CleanMesh:
    """Makes one outward-oriented surface of unordered triangles.

    Drops faces with non-finite corners, merges duplicate vertices, drops degenerate and doubled
    faces, makes the winding consistent and outward, and gives a thin wall to parts that are open
    (a bowl modelled as one surface, a plane): their hollow is outside.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) indices into them.
        progress: told how far it is; None hears nothing.

    Raises:
        ObjectError: there is no surface left.
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    vertices, faces = _checked(vertices, faces)
    progress(0.1)
    reference = (vertices[faces].min((0, 1)) + vertices[faces].max((0, 1))) / 2
    vertices = vertices - reference
    vertices, faces = _weld(vertices, faces, progress.sub(0.1, 0.3))
    progress(0.3)
    faces = _without_degenerate(vertices, faces)
    progress(0.35)
    faces = _without_doubles(faces)
    progress(0.4)
    if len(faces) > DENSE:
        vertices, faces = simplify_dense(vertices, faces, progress.sub(0.4, 0.5))
        faces = _without_doubles(_without_degenerate(vertices, faces))
        progress(0.5)
    if not len(faces):
        raise ObjectError(
            "The object has no surface: all its faces are lines or points. "
            "Give it faces with an area, or check its scale."
        )
    _, areas = face_normals_areas(vertices, faces)
    centroid = (vertices[faces].mean(1) * areas[:, None]).sum(0) / areas.sum()
    vertices, faces = _compact(vertices - centroid, faces)
    _, pieces = face_components(faces)
    if pieces > MOST_PIECES:
        raise ObjectError(
            f"The object is {pieces:,} loose pieces; the engine takes up to {MOST_PIECES:,}. Merge vertices that lie "
            "on each other, make one surface of it (a Remesh modifier, Voxel), or select a part of it."
        )
    # From here on in single precision's numbers, so that an object moved in the scene is the same object.
    vertices = vertices.astype(np.float32).astype(np.float64)

    progress(0.5)
    faces = orient_consistently(faces)
    progress(0.55)
    patches, _ = face_components(faces, manifold_only=True)
    progress(0.6)
    faces = orient_outward(vertices, faces, patches, progress.sub(0.6, 0.7))
    open_faces = open_components(vertices, faces, OPENING, progress.sub(0.7, 0.95))
    if open_faces.any():
        solid = faces[~open_faces]
        sheet_vertices, sheet_faces = thicken(vertices, faces[open_faces], patches[open_faces], SHEET)
        faces = np.concatenate([solid, sheet_faces + len(vertices)])
        vertices = np.concatenate([vertices, sheet_vertices])
        vertices, faces = _compact(vertices, faces)
    progress(0.95)
    _, counts, _ = edge_table(faces)
    return CleanMesh(vertices, faces, reference + centroid, bool(open_faces.any()), bool((counts == 2).all()),
                     pieces)


def _checked(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices (V, 3) float64 and those of the faces (F, 3) int64 whose corners are finite."""
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ObjectError(f"The object's vertices have shape {vertices.shape}, expected (V, 3).")
    if faces.size == 0 or not len(vertices):
        raise ObjectError("The object has no faces: select a mesh with a surface.")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ObjectError(f"The object's faces have shape {faces.shape}, expected triangles (F, 3).")
    faces = faces.astype(np.int64)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ObjectError("The object's faces name vertices that do not exist: the mesh is damaged.")
    finite = np.isfinite(vertices).all(1) & (np.abs(vertices) < 1e9).all(1)
    faces = faces[finite[faces].all(1)]
    if not len(faces):
        raise ObjectError(
            "No face of the object has finite coordinates (NaN or infinity): "
            "check its modifiers and its scale, or delete those vertices."
        )
    return vertices, faces


def _weld(vertices: np.ndarray, faces: np.ndarray, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces with the vertices of each small cell merged into one; unused ones are dropped."""
    used = np.unique(faces)
    progress(0.3)
    points = vertices[used]
    low = points.min(0)
    step = max(float((points.max(0) - low).max()) * WELD, 1e-12)
    # Round numbers are common in modelled meshes: the odd offset keeps them off the cells' borders.
    cells = np.floor((points - low) / step + 0.38196601).astype(np.int64)
    width = cells.max(0) + 1
    key = (cells[:, 0] * width[1] + cells[:, 1]) * width[2] + cells[:, 2]
    progress(0.5)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    progress(0.9)
    table = np.full(len(vertices), -1, np.int64)
    table[used] = inverse.reshape(-1)
    return points[first], table[faces]


def _without_degenerate(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces (F, 3) that are neither lines nor points."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    if not len(faces):
        return faces
    corners = vertices[faces]
    edges = corners - np.roll(corners, 1, axis=1)
    longest = np.sqrt((edges**2).sum(2).max(1))
    _, areas = face_normals_areas(vertices, faces)
    height = 2 * areas / np.maximum(longest, 1e-30)
    return faces[height > longest * 1e-9]


def _without_doubles(faces: np.ndarray) -> np.ndarray:
    """One face of each set that shares its three corners, whatever its winding."""
    if not len(faces):
        return faces
    ordered = np.sort(faces, axis=1)
    count = int(faces.max()) + 1
    if count < 2_000_000:  # three indices fit one integer
        key = (ordered[:, 0] * count + ordered[:, 1]) * count + ordered[:, 2]
        among = np.sort(key)
        if (among[1:] != among[:-1]).all():  # as mostly, in a fraction of the time
            return faces
        _, first = np.unique(key, return_index=True)
    else:
        _, first = np.unique(ordered, axis=0, return_index=True)
    return faces[np.sort(first)]


def _compact(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces without unused vertices."""
    used, inverse = np.unique(faces, return_inverse=True)
    return vertices[used], inverse.reshape(faces.shape).astype(np.int64)
