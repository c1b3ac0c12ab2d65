"""The newest candidate drawn over the view while the rest is computed: nothing is in the file until the end."""

from __future__ import annotations

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

COLOUR = np.array([0.85, 0.55, 0.42])


class Preview:
    """Draws one posed hand in every 3D view until `close`."""

    def __init__(self, polygons: np.ndarray, frame: np.ndarray) -> None:
        quads = polygons[polygons[:, 3] >= 0]
        self.triangles = np.concatenate([polygons[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
        self.frame = frame
        self.batch = self.shader = None
        self.points: np.ndarray | None = None
        self.handle = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_VIEW")

    def show(self, vertices: np.ndarray) -> None:
        """(V, 3) in the sent mesh's frame."""
        self.points = vertices @ self.frame[:3, :3].T + self.frame[:3, 3]
        self.batch = None

    def close(self) -> None:
        if self.handle:
            bpy.types.SpaceView3D.draw_handler_remove(self.handle, "WINDOW")
        self.handle = None

    def _draw(self) -> None:
        if self.points is None:
            return
        if self.batch is None:
            self.shader = gpu.shader.from_builtin("SMOOTH_COLOR")
            self.batch = batch_for_shader(
                self.shader, "TRIS", {"pos": self.points.astype(np.float32), "color": self._colours()},
                indices=self.triangles)
        gpu.state.depth_test_set("LESS_EQUAL")
        self.batch.draw(self.shader)
        gpu.state.depth_test_set("NONE")

    def _colours(self) -> np.ndarray:
        corners = self.points[self.triangles]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.zeros_like(self.points)
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], across)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        light = 0.35 + 0.65 * np.clip(0.5 + 0.5 * normals @ np.array([0.36, -0.48, 0.8]), 0, 1)
        return np.column_stack([light[:, None] * COLOUR, np.ones(len(light))]).astype(np.float32)
