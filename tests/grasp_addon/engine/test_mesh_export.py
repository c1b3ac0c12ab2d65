"""The selection as arrays: whatever is selected, in world scale, in a frame that turns with it."""

from __future__ import annotations

import math
import tracemalloc

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from grasp_addon.engine.mesh_export import selected_object
from grasp_addon.errors import GraspError


def read() -> tuple[np.ndarray, object]:
    """(V, 3) world positions that the sent arrays stand for, and what is sent."""
    bpy.context.view_layer.update()
    item = selected_object(bpy.context)
    return item.vertices @ item.frame[:3, :3].T + item.frame[:3, 3], item


def volume(item: object) -> float:
    a, b, c = item.vertices[item.faces].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def test_turning_and_moving_changes_nothing_that_is_sent(mug: bpy.types.Object) -> None:
    mug.scale = (1, 2, 0.5)
    _, before = read()
    mug.rotation_euler, mug.location = (2, -1, 0.3), (5, 6, 7)
    world, after = read()
    assert np.abs(after.vertices - before.vertices).max() < 1e-6
    assert np.abs(world - [mug.matrix_world @ v.co for v in mug.data.vertices]).max() < 1e-6


@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 0.5, 1), (-1, 1, 1), (-1, -2, -1)])
def test_sheared_and_mirrored_stay_themselves(scale: tuple, mug: bpy.types.Object) -> None:
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.collection.objects.link(parent)
    parent.scale, parent.rotation_euler = scale, (0.3, 0.4, 0.5)
    mug.parent = parent
    world, item = read()
    assert np.abs(world - [mug.matrix_world @ v.co for v in mug.data.vertices]).max() < 1e-6
    assert np.allclose(item.frame[:3, :3] @ item.frame[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(item.frame[:3, :3]) == pytest.approx(1)
    assert volume(item) > 0, "faces stay outward in a mirror"


def test_modifiers_ngons_and_several_objects(mug: bpy.types.Object) -> None:
    alone = read()[1]
    mug.modifiers.new("Array", "ARRAY")
    assert len(read()[1].faces) == 2 * len(alone.faces)
    bpy.ops.mesh.primitive_monkey_add(size=0.1)
    mug.select_set(True)
    world, both = read()
    assert both.name == "Suzanne"
    assert len(both.faces) == 2 * len(alone.faces) + 968
    assert np.ptp(world, axis=0).max() > 0.3


def test_curves_text_and_collection_instances(mug: bpy.types.Object) -> None:
    bpy.ops.object.text_add()
    bpy.context.object.data.extrude = 0.1
    assert len(read()[1].faces) > 10
    group = bpy.data.collections.new("Props")
    group.objects.link(mug)
    instance = bpy.data.objects.new("Prop", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", group
    bpy.context.collection.objects.link(instance)
    instance.matrix_world = Matrix.Translation((0, 0, 9)) @ Matrix.Rotation(math.pi / 3, 4, "X")
    bpy.ops.object.select_all(action="DESELECT")
    instance.select_set(True)
    bpy.context.view_layer.objects.active = instance
    world, item = read()
    assert item.name == "Prop"
    assert len(item.vertices) == len(mug.data.vertices)
    assert np.abs(world - [instance.matrix_world @ mug.matrix_world @ v.co for v in mug.data.vertices]).max() < 1e-5


def test_sentences() -> None:
    bpy.ops.object.select_all(action="DESELECT")
    with pytest.raises(GraspError, match="Nothing is selected"):
        read()
    bpy.ops.object.camera_add()
    with pytest.raises(GraspError, match="is a camera"):
        read()
    bpy.ops.object.select_all(action="DESELECT")
    for name, points, sentence in (("Nothing", [], "has no faces"),
                                   ("Broken", [(0, 0, 0), (1, 0, 0), (0, math.nan, 0)], "1 vertices of Broken")):
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(points, [], [(0, 1, 2)] if points else [])
        item = bpy.data.objects.new(name, mesh)
        bpy.context.collection.objects.link(item)
        item.select_set(True)
        bpy.context.view_layer.objects.active = item
        with pytest.raises(GraspError, match=sentence):
            read()
        item.select_set(False)


def test_flattened_to_nothing_is_said(mug: bpy.types.Object) -> None:
    mug.scale.x = 0
    with pytest.raises(GraspError, match="scaled to nothing"):
        read()


def test_vertex_groups_tell_the_parts(mug: bpy.types.Object) -> None:
    plain = read()[1]
    assert plain.parts == ()
    assert (plain.part == -1).all()
    top = [v.index for v in mug.data.vertices if v.co.z > 0]
    mug.vertex_groups.new(name="Mouth.001").add(top, 1.0, "REPLACE")
    mug.vertex_groups.new(name="Bone").add(range(len(mug.data.vertices)), 1.0, "REPLACE")
    item = read()[1]
    assert item.parts == ("mouth",)
    high = item.vertices[item.faces][..., 2].mean(1) > 0.04
    assert (item.part[high] == 0).all()
    assert (item.part[item.vertices[item.faces][..., 2].max(1) < 0] == -1).all()


def test_the_strongest_group_on_two_corners_is_the_part(mug: bpy.types.Object) -> None:
    for name, start, weight in (("blade", 0, 0.4), ("handle", 10, 0.8), ("grip.001", 0, 0.3), ("grip.002", 0, 0.3)):
        mug.vertex_groups.new(name=name).add(range(start, 40), weight, "REPLACE")
    mug.vertex_groups.new(name="tip")
    item = read()[1]
    assert item.parts == ("grip", "handle")
    corners = (item.faces[:, :, None] == np.arange(10, 40)).any(axis=2).sum(axis=1), (item.faces < 40).sum(axis=1)
    grip, handle = 0.6 * corners[1], 0.8 * corners[0]
    told = np.where(np.maximum(grip, handle) > 1.0, (handle > grip).astype(int), -1)
    assert np.array_equal(item.part, told)


def test_parts_of_a_dense_mesh_take_little_memory() -> None:
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=120, y_subdivisions=120)
    grid = bpy.context.object
    grid.vertex_groups.new(name="handle").add(range(500), 1.0, "REPLACE")
    tracemalloc.start()
    try:
        item = read()[1]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert item.parts == ("handle",)
    assert peak < 200 * len(item.faces), "bytes; a number for each part that there is, at each corner, is 264"


def torus(name: str, parent: bpy.types.Object | None = None) -> bpy.types.Object:
    bpy.ops.mesh.primitive_torus_add(major_radius=0.03, minor_radius=0.008, location=(0.05, 0, 0))
    made = bpy.context.object
    made.name, made.parent = name, parent
    return made


def only(item: bpy.types.Object) -> None:
    bpy.ops.object.select_all(action="DESELECT")
    item.select_set(True)
    bpy.context.view_layer.objects.active = item


def test_parts_that_hang_on_it_belong_to_it(mug: bpy.types.Object) -> None:
    handle = torus("Handle", mug)
    between = bpy.data.objects.new("Between", None)
    bpy.context.collection.objects.link(between)
    between.parent = mug
    lid = torus("Lid", between)
    only(mug)
    world, item = read()
    assert item.name == "Mug"
    theirs = [o.matrix_world @ v.co for o in (mug, lid, handle) for v in o.data.vertices]
    assert np.abs(world - theirs).max() < 1e-6
    handle.select_set(True)
    assert len(read()[1].faces) == len(item.faces), "each once"
    handle.hide_set(True)
    assert len(read()[0]) == len(mug.data.vertices) + len(lid.data.vertices)


def test_an_imported_root_is_one_object_with_its_meshes(mug: bpy.types.Object) -> None:
    root = bpy.data.objects.new("Root", None)
    bpy.context.collection.objects.link(root)
    root.scale, root.rotation_euler = (0.01,) * 3, (1.57, 0, 0)
    mug.parent, mug.scale = root, (100,) * 3
    only(root)
    world, item = read()
    assert item.name == "Root"
    assert np.abs(world - [mug.matrix_world @ v.co for v in mug.data.vertices]).max() < 1e-6
    bpy.data.objects.remove(mug)
    with pytest.raises(GraspError, match="Root is an empty and has no surface"):
        read()


def test_what_only_helps_is_no_part(mug: bpy.types.Object) -> None:
    alone = len(read()[0])
    cutter, cage, instanced = torus("Cutter", mug), torus("Cage", mug), torus("Instanced")
    cutting = mug.modifiers.new("Cut", "BOOLEAN")
    cutting.object, cutting.show_viewport = cutter, False
    cage.display_type = "WIRE"
    only(mug)
    assert len(read()[0]) == alone
    plane = bpy.data.meshes.new("Plane")
    plane.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    places = bpy.data.objects.new("Places", plane)
    bpy.context.collection.objects.link(places)
    places.instance_type, instanced.parent = "VERTS", places
    only(places)
    assert len(read()[0]) == 3 + 3 * len(instanced.data.vertices)


def test_what_was_moved_just_now_is_read_where_it_is(mug: bpy.types.Object) -> None:
    mug.location = (4, 5, 6)
    assert np.allclose(selected_object(bpy.context).frame[:3, 3], (4, 5, 6))


def test_instances_of_another_of_the_name_are_not_taken(mug: bpy.types.Object, tmp_path: object) -> None:
    group = bpy.data.collections.new("Props")
    group.objects.link(mug)
    instance = bpy.data.objects.new("Prop", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", group
    bpy.context.collection.objects.link(instance)
    file = str(tmp_path / "props.blend")
    bpy.data.libraries.write(file, {instance})
    with bpy.data.libraries.load(file, link=True) as (_, wanted):
        wanted.objects = ["Prop"]
    bpy.context.collection.objects.link(wanted.objects[0])
    for prop in (instance, wanted.objects[0]):
        only(prop)
        _, item = read()
        assert len(item.vertices) == len(mug.data.vertices)
        assert item.uid == prop.session_uid


def test_a_camera_or_a_holder_selected_too_is_no_part_of_it(mug: bpy.types.Object) -> None:
    bpy.ops.object.camera_add()
    mug.select_set(True)
    assert read()[1].name == "Mug"
    holder = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.collection.objects.link(holder)
    torus("Body", holder)
    only(holder)
    assert read()[1].name == "Rig"
    mug.select_set(True)
    world, item = read()
    assert item.name == "Mug"
    assert len(world) == len(mug.data.vertices)


def test_a_long_chain_is_read_in_the_order_of_selection(mug: bpy.types.Object) -> None:
    last, links = mug, []
    for number in range(1200):
        link = bpy.data.objects.new(f"Link {number}", mug.data)
        bpy.context.collection.objects.link(link)
        link.parent = last
        last = link
        links.append(link)
    bpy.context.view_layer.update()
    only(mug)
    assert read()[1].members == tuple(o.session_uid for o in (mug, *links))
    bpy.ops.object.select_all(action="SELECT")
    assert read()[1].members == tuple(o.session_uid for o in bpy.context.selected_objects)
