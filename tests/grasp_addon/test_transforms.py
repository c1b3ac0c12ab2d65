"""Rotations and rigid transforms."""

from __future__ import annotations

import numpy as np
from mathutils import Euler

from grasp_addon.transforms import split_stretch


def test_polar_part_of_a_known_product() -> None:
    turn = np.array(Euler((0.3, 1.0, -2.0)).to_matrix().to_4x4())
    stretch = np.diag([1.0, 3.0, 0.2, 1.0])
    frame, found = split_stretch(turn @ stretch)
    assert np.allclose(frame, turn, atol=1e-6)
    assert np.allclose(found, stretch, atol=1e-6)
