"""The newest candidate drawn over the view while the rest is computed, at the object wherever it is moved meanwhile.

Nothing is in the file until the end.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from ..engine.parts import by_uid
from ..errors import GraspError
from ..rig.proximity import vertex_normals
from ..transforms import split_stretch, transform_points

if TYPE_CHECKING:
    from ..engine.mesh_export import ExportedObject

COLOUR: Final = np.array([0.85, 0.55, 0.42])


class Preview:
    """Draws one posed hand in every 3D view until `close`.

    Args:
        polygons: (P, 4) int quads of the hand; a triangle has -1 in its last column.
        item: what was sent.

    Attributes:
        frame: (4, 4) rigid, the sent mesh's frame to world, as it was when that was last known.
    """

    def __init__(self, polygons: np.ndarray, item: ExportedObject) -> None:
        quads = polygons[polygons[:, 3] >= 0]
        self._triangles = np.concatenate([polygons[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
        self.frame = item.frame
        self._name, self._uid = item.name, item.uid
        self._batch: Any = None
        self._shader: Any = None
        self._points: np.ndarray | None = None
        self._handle = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_VIEW")

    def show(self, vertices: np.ndarray) -> None:
        """Draws another pose from now on.

        Args:
            vertices: (V, 3) in the sent mesh's frame.
        """
        self._points = vertices
        self._batch = None

    def follow(self) -> bool:
        """Brings `frame` up to date with the object, which may be moved and renamed meanwhile.

        Returns:
            whether the object is there.
        """
        target = bpy.data.objects.get(self._name)
        if target is None or target.session_uid != self._uid:
            target = by_uid((self._uid,)).get(self._uid)
        if target is None:
            return False
        self._name = target.name
        with contextlib.suppress(GraspError):  # scaled to nothing: the end says so
            self.frame, _ = split_stretch(np.array(target.matrix_world, dtype=np.float64), target.name)
        return True

    def close(self) -> None:
        """Draws nothing any more."""
        if self._handle:
            bpy.types.SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
        self._handle = None

    def _draw(self) -> None:
        if self._points is None or not self.follow():
            return
        if self._batch is None:
            lit = transform_points(self.frame, self._points)
            self._shader = gpu.shader.from_builtin("SMOOTH_COLOR")
            self._batch = batch_for_shader(
                self._shader, "TRIS",
                {"pos": self._points.astype(np.float32), "color": _shaded(lit, self._triangles)},
                indices=self._triangles)
        gpu.state.depth_test_set("LESS_EQUAL")
        with gpu.matrix.push_pop():
            gpu.matrix.multiply_matrix(Matrix(self.frame.tolist()))
            self._batch.draw(self._shader)
        gpu.state.depth_test_set("NONE")


def _shaded(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 4) colours of the vertices, lit from above."""
    normals = vertex_normals(points[triangles], triangles, len(points))
    light = 0.35 + 0.65 * np.clip(0.5 + 0.5 * normals @ np.array([0.36, -0.48, 0.8]), 0, 1)
    return np.column_stack([light[:, None] * COLOUR, np.ones(len(light))]).astype(np.float32)
