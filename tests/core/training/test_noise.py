"""The noise that refinement is trained on and measured by."""

import math

import torch

from core.grasps.batch import Grasps
from core.rotations import axis_angle_to_matrix
from core.training.noise import PAPER, perturbed


def test_it_is_as_large_as_it_says_and_repeats(hand):
    count = 400
    pose = hand.pose_from_dofs(torch.full((1, 21), 0.3)).expand(count, -1)
    none = torch.zeros(count, 3)
    grasps = Grasps(none, pose, none, torch.zeros(count, 10), torch.zeros(count))
    one, two = (perturbed(hand, grasps, PAPER, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one.hand_pose, two.hand_pose)
    assert abs(float(one.transl.std()) - 0.05) < 0.003
    turn = axis_angle_to_matrix(one.global_orient).diagonal(dim1=1, dim2=2).sum(1)
    angle = torch.acos(((turn - 1) / 2).clamp(-1, 1))
    assert abs(float(angle.square().mean().sqrt()) - math.sqrt(3) * math.radians(15)) < 0.03
    bent = hand.dofs_from_pose(one.hand_pose)
    free = (bent > hand.dof_limits[:, 0] + 1e-3) & (bent < hand.dof_limits[:, 1] - 1e-3)
    assert abs(float((bent - 0.3)[:, free.all(0)].std()) - 0.05) < 0.005
    assert (bent <= hand.dof_limits[:, 1] + 1e-3).all()
    still = perturbed(hand, grasps, (0.0, 0.0, 0.0), torch.Generator().manual_seed(1))
    assert torch.allclose(still.hand_pose, grasps.hand_pose, atol=1e-5)
    assert torch.equal(still.betas, grasps.betas)
