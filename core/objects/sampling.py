"""Points on a surface by area, and how thick the object is under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from core.progress import Progress

if TYPE_CHECKING:
    from core.objects.mesh_query import ExactSurface

#: metres, thickness where the ray through the object meets nothing
NOTHING: Final = 10.0


def sample_surface(
    vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws points on triangles by area, stratified.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        count: how many points.
        rng: of the draws.

    Returns:
        (count, 3) points, and (count,) the face of each.
    """
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    cumulative = np.cumsum(areas)
    draw = (np.arange(count) + rng.random(count)) / count * cumulative[-1]
    face = np.minimum(np.searchsorted(cumulative, draw), len(faces) - 1)
    u, v = rng.random((2, count))
    beyond = u + v > 1
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    a, b, c = corners[face].transpose(1, 0, 2)
    order = rng.permutation(count)
    return (a + u[:, None] * (b - a) + v[:, None] * (c - a))[order], face[order]


def thickness(surface: ExactSurface, points: np.ndarray, normals: np.ndarray,
              progress: Progress | None = None, rounds: int = 8) -> np.ndarray:
    """Length inside the solid from surface points along their inward normal, through faces hidden inside the solid.

    Args:
        surface: the object.
        points: (N, 3) on it, metres.
        normals: (N, 3) outward, unit.
        progress: told how far it is; None hears nothing.
        rounds: faces inside the solid that are passed through, and one.

    Returns:
        (N,) metres; `NOTHING` where the ray leaves through a hole.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    step = 1e-6
    total = np.full(len(points), NOTHING)
    travelled = np.full(len(points), step)
    rows = np.arange(len(points))
    for number in range(rounds):
        progress(number / rounds)
        origins = points[rows] - normals[rows] * travelled[rows, None]
        length, face = surface.first_hit(origins, -normals[rows])
        hit = np.isfinite(length)
        rows, length, face = rows[hit], length[hit], face[hit]
        if not len(rows):
            break
        travelled[rows] += length + step
        leaving = (surface.face_normals[face] * -normals[rows]).sum(1) > 0
        ended = rows[leaving]
        progress((number + 0.5) / rounds)
        beyond = surface.inside(points[ended] - normals[ended] * (travelled[ended, None] + 1e-5))
        total[ended[~beyond]] = travelled[ended[~beyond]] - step
        keep = ~leaving
        keep[np.flatnonzero(leaving)[beyond]] = True
        rows = rows[keep]
        if not len(rows):
            break
    return total
