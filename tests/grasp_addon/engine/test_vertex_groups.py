"""Vertex groups as arrays: what each vertex tells, at once, and nothing of the file changes."""

from __future__ import annotations

import time
from collections.abc import Callable

import bpy
import numpy as np
import pytest
from scene import names, select

from grasp_addon.engine.mesh_export import selected_object
from grasp_addon.engine.vertex_groups import weights_of

GROUPS = ("handle.L", "Blade", "a name of 63 letters".ljust(63, "x"))


def grouped(item: bpy.types.Object, seed: int = 0) -> bpy.types.Object:
    """The object with random weights in three groups, and a fourth that nobody asks for; many points are in none."""
    rng = np.random.default_rng(seed)
    for name in ("other", *GROUPS):
        group = item.vertex_groups.new(name=name)
        for vertex in rng.choice(len(item.data.vertices), len(item.data.vertices) // 2, replace=False).tolist():
            group.add([vertex], float(rng.random()), "REPLACE")
    return item


def as_vertices_tell(item: bpy.types.Object) -> np.ndarray:
    found = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
    indices = {found.vertex_groups[name].index: row for row, name in enumerate(GROUPS)}
    mesh = found.to_mesh()
    weights = np.zeros((len(GROUPS), len(mesh.vertices)), np.float32)
    for vertex in mesh.vertices:
        for entry in vertex.groups:
            if entry.group in indices:
                weights[indices[entry.group], vertex.index] = entry.weight
    found.to_mesh_clear()
    return weights


def mirrored(item: bpy.types.Object) -> None:
    item.modifiers.new("Mirror", "MIRROR").use_bisect_axis[0] = True
    item.modifiers.new("Subdivision", "SUBSURF")


def with_keys(item: bpy.types.Object) -> None:
    item.shape_key_add(name="Basis")
    item.shape_key_add(name="Wide").value = 0.5


@pytest.mark.parametrize("change", [
    lambda item: None, mirrored, with_keys, lambda item: bpy.ops.object.mode_set(mode="EDIT"),
    lambda item: item.data.materials.append(bpy.data.materials.new("Paint")),
], ids=["plain", "modifiers", "shape keys", "Edit Mode", "a material"])
def test_all_at_once_is_what_each_vertex_tells(mug: bpy.types.Object, change: Callable[[bpy.types.Object], object]
                                               ) -> None:
    change(grouped(mug))
    bpy.context.view_layer.update()
    told, before = as_vertices_tell(mug), names()
    scenes, trees = list(bpy.data.scenes), list(bpy.data.node_groups)
    mode, changed = bpy.context.mode, bpy.data.is_dirty
    found = weights_of(mug.evaluated_get(bpy.context.evaluated_depsgraph_get()), GROUPS)
    assert (told > 0).any(axis=1).all()
    assert np.array_equal(found, told)
    assert names() == before, "nothing stays"
    assert (list(bpy.data.scenes), list(bpy.data.node_groups)) == (scenes, trees)
    assert (bpy.context.mode, bpy.data.is_dirty) == (mode, changed)


def test_instances_have_their_own(mug: bpy.types.Object) -> None:
    """Blender's list of instances is gone through meanwhile, each with a mesh that is read."""
    mug.vertex_groups.new(name="handle").add([v.index for v in mug.data.vertices if v.co.z > 0], 1.0, "REPLACE")
    alone = selected_object(bpy.context)
    shelf = bpy.data.collections.new("Shelf")
    shelf.objects.link(mug)
    places = []
    for place in range(3):
        empty = bpy.data.objects.new("Place", None)
        empty.instance_type, empty.instance_collection = "COLLECTION", shelf
        empty.location.x = place
        bpy.context.scene.collection.objects.link(empty)
        places.append(empty)
    bpy.context.view_layer.update()
    item = selected_object(bpy.context, places)
    assert item.parts == ("handle",)
    assert np.array_equal(item.part, np.tile(alone.part, 3))
    assert (alone.part == 0).any()


def test_undo_goes_past_the_reading(mug: bpy.types.Object) -> None:
    grouped(mug)
    bpy.ops.ed.undo_push(message="Before")
    selected_object(bpy.context)
    mug.location.x = 3.0
    bpy.ops.ed.undo_push(message="Moved")
    bpy.ops.ed.undo()
    mug = bpy.data.objects["Mug"]
    assert abs(mug.location.x - 0.3) < 1e-6
    select(mug)
    assert selected_object(bpy.context).parts == ("blade", "handle")


def test_a_quarter_of_a_million_vertices_hold_no_window() -> None:
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=500, y_subdivisions=500)
    grid = bpy.context.object
    for name in ("handle", "blade"):
        grid.vertex_groups.new(name=name).add(range(200000), 0.7, "REPLACE")
    bpy.context.view_layer.update()
    evaluated, taken = grid.evaluated_get(bpy.context.evaluated_depsgraph_get()), []
    for _ in range(3):
        started = time.process_time()
        weights_of(evaluated, ["handle", "blade"])
        taken.append(time.process_time() - started)
        evaluated = grid.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert min(taken) < 0.05, taken
