"""Blender's own triangles of a mesh, in a fraction of the time that asking for each of them takes.

Blender hands out plain arrays at once, but a triangle's corners one by one: a third of a second for two million. Only
the diagonals of quads and what polygons of more corners are cut into need asking. Most quads leave no doubt: there the
rule of Blender's tessellation, the first corner to the third unless that leaves the quad, has one answer by far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import bpy

FEW: Final = 20000  # triangles: so many are asked for as they are
BLOCK: Final = 1 << 15  # quads at a time, that fit a processor's cache
FLAT: Final = 1e-6  # the squared cosine between the halves of a quad below which it is in doubt
ROUNDING: Final = 1e-6  # of the coordinates, several times what single precision makes of them

_last: list[np.ndarray] = []  # of the last large mesh: what its triangles depend on, and they


def points_of(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 3) float32 the points of a mesh."""
    found = np.empty(3 * len(mesh.vertices), np.float32)
    if len(mesh.vertices):
        mesh.attributes["position"].data.foreach_get("vector", found)
    return found.reshape(-1, 3)


def triangles_of(mesh: bpy.types.Mesh, points: np.ndarray) -> np.ndarray:
    """The triangles that Blender shows.

    Args:
        mesh: read from.
        points: its `points_of`.

    Returns:
        (F, 3) int32 indices, exactly `mesh.loop_triangles`.
    """
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    if count <= FEW:
        return _asked_for(mesh)
    polygon, corner = np.empty(count, np.int32), np.empty(len(mesh.loops), np.int32)
    mesh.loop_triangle_polygons.foreach_get("value", polygon)
    mesh.attributes[".corner_vert"].data.foreach_get("value", corner)
    if _same(polygon, corner, points):
        return _last[-1]
    held = np.bincount(polygon, minlength=len(mesh.polygons))  # triangles in each polygon
    if held.min() < 1 or held.sum() + 2 * len(held) != len(corner):  # not as meshes are
        return _asked_for(mesh)
    first, start = np.cumsum(held) - held, np.cumsum(held + 2) - (held + 2)
    found = np.empty((count, 3), np.int32)
    single = np.nonzero(held == 1)[0]
    found[first[single]] = corner[start[single, None] + np.arange(3)]
    doubtful = np.concatenate([np.nonzero(held[polygon] > 2)[0],
                               *_cut_quads(found, first, start, corner, np.nonzero(held == 2)[0], points)])
    if len(doubtful) > count // 8:  # asking for each of them takes several times as long as for one of all
        return _asked_for(mesh)
    for row in doubtful.tolist():
        found[row] = mesh.loop_triangles[row].vertices
    found.flags.writeable = False
    _last[:] = polygon, corner, points, found
    return found


def _same(*arrays: np.ndarray) -> bool:
    """Whether the mesh is the last one, as it mostly is: read at the click, and again when its grasps have come."""
    return bool(_last) and all(np.array_equal(a, b) for a, b in zip(arrays, _last[:-1], strict=True))


def _asked_for(mesh: bpy.types.Mesh) -> np.ndarray:
    found = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", found)
    return found.reshape(-1, 3)


def _cut_quads(found: np.ndarray, first: np.ndarray, start: np.ndarray, corner: np.ndarray, quads: np.ndarray,
               points: np.ndarray) -> list[np.ndarray]:
    """Cuts quads from the first corner to the third.

    Args:
        found: (F, 3) into which the two triangles of each are written.
        first: (P,) of each polygon, its first triangle.
        start: (P,) of each polygon, its first corner.
        corner: (C,) the point of each corner.
        quads: those of the polygons that are quads.
        points: (V, 3).

    Returns:
        the triangles for which Blender's rule may say otherwise.
    """
    x, y, z = np.ascontiguousarray(points.T, np.float64)
    small = (4 * ROUNDING * float(np.abs(points).max(initial=0.0))) ** 2
    doubtful = []
    for at in range(0, len(quads), BLOCK):
        some = quads[at:at + BLOCK]
        a, b, c, d = (corner[start[some] + k] for k in range(4))
        rows = first[some]
        found[rows] = np.stack([a, b, c], axis=1)
        found[rows + 1] = np.stack([a, c, d], axis=1)
        (bx, cx, dx), (by, cy, dy), (bz, cz, dz) = ([axis[p] - axis[a] for p in (b, c, d)] for axis in (x, y, z))
        px, py, pz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        qx, qy, qz = dy * cz - dz * cy, dz * cx - dx * cz, dx * cy - dy * cx
        both, one, other = px * qx + py * qy + pz * qz, px * px + py * py + pz * pz, qx * qx + qy * qy + qz * qz
        low, high, long = np.minimum(one, other), np.maximum(one, other), cx * cx + cy * cy + cz * cz
        sure = (both < 0) & (both * both > FLAT * one * other) & (low * low > small * long * high)
        unsure = rows[~sure]
        doubtful += [unsure, unsure + 1]
    return doubtful
