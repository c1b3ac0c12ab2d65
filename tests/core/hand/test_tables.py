"""Regions, anchors, spheres and angles lie where the hand has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.hand import load_hand
from core.hand.articulation import grasp_centre, relaxed_dofs
from core.hand.normals import vertex_normals

FIRST = (13, 1, 4, 10, 7)


@pytest.fixture(scope="module", params=["right", "left"])
def hand(request):
    return load_hand(side=request.param)


@pytest.fixture(scope="module")
def rest(hand):
    return hand(*[torch.zeros(1, n) for n in (3, 45, 3, 10)])


def test_parts_and_tips(hand, rest):
    assert torch.bincount(hand.parts, minlength=6).min() > 150
    assert hand.parts[hand.tip_vertices].tolist() == [0, 1, 2, 3, 4]
    for tip, first in zip(hand.tip_vertices, FIRST):
        far = (hand.v_template[tip] - rest.rest_joints[0, first + 2]).norm()
        assert 0.012 < far < 0.035


def test_contact_regions_face_the_palm_side(hand):
    normals = vertex_normals(hand.v_template, hand.faces)
    cap = set(hand.cap_faces.reshape(-1).tolist())
    for part, region in enumerate(hand.contact_regions):
        assert 12 <= len(region) <= 80
        assert (hand.parts[region] == part).all()
        assert not cap & set(region.tolist())
        if part:
            assert (normals[region, 1] < 0.1).all()


def test_anchors(hand, rest):
    anchors = hand.anchors(rest.vertices)[0]
    assert anchors.shape == (32, 3)
    assert torch.cdist(anchors, anchors).fill_diagonal_(1).min() > 0.002
    assert (hand.anchor_weights >= 0).all()
    torch.testing.assert_close(hand.anchor_weights.sum(1), torch.ones(32))
    owners = hand.parts[hand.anchor_faces[:, 0]]
    count = torch.bincount(owners, minlength=6).tolist()
    assert count[1:5] == [5, 5, 5, 5]
    assert count[0] in (4, 5), "the thumb's first bone may lie under skin of the palm"
    assert count[5] == 12 - count[0]


def test_spheres_lie_inside_the_flesh(hand, rest):
    igl = pytest.importorskip("igl")
    assert torch.bincount(hand.sphere_parts).tolist() == [11] * 6
    dofs = torch.stack([torch.zeros(21), relaxed_dofs()])
    pose = hand.pose_from_dofs(dofs)
    zero = torch.zeros(2, 3)
    out = hand(zero, pose, zero, torch.zeros(2, 10))
    centres = hand.spheres(out)
    torch.testing.assert_close(hand.sphere_rest(torch.zeros(1, 10))[0], centres[0], atol=1e-6, rtol=0)
    for posed, skin, slack in zip(centres, out.vertices, (5e-4, 2.5e-3)):
        sign = igl.SIGNED_DISTANCE_TYPE_WINDING_NUMBER
        inside = -igl.signed_distance(
            posed.double().numpy(), skin.double().numpy(), hand.faces.numpy(), sign_type=sign
        )[0]
        assert (inside > 0).all()
        assert (inside + slack > hand.sphere_radii.numpy()).all()
    assert hand.sphere_radii.min() > 0.003
    torch.testing.assert_close(hand.sphere_weights.sum(1), torch.ones(66))


def test_spheres_follow_the_shape(hand):
    betas = torch.zeros(1, 10)
    betas[0, 0] = 2.0
    shaped, _ = hand.rest(betas)
    moved = hand.sphere_rest(betas)[0] - hand.sphere_rest(torch.zeros(1, 10))[0]
    near = torch.cdist(hand.sphere_rest(torch.zeros(1, 10))[0], hand.v_template).argmin(1)
    assert (moved - (shaped[0] - hand.v_template)[near]).norm(dim=1).max() < 0.003


def test_dofs_round_trip_and_limits(hand):
    limits = hand.dof_limits
    assert len(hand.dof_names) == 21
    assert (limits[:, 0] < limits[:, 1]).all()
    share = torch.rand(200, 21, generator=torch.Generator().manual_seed(0))
    dofs = limits[:, 0] + share * (limits[:, 1] - limits[:, 0])
    found = hand.dofs_from_pose(hand.pose_from_dofs(dofs))
    torch.testing.assert_close(found, dofs, atol=1e-4, rtol=0)
    relaxed = relaxed_dofs()
    assert (relaxed >= limits[:, 0]).all()
    assert (relaxed <= limits[:, 1]).all()


def test_angles_beyond_their_limits_are_brought_to_them(hand):
    low, high = hand.dof_limits.unbind(1)
    assert torch.equal(hand.clamp_dofs(torch.stack([low - 1, high + 1])), torch.stack([low, high]))
    inside = torch.stack([low, high, (low + high) / 2])[:, None]
    assert torch.equal(hand.clamp_dofs(inside), inside)


def test_the_middle_of_what_is_held_lies_before_the_palm(hand, rest):
    centre = rest.rest_joints[0, 0] + grasp_centre(rest.rest_joints[0])
    distance = torch.cdist(centre[None], hand.v_template)[0]
    assert hand.parts[distance.argmin()] == 5
    assert 0.015 < distance.min() < 0.03
    assert centre[1] < hand.v_template[hand.contact_regions[5], 1].max()


def test_pose_from_dofs_is_differentiable_at_rest(hand):
    dofs = torch.zeros(1, 21, requires_grad=True)
    zero = torch.zeros(1, 3)
    hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(1, 10)).joints.sum().backward()
    assert torch.isfinite(dofs.grad).all()
    assert (dofs.grad.abs() > 1e-6).sum() >= 20


def test_what_the_angles_mean(hand):
    """Bend curls to the palm, spread goes toward the thumb, the thumb's spread leaves the palm's plane."""
    inward = -1.0 if hand.side == "right" else 1.0

    def tips(**degrees: float) -> np.ndarray:
        dofs = torch.zeros(1, 21)
        for name, value in degrees.items():
            dofs[0, hand.dof_names.index(name.replace("_", " "))] = np.deg2rad(value)
        zero = torch.zeros(1, 3)
        out = hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(1, 10))
        return out.joints[0, 16:].numpy()

    still = tips()
    assert still[2, 0] * inward > 0.18
    for finger, tip in (("index", 1), ("middle", 2), ("ring", 3), ("little", 4)):
        for joint in ("MCP_bend", "PIP_bend", "DIP_bend"):
            assert tips(**{f"{finger}_{joint}": 40})[tip, 1] < still[tip, 1] - 0.008
        assert tips(**{f"{finger}_MCP_spread": 15})[tip, 2] > still[tip, 2] + 0.01
    assert tips(thumb_CMC_spread=30)[0, 1] < still[0, 1] - 0.015
    assert tips(thumb_CMC_bend=30)[0, 2] < still[0, 2] - 0.015
    opposed = tips(thumb_CMC_spread=45, thumb_CMC_twist=40)[0]
    assert opposed[2] < tips(thumb_CMC_spread=45)[0, 2] - 0.01, "twist brings the spread thumb before the palm"
