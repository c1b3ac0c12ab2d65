"""One candidate after the other."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, evaluated, expected, generate

from grasp_addon.rig.hands import shown_candidate


def test_show_steps_around(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    bpy.ops.grasp.show(candidate=4)
    assert shown_candidate(rig) == 4
    bpy.ops.grasp.show(direction="NEXT")
    assert shown_candidate(rig) == 1
    bpy.ops.grasp.show(direction="PREVIOUS")
    assert shown_candidate(rig) == 4
    rig.grasp.sliders.of_4 = 2
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE
    with pytest.raises(RuntimeError, match="no grasp 9"):
        bpy.ops.grasp.show(candidate=9)
