"""The hand alone."""

from __future__ import annotations

import bpy
import numpy as np
from fake_engine import FakeEngine
from scene import evaluated


def test_add_hand_stands_at_the_cursor(engine: FakeEngine) -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    bpy.ops.grasp.add_hand()
    rig = bpy.context.object
    assert rig.grasp.role == "ARMATURE"
    assert np.linalg.norm(evaluated(rig).mean(axis=0) - [1, 2, 3]) < 0.3
    bpy.ops.grasp.remove()
    assert not bpy.data.objects
