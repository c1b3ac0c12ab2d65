"""Keys that play, looks that leave them alone, and the preferences about keys."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, bake_at, evaluated, expected, generate

from grasp_addon.rig.animation import fcurves
from grasp_addon.rig.drivers import drivers
from grasp_addon.rig.hands import shown_candidate


def test_bake_plays_interpolates_and_a_look_leaves_it_alone(engine: FakeEngine, mug: bpy.types.Object) -> None:
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
    keys = [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]
    bpy.ops.grasp.show(candidate=2)
    assert not any(d.mute for d in drivers(rig))
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE
    bpy.ops.grasp.end_look()
    assert np.abs(evaluated(rig) - between).max() < TOLERANCE
    bpy.ops.grasp.show(candidate=2)
    scene.frame_set(21)
    assert np.abs(evaluated(rig) - shown[21]).max() < TOLERANCE
    assert keys == [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]


def test_a_look_outlives_a_frame_evaluated_anew(engine: FakeEngine, mug: bpy.types.Object) -> None:
    """As the window does after Generate."""
    rig, scene = generate(), bpy.context.scene
    bake_at({1: 1, 21: 3})
    scene.frame_set(11)
    bpy.ops.grasp.show(candidate=4)
    scene.frame_set(11)
    assert shown_candidate(rig) == 4
    assert np.abs(evaluated(rig) - expected(mug, 4)).max() < TOLERANCE
    scene.frame_set(21)
    assert np.abs(evaluated(rig) - expected(mug, 3)).max() < TOLERANCE


def test_keying_preferences_hold(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig, scene, edit = generate(), bpy.context.scene, bpy.context.preferences.edit
    before = edit.use_keyframe_insert_needed, edit.keyframe_new_interpolation_type
    try:
        edit.use_keyframe_insert_needed, edit.keyframe_new_interpolation_type = True, "LINEAR"
        scene.tool_settings.keyframe_type = "EXTREME"
        bake_at({1: 2, 11: 2})
        points = [p for c in fcurves(rig) for p in c.keyframe_points]
        assert {round(p.co.x) for p in points} == {1}, "the same pose needs no second key"
        assert {(p.interpolation, p.type) for p in points} == {("LINEAR", "EXTREME")}
        edit.keyframe_new_interpolation_type = "CONSTANT"
        bpy.ops.grasp.show(candidate=2)
        edit.use_keyframe_insert_needed = False
        bpy.ops.grasp.bake()
        points = [p for c in fcurves(rig) for p in c.keyframe_points]
        assert {(round(p.co.x), p.interpolation) for p in points} == {(1, "LINEAR"), (11, "CONSTANT")}
        assert {round(p.co.x) for c in fcurves(rig) for p in c.keyframe_points} == {1, 11}
    finally:
        edit.use_keyframe_insert_needed, edit.keyframe_new_interpolation_type = before


def test_baked_keys_can_be_edited(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(), bpy.context.scene
    scene.frame_set(5)
    bpy.ops.grasp.bake()
    bone = rig.pose.bones["f_index.01.R"]
    bone.rotation_quaternion = (0.5, 0.5, 0.5, 0.5)
    bone.keyframe_insert("rotation_quaternion", frame=5)
    scene.frame_set(6)
    scene.frame_set(5)
    assert tuple(bone.rotation_quaternion) == pytest.approx((0.5, 0.5, 0.5, 0.5))
