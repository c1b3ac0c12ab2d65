"""The newest candidate drawn over the view while the rest is computed: nothing is in the file until the end."""

from __future__ import annotations

from typing import Any, Final

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from ..rig.proximity import vertex_normals
from ..transforms import transform_points

COLOUR: Final = np.array([0.85, 0.55, 0.42])


class Preview:
    """Draws one posed hand in every 3D view until `close`.

    Args:
        polygons: (P, 4) int quads of the hand; a triangle has -1 in its last column.
        frame: (4, 4) rigid, the sent mesh's frame to world.
    """

    def __init__(self, polygons: np.ndarray, frame: np.ndarray) -> None:
        quads = polygons[polygons[:, 3] >= 0]
        self._triangles = np.concatenate([polygons[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
        self._frame = frame
        self._batch: Any = None
        self._shader: Any = None
        self._points: np.ndarray | None = None
        self._handle = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_VIEW")

    def show(self, vertices: np.ndarray) -> None:
        """Draws another pose from now on.

        Args:
            vertices: (V, 3) in the sent mesh's frame.
        """
        self._points = transform_points(self._frame, vertices)
        self._batch = None

    def close(self) -> None:
        """Draws nothing any more."""
        if self._handle:
            bpy.types.SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
        self._handle = None

    def _draw(self) -> None:
        if self._points is None:
            return
        if self._batch is None:
            self._shader = gpu.shader.from_builtin("SMOOTH_COLOR")
            self._batch = batch_for_shader(
                self._shader, "TRIS",
                {"pos": self._points.astype(np.float32), "color": _shaded(self._points, self._triangles)},
                indices=self._triangles)
        gpu.state.depth_test_set("LESS_EQUAL")
        self._batch.draw(self._shader)
        gpu.state.depth_test_set("NONE")


def _shaded(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 4) colours of the vertices, lit from above."""
    normals = vertex_normals(points[triangles], triangles, len(points))
    light = 0.35 + 0.65 * np.clip(0.5 + 0.5 * normals @ np.array([0.36, -0.48, 0.8]), 0, 1)
    return np.column_stack([light[:, None] * COLOUR, np.ones(len(light))]).astype(np.float32)
