"""Rotations and rigid transforms."""

from __future__ import annotations

import numpy as np
from mathutils import Euler

from grasp_addon.transforms import matrices_from_quaternions, quaternions_from_matrices, split_stretch


def test_polar_part_of_a_known_product() -> None:
    turn = np.array(Euler((0.3, 1.0, -2.0)).to_matrix().to_4x4())
    stretch = np.diag([1.0, 3.0, 0.2, 1.0])
    frame, found = split_stretch(turn @ stretch)
    assert np.allclose(frame, turn, atol=1e-6)
    assert np.allclose(found, stretch, atol=1e-6)


def test_quaternions_of_rotations_by_every_largest_part() -> None:
    """Half turns about each axis have no real part, small turns no other; each is found beside the others."""
    found = np.random.default_rng(0).normal(size=(200, 4))
    found[:12] = np.repeat(np.eye(4), 3, axis=0) + 0.01 * found[:12]
    found /= np.where(found[:, :1] < 0, -1, 1) * np.linalg.norm(found, axis=1, keepdims=True)
    assert set(np.abs(found).argmax(axis=1)) == {0, 1, 2, 3}
    assert np.allclose(quaternions_from_matrices(matrices_from_quaternions(found)), found, atol=1e-12)
    assert quaternions_from_matrices(np.empty((0, 3, 3))).shape == (0, 4)
