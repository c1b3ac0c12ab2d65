"""Large meshes are read without asking for every triangle, and are Blender's own triangles all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
import pytest

from grasp_addon.engine.triangles import FEW, points_of, triangles_of

SIDE = 120  # quads along a side: more triangles than are simply asked for


class Asked:
    """A mesh that counts how many of its triangles are asked for."""

    def __init__(self, mesh: bpy.types.Mesh) -> None:
        self.mesh, self.count = mesh, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mesh, name)

    @property
    def loop_triangles(self) -> Asked:
        return self

    def __len__(self) -> int:
        return len(self.mesh.loop_triangles)

    def __getitem__(self, row: int) -> Any:
        self.count += 1
        return self.mesh.loop_triangles[row]

    def foreach_get(self, name: str, found: np.ndarray) -> None:
        self.count += len(self)
        self.mesh.loop_triangles.foreach_get(name, found)


def wavy(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points[:, :2], 0.02 * np.sin(40 * points[:, 0]) * np.cos(30 * points[:, 1])])


def far_away(points: np.ndarray) -> np.ndarray:
    return wavy(points) + 1000.0


def crumpled(points: np.ndarray) -> np.ndarray:
    return points + np.random.default_rng(0).normal(scale=0.002, size=points.shape)


def with_darts(points: np.ndarray) -> np.ndarray:
    """Every 50th point moved past the middle of its neighbours: some quads are no longer convex."""
    points = wavy(points)
    points[::50, :2] += 0.7 * 0.3 / SIDE
    return points


def with_slivers(points: np.ndarray) -> np.ndarray:
    points = wavy(points)
    points[::50] = points[1::50][:len(points[::50])]
    return points


def grid(shape: Callable[[np.ndarray], np.ndarray]) -> bpy.types.Mesh:
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=SIDE, y_subdivisions=SIDE, size=0.3)
    mesh = bpy.context.object.data
    mesh.vertices.foreach_set("co", np.ascontiguousarray(shape(points_of(mesh)), np.float32).ravel())
    mesh.update()
    return mesh


def blenders(mesh: bpy.types.Mesh) -> np.ndarray:
    mesh.calc_loop_triangles()
    return np.array([triangle.vertices[:] for triangle in mesh.loop_triangles])


def test_the_points_are_the_meshes_own() -> None:
    mesh = grid(wavy)
    assert np.array_equal(points_of(mesh), np.array([vertex.co for vertex in mesh.vertices], np.float32))
    assert points_of(bpy.data.meshes.new("Empty")).shape == (0, 3)


@pytest.mark.parametrize("shape", [wavy, far_away, crumpled, with_darts, with_slivers])
def test_the_triangles_are_blenders(shape: Callable[[np.ndarray], np.ndarray]) -> None:
    mesh = grid(shape)
    assert len(mesh.polygons) * 2 > FEW
    assert np.array_equal(triangles_of(mesh, points_of(mesh)), blenders(mesh))


def test_triangles_and_many_corners_among_the_quads() -> None:
    mesh = grid(wavy)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    bpy.ops.object.mode_set(mode="OBJECT")
    for polygon in mesh.polygons[:300]:
        polygon.select = True
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.quads_convert_to_tris()
    bpy.ops.mesh.select_all(action="DESELECT")
    bpy.ops.object.mode_set(mode="OBJECT")
    for place in range(3000, 3030):
        mesh.polygons[place].select = True
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.dissolve_faces()
    bpy.ops.object.mode_set(mode="OBJECT")
    corners = {len(polygon.vertices) for polygon in mesh.polygons}
    assert {3, 4} < corners
    assert max(corners) > 20
    asked = Asked(mesh)
    assert np.array_equal(triangles_of(asked, points_of(mesh)), blenders(mesh))
    assert asked.count < 200, "only those of the large polygon"


@pytest.mark.parametrize(("shape", "most"), [(wavy, 0), (with_darts, 6 * SIDE * SIDE // 50)])
def test_what_leaves_no_doubt_is_not_asked_for(shape: Callable[[np.ndarray], np.ndarray], most: int) -> None:
    asked = Asked(grid(shape))
    triangles_of(asked, points_of(asked.mesh))
    assert asked.count <= most


def test_a_mesh_that_was_read_just_now_is_known() -> None:
    mesh = grid(with_darts)
    points = points_of(mesh)
    first, asked = triangles_of(mesh, points), Asked(mesh)
    assert triangles_of(asked, points_of(mesh)) is first
    assert not asked.count
    mesh.vertices[1300].co.x += 0.01
    mesh.update()
    changed = triangles_of(asked, points_of(mesh))
    assert changed is not first
    assert np.array_equal(changed, blenders(mesh))
