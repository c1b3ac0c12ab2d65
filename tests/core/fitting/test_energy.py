"""The energy: its skin is the hand's, its terms see walls, and it reads no more skin than it must."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.fitting.energy import CONFIG, GraspEnergy, depth_behind_wall
from core.fitting.hand_points import HandPoints
from core.fitting.poses import Poses
from core.rotations import axis_angle_to_matrix


@pytest.fixture(scope="module")
def energy(hand, cube):
    return GraspEnergy(hand, HandPoints(hand), torch.zeros(10), cube)


def test_the_whole_skin_is_the_hands_and_moves_with_its_bones(hand, energy, rng):
    dofs = torch.full((2, 21), 0.5, requires_grad=True)
    rotation = axis_angle_to_matrix(torch.randn(2, 3, generator=rng))
    poses = Poses(rotation, torch.randn(2, 3, generator=rng), dofs, dofs.detach(), ("",) * 2)
    vertices = energy.hand_vertices(poses)
    parameters = energy.grasps(poses, "", 0).parameters()
    with torch.no_grad():
        right = hand(**parameters).vertices
    torch.testing.assert_close(vertices.detach(), right, atol=2e-6, rtol=0)
    weight = torch.randn(vertices.shape, generator=rng)
    gradient = torch.autograd.grad((vertices * weight).sum(), dofs)[0]
    exact = hand(**parameters | {"hand_pose": hand.pose_from_dofs(dofs)}).vertices
    full = torch.autograd.grad((exact * weight).sum(), dofs)[0]
    assert torch.cosine_similarity(gradient.flatten(), full.flatten(), dim=0) > 0.97


def test_only_skin_near_the_object_is_read(hand, energy):
    """A hand over a box by its fingertips: their skin, and none of the heel's; in both hands' of a pair."""
    tip = energy.all_vertices.rest[hand.tip_vertices[2]]
    dofs = torch.zeros(2, 21)
    wrist = torch.stack([torch.tensor([0.0, 0, 0.03]) - tip, torch.tensor([0.0, 0.5, 0])])
    poses = Poses(torch.eye(3).expand(2, 3, 3), wrist, dofs, dofs, ("",) * 2)
    near, vertices = energy.near_vertices(poses), energy.hand_vertices(poses)
    rows = (energy.grid.query(vertices[0])[0] < CONFIG.near).nonzero()[:, 0]
    assert 20 < len(rows) < 0.6 * len(vertices[0])
    torch.testing.assert_close(energy.hand_vertices(poses, near), vertices[:, rows], atol=1e-6, rtol=0)
    assert torch.equal(near.area, energy.vertex_area[rows])
    nowhere = replace(poses, wrist=wrist + 1.0)
    everywhere = torch.ones(2, energy.hand_points.candidates.stop)
    assert energy(nowhere, everywhere, energy.near_vertices(nowhere)).isfinite().all()


def test_skin_beyond_a_thin_wall_is_deeper_the_farther_it_is():
    normal = torch.tensor([[[0.0, 0, 1]]])
    beyond = depth_behind_wall(torch.tensor([[0.1]]), normal, normal)
    assert float(beyond) == pytest.approx(0.2)
    assert float(depth_behind_wall(torch.tensor([[0.1]]), normal, -normal)) == 0.0  # skin that faces the wall


def test_the_pose_terms_are_none_at_the_template_and_grow_from_it(energy):
    template = energy.limits.mean(1).expand(3, 21)
    bent = template.clone()
    bent[1, 2] += 0.3  # one finger's middle joint alone
    bent[2, [2, 3]] += torch.tensor([0.3, 0.2])  # with its last joint, as the tendon ties them
    wrist = torch.zeros(3, 3)
    terms = energy.pose_terms(Poses(torch.eye(3).expand(3, 3, 3), wrist, bent, template, ("",) * 3))
    assert float(terms[0]) == 0
    assert float(terms[1]) == pytest.approx(0.6 * 0.09 + 0.5 * 0.04 + 0.4 * 0.09, rel=1e-4)
    assert float(terms[2]) == pytest.approx(0.6 * (0.09 + 0.04) + 0.4 * 0.09, rel=1e-4)


def test_fingers_in_each_other_cost(energy):
    dofs = torch.zeros(2, 21)
    dofs[1, [1, 5]] = torch.tensor([-0.3, 0.3])  # the index and the middle finger spread into each other
    crossed = energy.self_penetration(energy.points(Poses(torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3), dofs, dofs,
                                                          ("",) * 2))).amax((1, 2))
    assert crossed[1] > crossed[0] + 0.1
