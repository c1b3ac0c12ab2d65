"""An object of another size, and the button that helps."""

from __future__ import annotations

import bpy
import pytest
from fake_engine import FakeEngine
from scene import generate

from grasp_addon.operators.mixins import status
from grasp_addon.rig.hands import rigs


def test_too_large_is_said_and_put_right(engine: FakeEngine) -> None:
    bpy.ops.mesh.primitive_cube_add(size=2)
    with pytest.raises(RuntimeError, match=r"2 x 2 x 2 units.*too large"):
        bpy.ops.grasp.generate()
    assert status.advice == "hand_length"
    bpy.ops.grasp.set_hand_length()
    assert bpy.context.scene.grasp.hand_length == pytest.approx(5.0)
    generate()
    assert rigs()
