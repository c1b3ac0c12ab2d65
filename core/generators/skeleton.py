"""A hand's posture corrected by what its skeleton allows (DVQ-VAE, Sec. 3.4).

Symbols are the paper's: J key points, theta the angles between adjacent ones (Eq. 7), G the gate, T the correction
(Eq. 8). T reads betas and joints as a sequence, which the paper leaves open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from core.generators.pointnet import perceptron
from core.hand.articulation import FIRST_JOINT
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from core.hand import HandModel

#: cosines are kept this far from -1 and 1, where an angle has no gradient
EDGE = 1e-4


def keypoints(hand: HandModel, hand_pose: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
    """J of hands in the wrist's own frame: finger by finger the wrist, three joints and the tip.

    Args:
        hand: of one side.
        hand_pose: (N, 45) axis-angle radians.
        betas: (N, 10).

    Returns:
        (N, 5, 5, 3) metres; tips are moved with the last bone, without the skin's correctives.
    """
    count = len(hand_pose)
    shaped, rest = hand.rest(betas)
    fingers = axis_angle_to_matrix(hand_pose.reshape(count, 15, 3))
    upright = torch.eye(3).to(fingers).expand(count, 1, 3, 3)
    moves = hand.chain(torch.cat([upright, fingers], 1), -rest[:, 0], rest)
    found = []
    for finger, first in enumerate(FIRST_JOINT.values()):
        joints = [0, first, first + 1, first + 2, first + 2]
        at = torch.cat([rest[:, joints[:-1]], shaped[:, hand.tip_vertices[finger], None]], 1)
        found.append((moves[:, joints, :3, :3] @ at[..., None])[..., 0] + moves[:, joints, :3, 3])
    return torch.stack(found, 1)


def adjacent_angles(points: torch.Tensor) -> torch.Tensor:
    """Eq. 7: the angle at each key point between the ways to the one before and the one after.

    Args:
        points: (..., K, 3) chains of key points.

    Returns:
        (..., K - 2) radians; pi where the chain is straight.
    """
    before = nn.functional.normalize(points[..., :-2, :] - points[..., 1:-1, :], dim=-1)
    after = nn.functional.normalize(points[..., 2:, :] - points[..., 1:-1, :], dim=-1)
    return (before * after).sum(-1).clamp(-1 + EDGE, 1 - EDGE).acos()


class Correction(nn.Module):
    """G(theta) T(M_posture) of Eq. 8.

    Args:
        width: of the transformer layer.
        heads: of its attention.
    """

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.gate = perceptron(15, 64, 55)
        self.shape, self.joint = nn.Linear(10, width), nn.Linear(3, width)
        self.place = nn.Parameter(0.1 * torch.randn(16, width))
        self.layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True)
        self.shape_out, self.joint_out = nn.Linear(width, 10), nn.Linear(width, 3)
        for last in (self.shape_out, self.joint_out):  # no correction at first
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, hand: HandModel, posture: torch.Tensor, hand_pose: torch.Tensor,
                betas: torch.Tensor) -> torch.Tensor:
        """What is added to M_posture.

        Args:
            hand: of one side.
            posture: (N, 55) betas and pose, in units of the hand parameters.
            hand_pose: (N, 45) the same pose, radians.
            betas: (N, 10) of the hand whose key points are looked at.

        Returns:
            (N, 55).
        """
        angles = adjacent_angles(keypoints(hand, hand_pose, betas)).flatten(1)
        gate = torch.sigmoid(self.gate(torch.pi - angles))
        joints = self.joint(posture[:, 10:].unflatten(1, (15, 3)))
        found = self.layer(torch.cat([self.shape(posture[:, :10])[:, None], joints], 1) + self.place)
        return gate * torch.cat([self.shape_out(found[:, 0]), self.joint_out(found[:, 1:]).flatten(1)], 1)
