"""A hand goes with all that was made for it, and nothing else."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, bake_at, evaluated, expected, generate, names, select

from grasp_addon.rig.animation import fcurves
from grasp_addon.rig.hands import rigs


def paths(action: bpy.types.Action) -> set[str]:
    """The data paths of all curves of an action."""
    holder = bpy.data.objects.new("Reader", None)
    animation = holder.animation_data_create()
    animation.action = action
    if hasattr(action, "slots"):
        animation.action_slot = action.slots[0]
    found = {c.data_path for c in fcurves(holder)}
    bpy.data.objects.remove(holder)
    return found


@pytest.mark.parametrize("bake", [False, True])
def test_remove_leaves_nothing_and_takes_nothing_else(engine: FakeEngine, mug: bpy.types.Object, bake: bool) -> None:
    before = names()
    rig = generate(count=20)
    ring = bpy.data.objects.new("Ring", None)
    rig.grasp.collection.objects.link(ring)
    ring.parent = rig
    if bake:
        bpy.ops.grasp.bake()
    bpy.ops.grasp.remove()
    assert names() == before | {"objects/Ring"}
    assert ring.name in bpy.context.scene.objects


@pytest.mark.parametrize("pushed_down", [False, True])
def test_the_animators_own_action_stays(engine: FakeEngine, mug: bpy.types.Object, tmp_path: object,
                                        pushed_down: bool) -> None:
    rig = generate(count=2)
    rig.keyframe_insert("location", frame=1)
    rig.pose.bones["f_index.02.R"].keyframe_insert("scale", frame=1)
    action = rig.animation_data.action
    action.name = "Shot"
    bake_at({5: 1, 9: 2})
    assert any("rotation_quaternion" in p for p in paths(action))
    if pushed_down:
        slot = getattr(rig.animation_data, "action_slot", None)
        strip = rig.animation_data.nla_tracks.new().strips.new("Shot", 1, action)
        if slot:
            strip.action_slot = slot
        rig.animation_data.action = None
    select(rig)
    bpy.ops.grasp.remove()
    assert paths(bpy.data.actions["Shot"]) == {"location", 'pose.bones["f_index.02.R"].scale'}
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert [a.name for a in bpy.data.actions] == ["Shot"]


def test_what_the_animator_keyed_into_our_action_stays(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=2)
    bake_at({5: 1, 9: 2})
    rig.keyframe_insert("location", frame=1)
    action = rig.animation_data.action.name
    bpy.ops.grasp.remove()
    assert paths(bpy.data.actions[action]) == {"location"}


def test_an_action_that_another_object_plays_is_left_whole(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=2)
    bake_at({5: 1, 9: 2})
    other = bpy.data.objects.new("Other", None)
    other.animation_data_create().action = rig.animation_data.action
    before = paths(rig.animation_data.action)
    bpy.ops.grasp.remove()
    assert paths(other.animation_data.action) == before


def test_a_duplicate_goes_alone(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=3)
    bake_at({1: 1, 9: 2})
    before = names()
    select(rig, rig.grasp.mesh)
    bpy.ops.object.duplicate()
    copy = bpy.context.view_layer.objects.active
    assert copy != rig
    select(copy)
    bpy.ops.grasp.remove()
    assert rigs() == [rig]
    assert {n for n in before if not n.startswith("actions")} <= names()
    assert rig.grasp.collection.name in bpy.context.scene.collection.children
    for frame, number in ((1, 1), (9, 2)):
        bpy.context.scene.frame_set(frame)
        assert np.abs(evaluated(rig) - expected(mug, number, count=3)).max() < TOLERANCE


def test_a_duplicate_of_the_bones_alone_takes_no_mesh_along(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=3)
    mesh = rig.grasp.mesh
    select(rig)
    bpy.ops.object.duplicate()
    bpy.ops.grasp.remove()
    assert mesh.name in bpy.context.scene.objects
    assert mesh.data.shape_keys


@pytest.mark.parametrize("how", ["Child Of", "Armature", "Hook", "driver", "bone"])
def test_a_hand_that_something_holds_on_to_stays(engine: FakeEngine, mug: bpy.types.Object, how: str) -> None:
    rig = generate(count=2)
    bpy.ops.mesh.primitive_cube_add(size=0.02, location=(1, 0, 0))
    prop = bpy.context.object
    prop.name = "Prop"
    if how == "Child Of":
        held = prop.constraints.new("CHILD_OF")
        held.target, held.subtarget = rig, "hand.R"
    elif how == "Armature":
        prop.constraints.new("ARMATURE").targets.new().target = rig
    elif how == "Hook":
        prop.modifiers.new("Hook", "HOOK").object = rig
    elif how == "driver":
        variable = prop.driver_add("location", 0).driver.variables.new()
        variable.type, variable.targets[0].id = "TRANSFORMS", rig
    else:
        bpy.ops.object.armature_add()
        bpy.context.object.name = "Prop"
        bpy.context.object.pose.bones[0].constraints.new("COPY_LOCATION").target = rig
    bpy.context.view_layer.update()
    place = prop.matrix_world.copy()
    select(rig)
    with pytest.raises(RuntimeError, match="Prop"):
        bpy.ops.grasp.remove()
    select(mug)
    assert bpy.ops.grasp.generate() == {"FINISHED"}
    bpy.context.view_layer.update()
    assert rig in rigs()
    assert len(rigs()) == 2
    assert np.abs(np.array(prop.matrix_world) - np.array(place)).max() < 1e-6
    bpy.ops.grasp.remove(everything=True)
    assert rigs() == [rig]


def test_what_hangs_on_the_skin_stays_where_it_is(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=2)
    ring = bpy.data.objects.new("Ring", None)
    bpy.context.scene.collection.objects.link(ring)
    ring.parent, ring.location = rig.grasp.mesh, (0.1, 0.2, 0.3)
    bpy.context.view_layer.update()
    place = np.array(ring.matrix_world)
    bpy.ops.grasp.remove()
    bpy.context.view_layer.update()
    assert np.abs(np.array(ring.matrix_world) - place).max() < 1e-6
