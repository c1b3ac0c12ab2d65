"""A pose in the scene, read back as the engine's numbers."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from fake_engine import random_candidates, tube_hand

from grasp_addon.rig.build import build_hand
from grasp_addon.rig.candidates import replace_candidates
from grasp_addon.rig.frames import open_hand_beside
from grasp_addon.rig.pose_reader import read_pose
from grasp_addon.rig.scrub import show
from grasp_addon.transforms import matrices_from_quaternions

FRAME = np.array([[0.0, -1, 0, 0.3], [0.6, 0, -0.8, -0.2], [0.8, 0, 0.6, 0.5], [0, 0, 0, 1]])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("length", [0.19, 19.0])
def test_a_candidates_pose_is_read_back(side: str, length: float) -> None:
    """Rig posed from the arrays, read from the evaluated bones: rotations, place, mesh before and after skinning."""
    shape = tube_hand(side, length)
    placed = open_hand_beside(shape, np.full(3, -0.05 * length), np.full(3, 0.05 * length))
    rig = build_hand(bpy.context, shape, placed, FRAME, "")
    found = random_candidates(shape, 3)
    object_frame = np.linalg.inv(FRAME) @ np.diag([-1.0, -1, 1, 1])
    replace_candidates(rig, found, np.linalg.inv(FRAME) @ object_frame)
    for number, one in enumerate(found, 1):
        show(rig, number)
        bpy.context.view_layer.update()
        pose = read_pose(bpy.context, rig, object_frame)
        assert np.abs(matrices_from_quaternions(pose.rotations) - matrices_from_quaternions(one.rotations)).max() < 1e-5
        for name in ("translation", "rest_vertices", "vertices"):
            assert np.abs(getattr(pose, name) - getattr(one, name)).max() < 1e-5 * length / 0.19, name
