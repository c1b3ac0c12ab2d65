"""Generate, show, bake, generate again, remove: what an animator does, in a blocking Blender."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from made_hand import MadeEngine, made_candidates, made_hand
from test_rig import TOLERANCE, evaluated

from grasp_addon import scrub
from grasp_addon.animation import curves
from grasp_addon.candidates import drivers
from grasp_addon.generate import status


def names() -> set[str]:
    groups = ("objects", "meshes", "armatures", "actions", "materials", "collections", "shape_keys")
    return {f"{group}/{item.name}" for group in groups for item in getattr(bpy.data, group)}


def generate(count: int = 4, **settings: object) -> bpy.types.Object:
    for name, value in {"count": count, **settings}.items():
        setattr(bpy.context.scene.grasp, name, value)
    bpy.ops.grasp.generate()
    return scrub.rig_of(bpy.context)


def bake_at(candidates: dict[int, int]) -> None:
    """Bakes a candidate at each frame, and sees that its drivers rest afterwards."""
    for frame, number in candidates.items():
        bpy.context.scene.frame_set(frame)
        bpy.ops.grasp.show(candidate=number)
        bpy.ops.grasp.bake()
        assert all(d.mute for d in drivers(scrub.rig_of(bpy.context)))


def expected(mug: bpy.types.Object, number: int, count: int = 4, seed: int = 0, side: str = "right") -> np.ndarray:
    found = made_candidates(made_hand(side), count, seed)[number - 1].vertices
    turn, place = np.array(mug.matrix_world.to_quaternion().to_matrix()), np.array(mug.matrix_world.translation)
    return found @ turn.T + place


def test_generate_puts_the_best_on_the_object(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    assert [round(c.score, 3) for c in rig.grasp.candidates] == [1.0, 0.8, 0.6, 0.4]
    assert scrub.shown(rig) == 1
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE
    assert rig.parent == mug
    assert bpy.context.view_layer.objects.active == mug
    assert mug.select_get()


def test_hand_follows_the_object_and_a_stretched_parent_does_not_deform_it(engine: MadeEngine,
                                                                           mug: bpy.types.Object) -> None:
    mug.scale = (1.0, 2.0, 0.5)
    bpy.context.view_layer.update()
    rig = generate()
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE
    mug.location, mug.rotation_euler = (1, 2, 3), (1, 0, 2)
    bpy.context.view_layer.update()
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE


def test_left_and_unparented(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig = generate(side="left", parent=False)
    assert rig.parent is None
    assert "hand.L" in rig.pose.bones
    assert np.abs(evaluated(rig) - expected(mug, 1, side="left")).max() < TOLERANCE


def test_show_steps_around(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    bpy.ops.grasp.show(candidate=4)
    assert scrub.shown(rig) == 4
    bpy.ops.grasp.show(direction="NEXT")
    assert scrub.shown(rig) == 1
    bpy.ops.grasp.show(direction="PREVIOUS")
    assert scrub.shown(rig) == 4
    rig.grasp.sliders.of_4 = 2
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE
    with pytest.raises(RuntimeError, match="no grasp 9"):
        bpy.ops.grasp.show(candidate=9)


def test_bake_plays_interpolates_and_a_look_leaves_it_alone(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(), bpy.context.scene
    bake_at({1: 1, 21: 3})
    shown = {}
    for frame, number in ((1, 1), (21, 3)):
        scene.frame_set(frame)
        shown[frame] = evaluated(rig)
        assert np.abs(shown[frame] - expected(mug, number)).max() < TOLERANCE
    scene.frame_set(11)
    between = evaluated(rig)
    assert min(np.abs(between - shown[f]).max() for f in shown) > 0.005
    keys = [tuple(p.co) for c in curves(rig) for p in c.keyframe_points]
    bpy.ops.grasp.show(candidate=2)
    assert not any(d.mute for d in drivers(rig))
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE
    bpy.ops.grasp.end_look()
    assert np.abs(evaluated(rig) - between).max() < TOLERANCE
    bpy.ops.grasp.show(candidate=2)
    scene.frame_set(21)
    assert np.abs(evaluated(rig) - shown[21]).max() < TOLERANCE
    assert keys == [tuple(p.co) for c in curves(rig) for p in c.keyframe_points]


def test_a_look_outlives_a_frame_evaluated_anew(engine: MadeEngine, mug: bpy.types.Object) -> None:
    """As the window does after Generate."""
    rig, scene = generate(), bpy.context.scene
    bake_at({1: 1, 21: 3})
    scene.frame_set(11)
    bpy.ops.grasp.show(candidate=4)
    scene.frame_set(11)
    assert scrub.shown(rig) == 4
    assert np.abs(evaluated(rig) - expected(mug, 4)).max() < TOLERANCE
    scene.frame_set(21)
    assert np.abs(evaluated(rig) - expected(mug, 3)).max() < TOLERANCE


def test_keying_preferences_hold(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig, scene, edit = generate(), bpy.context.scene, bpy.context.preferences.edit
    before = edit.use_keyframe_insert_needed, edit.keyframe_new_interpolation_type
    try:
        edit.use_keyframe_insert_needed, edit.keyframe_new_interpolation_type = True, "LINEAR"
        scene.tool_settings.keyframe_type = "EXTREME"
        bake_at({1: 2, 11: 2})
        points = [p for c in curves(rig) for p in c.keyframe_points]
        assert {round(p.co.x) for p in points} == {1}, "the same pose needs no second key"
        assert {(p.interpolation, p.type) for p in points} == {("LINEAR", "EXTREME")}
        edit.keyframe_new_interpolation_type = "CONSTANT"
        bpy.ops.grasp.show(candidate=2)
        edit.use_keyframe_insert_needed = False
        bpy.ops.grasp.bake()
        points = [p for c in curves(rig) for p in c.keyframe_points]
        assert {(round(p.co.x), p.interpolation) for p in points} == {(1, "LINEAR"), (11, "CONSTANT")}
        assert {round(p.co.x) for c in curves(rig) for p in c.keyframe_points} == {1, 11}
    finally:
        edit.use_keyframe_insert_needed, edit.keyframe_new_interpolation_type = before


def test_baked_keys_can_be_edited(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(), bpy.context.scene
    scene.frame_set(5)
    bpy.ops.grasp.bake()
    bone = rig.pose.bones["f_index.01.R"]
    bone.rotation_quaternion = (0.5, 0.5, 0.5, 0.5)
    bone.keyframe_insert("rotation_quaternion", frame=5)
    scene.frame_set(6)
    scene.frame_set(5)
    assert tuple(bone.rotation_quaternion) == pytest.approx((0.5, 0.5, 0.5, 0.5))


def test_generate_again_replaces_what_was_not_baked(engine: MadeEngine, mug: bpy.types.Object) -> None:
    first = generate().name
    generate(seed=5)
    assert len(scrub.rigs()) == 1
    assert scrub.rigs()[0].name == first
    assert np.abs(evaluated(scrub.rigs()[0]) - expected(mug, 1, seed=5)).max() < TOLERANCE


def test_generate_again_keeps_what_was_baked(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(), bpy.context.scene
    scene.frame_set(3)
    bpy.ops.grasp.show(candidate=2)
    bpy.ops.grasp.bake()
    mug.location.x += 1.0
    bpy.context.view_layer.update()
    again = generate(seed=7)
    assert again == rig
    assert [c.number for c in rig.grasp.candidates] == [2, 1, 3, 4, 5]
    assert scrub.shown(rig) == 2
    assert np.abs(evaluated(rig) - expected(mug, 1, seed=7)).max() < TOLERANCE
    scene.frame_set(4)
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE, "the look ends with the frame"


def test_a_candidate_keyed_by_hand_is_kept(engine: MadeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    rig.grasp.mesh.data.shape_keys.key_blocks[1].keyframe_insert("value", frame=1)
    generate(seed=3)
    assert len(rig.grasp.candidates) == 5


@pytest.mark.parametrize("bake", [False, True])
def test_remove_leaves_nothing_and_takes_nothing_else(engine: MadeEngine, mug: bpy.types.Object, bake: bool) -> None:
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


def test_an_error_of_the_engine_changes_nothing(engine: MadeEngine, mug: bpy.types.Object) -> None:
    generate()
    before = names()
    engine.fails = "The disk is full: free some space and try again."
    with pytest.raises(RuntimeError, match="disk is full"):
        bpy.ops.grasp.generate()
    assert names() == before
    assert "disk is full" in status.message


def test_no_grasp_found_is_said(engine: MadeEngine, mug: bpy.types.Object) -> None:
    engine.count = 0
    with pytest.raises(RuntimeError, match="No grasp of Mug was found"):
        bpy.ops.grasp.generate()
    assert not scrub.rigs()


def test_without_an_engine_a_sentence_leads_to_the_preferences(mug: bpy.types.Object) -> None:
    with pytest.raises(RuntimeError, match="No engine is chosen"):
        bpy.ops.grasp.generate()
    assert status.advice == "preferences"


def test_too_large_is_said_and_put_right(engine: MadeEngine) -> None:
    bpy.ops.mesh.primitive_cube_add(size=2)
    with pytest.raises(RuntimeError, match=r"2 x 2 x 2 units.*too large"):
        bpy.ops.grasp.generate()
    assert status.advice == "hand_length"
    bpy.ops.grasp.set_hand_length()
    assert bpy.context.scene.grasp.hand_length == pytest.approx(5.0)
    generate()
    assert scrub.rigs()


def test_add_hand_stands_at_the_cursor(engine: MadeEngine) -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    bpy.ops.grasp.add_hand()
    rig = bpy.context.object
    assert rig.grasp.role == "ARMATURE"
    assert np.linalg.norm(evaluated(rig).mean(axis=0) - [1, 2, 3]) < 0.3
    bpy.ops.grasp.remove()
    assert not bpy.data.objects


def test_edit_mode_is_put_back(engine: MadeEngine, mug: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    generate()
    assert bpy.context.mode == "EDIT_MESH"
    assert bpy.context.object == mug
