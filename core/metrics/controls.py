"""Controls: what a table must show beside every method, so that a figure means something."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from core.grasps.batch import Grasps
from core.rotations import matrix_to_axis_angle

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject


def random_wrists(obj: GraspObject, hand: HandModel, count: int, rng: torch.Generator,
                  hand_pose: torch.Tensor) -> Grasps:
    """Hands of one posture, anyhow turned, their palms a palm's thickness off random points of the surface.

    Args:
        hand_pose: (45,) the mean pose of the grasps it is a control of.
    """
    rows = torch.randint(len(obj.points), (count,), generator=rng)
    turn = random_rotations(count, rng)
    joints = hand.rest(torch.zeros(1, 10))[1][0]
    palm = 0.5 * (joints[0] + joints[4])
    place = obj.points[rows] + 0.02 * obj.normals[rows]
    # transl is added after a turn about the wrist
    transl = place - joints[0] - (turn @ (palm - joints[0])[:, None])[..., 0]
    return Grasps(matrix_to_axis_angle(turn), hand_pose.expand(count, -1).clone(), transl, torch.zeros(count, 10),
                  torch.zeros(count), method="control_random", hand=hand.side)


def random_rotations(count: int, rng: torch.Generator) -> torch.Tensor:
    """(count, 3, 3) rotations, uniform: a QR factor alone is not, its diagonal's signs are fixed."""
    factor, triangle = torch.linalg.qr(torch.randn(count, 3, 3, generator=rng))
    turn = factor * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    return turn * torch.linalg.det(turn)[:, None, None]


def of_another(grasps: Grasps, count: int) -> Grasps:
    """Another object's grasps, taken as they are in its centred frame; ValueError where it has none."""
    if not len(grasps):
        raise ValueError("The other object has no grasps to take.")
    rows = torch.arange(count) % len(grasps)
    return replace(grasps[rows], method="control_other", score=torch.zeros(count))
