"""Controls: what a table must show beside every method, so that its values mean something."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from core.grasps.batch import Grasps
from core.rotations import matrix_to_axis_angle, random_rotations

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject


def random_wrists(obj: GraspObject, hand: HandModel, count: int, rng: torch.Generator,
                  hand_pose: torch.Tensor) -> Grasps:
    """Hands of one pose, randomly rotated, their palms a palm's thickness off random points of the surface.

    Args:
        obj: the object.
        hand: the hand.
        count: how many.
        rng: of the draws, on the CPU.
        hand_pose: (45,) axis-angle radians, the mean pose of the grasps it is a control of.

    Returns:
        `count` grasps in the object's frame.
    """
    rows = torch.randint(len(obj.points), (count,), generator=rng)
    rotation = random_rotations(count, rng)
    joints = hand.rest(torch.zeros(1, 10))[1][0]
    palm = 0.5 * (joints[0] + joints[4])
    palm_position = obj.points[rows] + 0.02 * obj.normals[rows]
    # transl is added after a rotation about the wrist
    transl = palm_position - joints[0] - (rotation @ (palm - joints[0])[:, None])[..., 0]
    return Grasps(matrix_to_axis_angle(rotation), hand_pose.expand(count, -1).clone(), transl, torch.zeros(count, 10),
                  torch.zeros(count), method="control_random", hand=hand.side)


def of_another(grasps: Grasps, count: int) -> Grasps:
    """The first `count` of another object's grasps, over again where it has fewer, as they are in its centred frame.

    Raises:
        ValueError: the other object has none.
    """
    if not len(grasps):
        raise ValueError("The other object has no grasps.")
    rows = torch.arange(count) % len(grasps)
    return replace(grasps[rows], method="control_other", score=torch.zeros(count))
