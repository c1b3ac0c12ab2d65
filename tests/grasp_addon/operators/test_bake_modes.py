"""Bones in whichever rotation mode the animator set, and curves that lead to both neighbours the short way."""

from __future__ import annotations

import itertools

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, bake_at, evaluated, expected, generate

from grasp_addon.rig.animation import fcurve


def turns(rig: bpy.types.Object, bone: str, frames: list[int]) -> np.ndarray:
    """(frames, 4) the numbers on the quaternion's curves."""
    curves = [fcurve(rig, f'pose.bones["{bone}"].rotation_quaternion', i) for i in range(4)]
    return np.array([[c.evaluate(frame) for c in curves] for frame in frames])


@pytest.mark.parametrize("mode", ["XYZ", "ZYX", "AXIS_ANGLE", "QUATERNION"])
def test_every_rotation_mode_shows_bakes_and_looks(engine: FakeEngine, mug: bpy.types.Object, mode: str) -> None:
    rig, scene = generate(), bpy.context.scene
    for bone in rig.pose.bones:
        bone.rotation_mode = mode
    bpy.ops.grasp.show(candidate=2)
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE
    bake_at({1: 1, 21: 3})
    assert {b.rotation_mode for b in rig.pose.bones} == {mode}, "the animator's mode is back"
    for frame, number in ((1, 1), (21, 3)):
        scene.frame_set(frame)
        assert np.abs(evaluated(rig) - expected(mug, number)).max() < 2 * TOLERANCE
    bpy.ops.grasp.show(candidate=4)
    assert np.abs(evaluated(rig) - expected(mug, 4)).max() < TOLERANCE
    bpy.ops.grasp.end_look()
    assert np.abs(evaluated(rig) - expected(mug, 3)).max() < 2 * TOLERANCE
    assert {b.rotation_mode for b in rig.pose.bones} == {mode}


def test_show_says_that_it_sets_the_mode(engine: FakeEngine, mug: bpy.types.Object,
                                         capfd: pytest.CaptureFixture) -> None:
    rig = generate()
    rig.pose.bones["f_index.01.R"].rotation_mode = "XYZ"
    bpy.ops.grasp.show(candidate=2)
    assert "f_index.01.R set to Quaternion" in capfd.readouterr().out
    bpy.ops.grasp.pose()
    assert rig.pose.bones["f_index.01.R"].rotation_mode == "XYZ"
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < 2 * TOLERANCE


def test_a_grasp_baked_between_two_turns_the_short_way_to_both(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(count=16), bpy.context.scene
    bake_at({1: 1, 20: 2, 40: 3, 60: 4})
    for number in range(5, 17):
        bake_at({20: number})
        for bone in rig.pose.bones:
            numbers = turns(rig, bone.name, [1, 20, 40, 60])
            assert all((a * b).sum() >= -1e-6 for a, b in itertools.pairwise(numbers)), (number, bone.name)
    for frame, number in ((1, 1), (20, 16), (40, 3), (60, 4)):
        scene.frame_set(frame)
        assert np.abs(evaluated(rig) - expected(mug, number, count=16)).max() < TOLERANCE


def test_a_grasp_baked_before_all_others_turns_the_short_way(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=8)
    bake_at({40: 1})
    for number in range(2, 9):
        bake_at({20: number})
        a, b = turns(rig, "hand.R", [20, 40])
        assert (a * b).sum() >= 0


def test_euler_bones_turn_less_than_half_a_turn(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=8)
    rig.pose.bones["hand.R"].rotation_mode = "XYZ"
    bake_at({1: 1, 20: 2, 40: 3})
    for number in range(4, 9):
        bake_at({20: number})
        curves = [fcurve(rig, 'pose.bones["hand.R"].rotation_euler', i) for i in range(3)]
        for a, b in ((1, 20), (20, 40)):
            assert max(abs(c.evaluate(a) - c.evaluate(b)) for c in curves) < np.pi + 1e-4


def test_locked_curves_are_told(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    bake_at({1: 1})
    for index in range(4):
        fcurve(rig, 'pose.bones["hand.R"].rotation_quaternion', index).lock = True
    bpy.context.scene.frame_set(9)
    with pytest.raises(RuntimeError, match="locked"):
        bpy.ops.grasp.bake()
