"""Bones freed from the shown grasp."""

from __future__ import annotations

import bpy
import numpy as np
from fake_engine import FakeEngine
from scene import TOLERANCE, evaluated, generate, select

from grasp_addon.rig.drivers import drivers


def test_bones_freed_from_a_candidate_are_the_animators(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=2)
    shown = evaluated(rig)
    assert bpy.ops.grasp.pose() == {"FINISHED"}
    assert bpy.context.mode == "POSE"
    assert np.abs(evaluated(rig) - shown).max() < TOLERANCE
    assert not bpy.ops.grasp.pose.poll()
    rig.pose.bones["f_index.01.R"].rotation_quaternion = (0.9, 0.4, 0, 0)
    mine = evaluated(rig)
    assert np.abs(mine - shown).max() > 0.01
    assert bpy.ops.grasp.refine() == {"FINISHED"}
    assert bpy.context.mode == "POSE"
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(rig) - mine).max() < TOLERANCE
    bpy.ops.grasp.pose()
    bpy.ops.grasp.show(candidate=2)
    assert not any(d.mute for d in drivers(rig))


def test_generating_again_keeps_a_pose_in_the_making(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=2)
    bpy.ops.grasp.pose()
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.pose.bones["f_index.01.R"].rotation_quaternion = (0.9, 0.4, 0, 0)
    mine = evaluated(rig)
    select(mug)
    generate(seed=3)
    assert [c.own for c in rig.grasp.candidates] == [True, False, False, False, False]
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(rig) - mine).max() < TOLERANCE
