"""Simplifies meshes that are far denser than a grasp needs."""

from __future__ import annotations

from typing import Final

import numpy as np

from core.progress import Progress

#: faces beyond which a mesh is simplified
DENSE: Final = 200_000
#: faces aimed at
TARGET: Final = 150_000


def simplify_dense(vertices: np.ndarray, faces: np.ndarray,
                   progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Merges vertices of one small cell whose normals are in one octant, when there are more than `DENSE` faces.

    The two sides of a thin wall are never merged; smooth surfaces move by micrometres, sharp edges by
    at most half a cell (0.3 mm on an 8 cm ball).

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        progress: told how far it is; None hears nothing.

    Returns:
        Vertices and faces, some of which may be degenerate.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    if len(faces) <= DENSE:
        return vertices, faces
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    side = np.sqrt(np.linalg.norm(cross, axis=1).sum() / 2 * 3 / TARGET)
    normals = np.stack(
        [np.bincount(faces.ravel(), weights=np.repeat(cross[:, i], 3), minlength=len(vertices)) for i in range(3)], 1
    )
    progress(0.4)
    octant = (normals > 0) @ np.array([1, 2, 4])
    cell = np.floor((vertices - vertices.min(0)) / side + 0.38196601).astype(np.int64)
    width = cell.max(0) + 1
    key = ((cell[:, 0] * width[1] + cell[:, 1]) * width[2] + cell[:, 2]) * 8 + octant
    progress(0.6)
    _, cluster, counts = np.unique(key, return_inverse=True, return_counts=True)
    cluster = cluster.reshape(-1)
    progress(0.9)
    mean = np.stack([np.bincount(cluster, weights=vertices[:, i]) for i in range(3)], 1) / counts[:, None]
    return mean, cluster[faces]
