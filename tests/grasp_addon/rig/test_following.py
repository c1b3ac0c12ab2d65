"""The hand follows what moves the surface it lies on: a bone, a part that is animated by itself, else the object."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from mathutils import Vector
from scene import TOLERANCE, evaluated, generate, select

from grasp_addon.operators.mixins import status
from grasp_addon.rig.hands import rigs


def armature(bones: dict[str, float]) -> bpy.types.Object:
    """One with upright bones at these places along x, not along the axes of anything else."""
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.collection.objects.link(rig)
    rig.location, rig.rotation_euler = (0.1, 0.2, 0.3), (0.2, 0.5, 0.1)
    select(rig)
    bpy.ops.object.mode_set(mode="EDIT")
    for name, x in bones.items():
        bone = rig.data.edit_bones.new(name)
        bone.head, bone.tail = (x, 0, -0.05), (x, 0, 0.07)
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def skinned(mug: bpy.types.Object, rig: bpy.types.Object, way: str = "modifier") -> None:
    """The mug moved by the armature's bones, each side by one where there are two."""
    for name in [b.name for b in rig.data.bones]:
        sides = [v.index for v in mug.data.vertices if len(rig.data.bones) == 1 or (v.co.x > 0) == (name == "plus")]
        mug.vertex_groups.new(name=name).add(sides, 0.6, "REPLACE")
    mug.parent = rig
    if way == "parent":
        mug.parent_type = "ARMATURE"
    else:
        mug.modifiers.new("Armature", "ARMATURE").object = rig
    select(mug)
    bpy.context.view_layer.update()


def surface(item: bpy.types.Object) -> np.ndarray:
    bpy.context.view_layer.update()
    seen = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([seen.matrix_world @ v.co for v in seen.data.vertices], dtype=np.float64)


def assert_moves_as(hand: bpy.types.Object, item: bpy.types.Object, vertices: list[int]) -> None:
    """The hand keeps its distances to some of the surface's vertices while the bones move."""
    def distances() -> np.ndarray:
        return np.linalg.norm(evaluated(hand)[::7, None] - surface(item)[vertices], axis=2)

    before, place = distances(), surface(item)[vertices]
    for bone in item.parent.pose.bones:
        bone.rotation_mode = "XYZ"
        bone.location, bone.rotation_euler = (0.4, 0.1, -0.2), (0.5, 1.0, 0.3)
    item.parent.location.z += 1
    assert np.abs(surface(item)[vertices] - place).max() > 0.3
    assert np.abs(distances() - before).max() < TOLERANCE


@pytest.mark.parametrize("way", ["modifier", "parent"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_surface_that_a_bone_moves(engine: FakeEngine, mug: bpy.types.Object, way: str, relative: bool) -> None:
    rig = armature({"grip": 0.0})
    rig.data.bones["grip"].use_relative_parent = relative
    rig.pose.bones["grip"].location = (0.2, 0, 0.1)
    skinned(mug, rig, way)
    hand = generate()
    assert (hand.parent, hand.parent_bone, hand.grasp.target) == (rig, "grip", mug)
    assert status.message == "4 grasps on Mug"
    assert_moves_as(hand, mug, list(range(len(mug.data.vertices))))


def test_it_is_left_where_it_is_laid(engine: FakeEngine, mug: bpy.types.Object) -> None:
    alone = evaluated(generate())
    bpy.ops.grasp.remove()
    place = mug.matrix_world.copy()
    rig = armature({"grip": 0.0})
    skinned(mug, rig)
    mug.matrix_world = place
    bpy.context.view_layer.update()
    assert np.abs(evaluated(generate()) - alone).max() < TOLERANCE


def test_the_bone_moves_while_the_engine_works(engine: FakeEngine, mug: bpy.types.Object) -> None:
    from grasp_addon.operators import generate as verb

    rig = armature({"grip": 0.0})
    skinned(mug, rig)
    job = verb.begin(bpy.context)
    while not job.done:
        for message, arrays in job.request.wait():
            job.receive(message, arrays)
    laid = job.best[0].vertices
    frame = job.item.frame
    before = np.linalg.norm((laid @ frame[:3, :3].T + frame[:3, 3])[::7, None] - surface(mug), axis=2)
    rig.pose.bones["grip"].location = (0.3, 0.2, 0.1)
    rig.pose.bones["grip"].rotation_quaternion = (0.8, 0.6, 0, 0)
    job.finish(bpy.context)
    after = np.linalg.norm(evaluated(rigs()[0])[::7, None] - surface(mug), axis=2)
    assert np.abs(after - before).max() < TOLERANCE


def test_of_two_bones_the_one_under_the_hand(engine: FakeEngine, mug: bpy.types.Object) -> None:
    mug.rotation_euler = (0, 0, 0)
    mug.scale.x = 40
    bpy.context.view_layer.update()
    rig = armature({"minus": -1.0, "plus": 1.0})
    skinned(mug, rig)
    bpy.ops.grasp.add_hand()
    hand = bpy.context.object
    end = max(surface(mug), key=lambda p: (mug.matrix_world.inverted() @ Vector(p)).x)
    hand.location = end
    select(hand, mug)
    bpy.context.view_layer.update()
    bpy.context.scene.grasp.count = 2
    bpy.context.scene.grasp.hand_length = 0.19
    bpy.ops.grasp.refine()
    assert (hand.parent, hand.parent_bone) == (rig, "plus")
    assert_moves_as(hand, mug, [v.index for v in mug.data.vertices if v.co.x > 0.03])


def test_what_the_hand_cannot_follow_is_said(engine: FakeEngine, mug: bpy.types.Object) -> None:
    lattice = bpy.data.objects.new("Cage", bpy.data.lattices.new("Cage"))
    bpy.context.collection.objects.link(lattice)
    mug.modifiers.new("Bend", "LATTICE").object = lattice
    hand = generate()
    assert hand.parent == mug
    assert status.message == "4 grasps on Mug; the hand does not follow what Bend of Mug does to the surface"
    bpy.ops.grasp.remove()
    generate(parent=False)
    assert status.message == "4 grasps on Mug"


def test_a_surface_of_many_bones_follows_one_and_says_so(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = armature({"minus": -0.03, "plus": 0.03})
    skinned(mug, rig)
    for group in mug.vertex_groups:
        group.add(range(len(mug.data.vertices)), 0.6 if group.name == "plus" else 0.3, "REPLACE")
    hand = generate()
    assert hand.parent_bone == "plus"
    assert "follows the bone plus alone" in status.message


def test_a_part_that_is_animated_by_itself(engine: FakeEngine, mug: bpy.types.Object) -> None:
    root = bpy.data.objects.new("Root", None)
    bpy.context.collection.objects.link(root)
    mug.parent = root
    bpy.context.view_layer.update()
    select(root)
    still = generate()
    assert still.parent == still.grasp.target == root
    bpy.ops.grasp.remove()
    mug.keyframe_insert("location", frame=1)
    select(root)
    hand = generate()
    assert (hand.parent, hand.grasp.target) == (mug, root)


def test_what_moves_inside_an_instance_is_said(engine: FakeEngine, mug: bpy.types.Object) -> None:
    inside = bpy.data.collections.new("Prop")
    inside.objects.link(mug)
    instance = bpy.data.objects.new("Instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", inside
    bpy.context.collection.objects.link(instance)
    bpy.context.view_layer.update()
    select(instance)
    hand = generate()
    assert hand.parent == instance
    assert status.message == "4 grasps on Instance"
    bpy.ops.grasp.remove()
    mug.keyframe_insert("location", frame=1)
    generate()
    assert "does not follow what the animation in the collection Prop does" in status.message


@pytest.mark.parametrize("how", ["parent", "constraint"])
def test_what_the_hand_itself_carries_is_not_followed_in_a_circle(engine: FakeEngine, mug: bpy.types.Object,
                                                                  how: str) -> None:
    bpy.ops.grasp.add_hand()
    hand = bpy.context.object
    hand.location = mug.location
    bpy.context.view_layer.update()
    if how == "parent":
        place = mug.matrix_world.copy()
        mug.parent = hand
        mug.matrix_world = place
    else:
        constraint = mug.constraints.new("CHILD_OF")
        constraint.target = hand
        constraint.inverse_matrix = hand.matrix_world.inverted()
    select(hand, mug)
    bpy.context.view_layer.update()
    bpy.ops.grasp.refine()
    assert hand.parent is None
    assert status.message.endswith("; the hand does not follow Mug, which hangs on it")


def test_a_bone_scaled_to_nothing_is_said(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = armature({"grip": 0.0})
    skinned(mug, rig)
    rig.pose.bones["grip"].scale = (0, 1, 1)
    hand = generate()
    assert hand.parent == mug
    assert "grip is scaled to nothing" in status.message
