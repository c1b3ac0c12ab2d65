"""The taxonomy's templates: calibrated, within the hand's limits, and touching their ideal body."""

from __future__ import annotations

import torch

from core.fitting.hand_points import HandPoints
from core.grasps.taxonomy import BY_NAME, TYPES, templates


def test_at_least_twelve_types_each_with_calibrated_templates(hand):
    assert len(TYPES) >= 12
    assert len({grasp_type.feix for grasp_type in TYPES}) == len(TYPES)
    low, high = hand.dof_limits.unbind(1)
    for grasp_type in TYPES:
        for template in templates(grasp_type.name):
            assert grasp_type.widths[0] <= template.width <= grasp_type.widths[1]
            assert ((template.dofs >= low - 1e-3) & (template.dofs <= high + 1e-3)).all(), grasp_type.name
            assert abs(float(template.facing @ template.axis)) < 0.02 or grasp_type.ideal == "sphere"


def test_templates_touch_their_ideal_body_with_thumb_and_fingers(hand):
    """The search found opposition: on the body of its width the thumb's pad and the fingers' are at the surface."""
    hand_points, zero = HandPoints(hand), torch.zeros(1, 3)
    for name in ("large_diameter", "precision_sphere", "tripod", "palmar_pinch", "prismatic_four"):
        for template in templates(name):
            pose = hand.pose_from_dofs(template.dofs[None])
            transforms = hand.transforms(zero, pose, zero, hand_points.joints[None])
            points = hand_points.posed(transforms)[0] - template.centre
            if BY_NAME[name].ideal == "cylinder":
                points = points - (points @ template.axis)[:, None] * template.axis
            if BY_NAME[name].ideal == "slab":
                points = (points @ template.facing)[:, None]
            gap = points.norm(dim=1) - template.width / 2
            for finger in ("thumb", "index"):
                rows = hand_points.patches[f"{finger} tip"].rows
                assert gap[rows].abs().min() < 0.006, (name, finger, template.width)


def test_left_templates_are_mirrored():
    right, left = templates("tripod")[0], templates("tripod", "left")[0]
    mirror = torch.tensor([-1.0, 1, 1])
    assert torch.equal(left.centre, right.centre * mirror)
    assert torch.equal(left.dofs, right.dofs)
