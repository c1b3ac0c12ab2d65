"""The sample points move as the hand does, and contact candidates lie on its palm's side."""

from __future__ import annotations

import pytest
import torch

from core.fitting.energy import GraspEnergy
from core.fitting.hand_points import HandPoints
from core.hand import load_hand


def test_points_move_as_the_hand_does(hand, cube):
    """Its spheres are the hand's own; a point between three vertices moves as their skinning says; normals turn."""
    hand_points, dofs = HandPoints(hand), hand.dof_limits.mean(1).expand(2, 21) * torch.tensor([[0.3], [1.0]])
    energy = GraspEnergy(hand, hand_points, torch.zeros(10), cube)
    points, normals = energy.local(dofs)
    zero = torch.zeros(2, 3)
    out = hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(2, 10))
    spheres = points[:, hand_points.spheres]
    torch.testing.assert_close(spheres, hand.spheres(out) - hand_points.wrist, atol=1e-5, rtol=0)
    transforms = energy.transforms(dofs)
    for row in (0, hand_points.candidates.stop - 1, hand_points.skin.start, hand_points.skin.stop - 1):
        moved = (transforms[..., :3, :3] @ hand_points.rest[row]) + transforms[..., :3, 3]
        expected = (hand_points.weights[row][:, None] * moved).sum(1)
        torch.testing.assert_close(points[:, row], expected, atol=1e-6, rtol=0)
    mean = torch.einsum("j,bjkl,l->bk", hand_points.normal_weights[3], transforms[..., :3, :3], hand_points.normals[3])
    torch.testing.assert_close(normals[:, 3], mean / mean.norm(dim=1, keepdim=True), atol=1e-6, rtol=0)
    few, fewer = energy.local(dofs, skin=False)
    torch.testing.assert_close(few, points[:, : hand_points.spheres.stop], atol=1e-6, rtol=0)
    torch.testing.assert_close(fewer, normals[:, : hand_points.candidates.stop], atol=1e-6, rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
def test_contact_candidates_lie_on_the_palm_side(side):
    hand_points = HandPoints(load_hand(side=side))
    patches, normals = hand_points.patches, hand_points.normals
    for finger in ("index", "middle", "ring", "little"):
        for segment in ("tip", "mid", "prox"):
            assert (normals[patches[f"{finger} {segment}"].rows][:, 1] < -0.5).all(), (finger, segment)
    assert (normals[patches["palm"].rows][:, 1] < -0.5).all()
    thumb = hand_points.joints[13] - hand_points.joints[7]
    assert (normals[patches["index side mid"].rows] @ thumb > 0).all()
    assert hand_points.spheres.stop - hand_points.spheres.start == 66


def test_patches_say_which_part_their_candidates_are_of(hand):
    hand_points = HandPoints(hand)
    for patch in hand_points.patches.values():
        assert (hand_points.candidate_parts[patch.rows] == patch.part).all()
    assert sum(patch.rows.stop - patch.rows.start for patch in hand_points.patches.values()) == len(
        hand_points.candidate_parts)


def test_points_are_skinned_as_the_hand_is(hand):
    hand_points = HandPoints(hand)
    dofs, zero = 0.4 * torch.ones(1, 21), torch.zeros(1, 3)
    transforms = hand.transforms(zero, hand.pose_from_dofs(dofs), zero, hand_points.joints[None])
    out = hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(1, 10))
    tip = hand_points.posed(transforms)[0, hand_points.patches["middle tip"].rows].mean(0) + hand_points.wrist
    assert (tip - out.vertices[0]).norm(dim=1).min() < 0.008


def test_the_palmar_skin_is_all_but_the_back(hand):
    hand_points = HandPoints(hand)
    palmar = hand_points.palmar_skin()
    assert 0.4 < len(palmar.rest) / len(hand_points.skin_area) < 0.9
    assert palmar.normals[:, 1].max() < 0.4
    assert len(palmar.skin_area) == len(palmar.rest) == len(palmar.weights)
