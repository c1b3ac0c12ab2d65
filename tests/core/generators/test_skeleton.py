"""A posture's correction by its skeleton: key points, angles, gate."""

import math

import pytest
import torch

from core.generators.skeleton import Correction, adjacent_angles, keypoints


def test_angles_between_adjacent_keypoints_in_numbers():
    """Eq. 7: straight, a right angle, and 60 degrees."""
    chain = torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [3, 2, 0], [3 + math.sin(math.pi / 3), 1.5, 0]])
    found = adjacent_angles(chain[None])[0]
    assert found.tolist() == pytest.approx([math.pi, math.pi / 2, math.pi / 3], abs=0.015)


def test_a_straight_chain_has_a_gradient():
    chain = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 1e-9, 0]]]).requires_grad_()
    adjacent_angles(chain).sum().backward()
    assert chain.grad.isfinite().all()


def test_keypoints_are_the_hands_joints_in_the_wrists_frame(hand):
    rng = torch.Generator().manual_seed(0)
    pose, betas = 0.4 * torch.randn(3, 45, generator=rng), torch.randn(3, 10, generator=rng)
    found = keypoints(hand, pose, betas)
    root = hand.rest_joints(betas)[:, :1]
    joints = hand(torch.zeros(3, 3), pose, torch.zeros(3, 3), betas).joints - root
    index = [0, 1, 2, 3, 17]  # wrist, three joints and tip of the index finger
    assert torch.allclose(found[:, 1, :4], joints[:, index[:4]], atol=1e-5)
    assert (found[:, 1, 4] - joints[:, 17]).norm(dim=-1).max() < 0.006  # the skin's correctives are left out
    thumb = [0, 13, 14, 15]
    assert torch.allclose(found[:, 0, :4], joints[:, thumb], atol=1e-5)


def test_a_bent_finger_has_smaller_angles(hand):
    pose = torch.zeros(1, 45)
    straight = adjacent_angles(keypoints(hand, pose, torch.zeros(1, 10)))
    pose[:, 3:9] = 0.7  # the two outer joints of the index finger
    bent = adjacent_angles(keypoints(hand, pose, torch.zeros(1, 10)))
    assert (bent[0, 1, 1:] < straight[0, 1, 1:] - 0.3).all()
    assert torch.allclose(bent[0, 2:], straight[0, 2:], atol=1e-5)


def test_the_correction_is_the_gate_times_what_the_transformer_says(hand, monkeypatch):
    """Eq. 8."""
    torch.manual_seed(0)
    correction = Correction()
    posture, pose, betas = torch.randn(2, 55), 0.3 * torch.randn(2, 45), torch.zeros(2, 10)
    assert (correction(hand, posture, pose, betas) == 0).all()  # at first
    with torch.no_grad():
        correction.joint_out.bias.fill_(2.0)
        correction.shape_out.bias.fill_(-1.0)
        correction.gate[-1].weight.zero_()
        correction.gate[-1].bias.fill_(0.0)
        found = correction(hand, posture, pose, betas)
        assert torch.allclose(found[:, :10], torch.full((2, 10), -0.5))
        assert torch.allclose(found[:, 10:], torch.full((2, 45), 1.0))
        correction.gate[-1].bias.fill_(-50.0)  # the gate is shut
        assert correction(hand, posture, pose, betas).abs().max() < 1e-6


def test_the_gate_hears_of_the_angles(hand):
    torch.manual_seed(0)
    correction = Correction()
    with torch.no_grad():
        correction.joint_out.bias.fill_(1.0)
        posture, betas = torch.zeros(1, 55), torch.zeros(1, 10)
        straight, bent = torch.zeros(1, 45), torch.full((1, 45), 0.5)
        first, second = (correction(hand, posture, pose, betas) for pose in (straight, bent))
    assert not torch.allclose(first, second, atol=1e-3)
