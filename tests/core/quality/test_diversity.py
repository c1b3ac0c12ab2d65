"""Which grasps differ: turned about a round object they do not, and the largest set is found exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from core.objects import prepare_object
from core.quality.diversity import different_grasps, distinct, most_different
from core.quality.symmetry import NO_SYMMETRY, find_symmetry


def joints_beside(*rotations):
    """A made-up hand 6 cm beside the z axis, turned about the origin."""
    hand = np.random.default_rng(0).normal(0, 0.04, (21, 3)) + [0.06, 0, 0]
    return torch.tensor(np.stack([hand @ Rotation.from_rotvec(turn).as_matrix().T for turn in rotations]))


def symmetry_of(mesh):
    return find_symmetry(prepare_object(mesh.vertices, mesh.faces))


def test_each_choice_differs_from_all_before():
    chosen = list(distinct([5, 3, 4, 9, 8], lambda row, other: abs(row - other) > 1))
    assert chosen == [5, 3, 9]


def test_a_hand_carried_round_a_can_is_one_grasp():
    joints = joints_beside([0, 0, 0], [0, 0, 1.0], [0, 0, 4.0], [0, 1.0, 0])
    assert different_grasps(joints, symmetry_of(trimesh.creation.cylinder(0.03, 0.1))) == [0, 3]
    assert different_grasps(joints, NO_SYMMETRY) == [0, 1, 2, 3]
    assert different_grasps(joints, symmetry_of(trimesh.creation.cylinder(0.03, 0.1)).trivial) == [0, 1, 2, 3]


def test_any_turn_about_a_ball_is_one_grasp():
    joints = joints_beside([0, 0, 0], [0.5, -1.0, 1.0], [2.0, 0, 1.0])
    assert different_grasps(joints, symmetry_of(trimesh.creation.icosphere(4, 0.03))) == [0]
    moved = torch.cat([joints, 1.7 * joints[:1]])
    assert different_grasps(moved, symmetry_of(trimesh.creation.icosphere(4, 0.03))) == [0, 3]


def test_half_a_turn_of_a_box_is_one_grasp_and_a_quarter_is_not():
    joints = joints_beside([0, 0, 0], [0, 0, np.pi], [0, 0, np.pi / 2])
    assert different_grasps(joints, symmetry_of(trimesh.creation.box((0.03, 0.06, 0.1)))) == [0, 2]


def test_three_centimetres_are_different():
    joints = torch.zeros(4, 21, 3)
    joints[:, :, 0] = torch.tensor([0.0, 0.029, 0.031, 0.062])[:, None]
    assert different_grasps(joints, NO_SYMMETRY) == [0, 2, 3]


def test_the_largest_set_that_differs_does_not_depend_on_the_order():
    joints = torch.zeros(5, 21, 3)
    joints[:, :, 0] = torch.tensor([0.02, 0.0, 0.04, 0.06, 0.08])[:, None]
    assert len(different_grasps(joints, NO_SYMMETRY)) == 2
    assert most_different(joints, NO_SYMMETRY) == [1, 2, 4]
    assert most_different(joints.flip(0), NO_SYMMETRY) == [0, 2, 3]
    assert most_different(joints[:2], NO_SYMMETRY, value=torch.tensor([10.0, 20.0])) == [1]
    assert most_different(joints[:2], NO_SYMMETRY, value=torch.tensor([20.0, 10.0])) == [0]
    assert most_different(joints[[1, 3]], NO_SYMMETRY) == [0, 1]


def test_another_library_finds_as_many_that_differ():
    """networkx: the largest clique of what differs."""
    networkx = pytest.importorskip("networkx")
    for seed in range(4):
        joints = 0.05 * torch.rand(24, 1, 3, generator=torch.Generator().manual_seed(seed)).expand(-1, 21, -1)
        apart = torch.cdist(joints[:, 0].double(), joints[:, 0].double()).numpy() >= 0.03
        clique, _ = networkx.max_weight_clique(networkx.from_numpy_array(apart), weight=None)
        assert 1 < len(clique) < 24
        assert len(most_different(joints, NO_SYMMETRY)) == len(clique)
