"""The papers' 61 hand parameters, as the networks here see and predict them.

betas (10), the wrist's rotation (3), the fingers' axis-angles (45), a place (3), in that order, of a hand in a heading
frame. The rotation is an axis-angle away from the mean of the training hands, which all lie much the same way in that
frame, so it stays short; the place is of the point a hand closes around, not of the wrist, so that an error of the
rotation does not move the fingers (reference: Sec. "What mattered" of this project's measurements on learning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from core.grasps.heading_frame import Frames, into_frames, out_of_frames
from core.hand.articulation import mirror_pose
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.hand.skin import Skin, SkinSample

SIZE = 61
BETAS, TURN, POSE, PLACE = slice(0, 10), slice(10, 13), slice(13, 58), slice(58, 61)
#: On the right of a wrist's rotation: x turned over.
MIRROR = torch.tensor([-1.0, 1.0, 1.0])


class HandNormalizer(nn.Module):
    """Grasps to vectors of unit size and back.

    Attributes:
        rotation: (3, 3) the mean wrist's in the heading frame. centre: (3,) from the wrist to what the hand closes
            around, hand at rest, metres. mean, scale: (61,) so that (parameters - mean) / scale is the code; one scale
            for all of the rotation and one for all of the place.
    """

    rotation: torch.Tensor
    centre: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rotation", torch.eye(3))
        self.register_buffer("centre", torch.zeros(3))
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("scale", torch.ones(SIZE))

    def fit(self, hand: HandModel, grasps: Grasps, frames: Frames) -> None:
        """Takes centre, mean and scale from the training grasps."""
        joints = hand.rest(torch.zeros(1, 10))[1][0]
        self.centre.copy_(0.8 * (joints[4] - joints[0]) + torch.tensor([0.0, -0.035, 0.0]))
        turn, _ = into_frames(hand, grasps, frames)
        left, _, right = torch.linalg.svd(turn.double().mean(0))
        flip = torch.diag(torch.tensor([1.0, 1.0, float(torch.det(left @ right).sign())], dtype=torch.float64))
        self.rotation.copy_((left @ flip @ right).float())
        self.mean.zero_()
        self.scale.fill_(1.0)
        plain = self.encode(hand, grasps, frames)
        self.mean.copy_(plain.mean(0))
        self.mean[BETAS] = 0.0
        spread = plain.std(0)
        self.scale[TURN] = spread[TURN].square().mean().sqrt()
        self.scale[PLACE] = spread[PLACE].square().mean().sqrt()
        self.scale[POSE] = spread[POSE].clamp_min(0.1)

    def encode(self, hand: HandModel, grasps: Grasps, frames: Frames) -> torch.Tensor:
        """(N, 61) codes of grasps in their frames."""
        turn, wrist = into_frames(hand, grasps, frames)
        return self.pack(grasps.betas, turn, grasps.hand_pose, wrist)

    def pack(self, betas: torch.Tensor, rotation: torch.Tensor, hand_pose: torch.Tensor,
             wrist: torch.Tensor) -> torch.Tensor:
        """(N, 61) codes of betas (N, 10), wrists (N, 3, 3) and (N, 3) in the frame, and fingers (N, 45)."""
        away = matrix_to_axis_angle(rotation @ self.rotation.T)
        place = wrist + rotation @ self.centre
        return (torch.cat([betas, away, hand_pose, place], 1) - self.mean) / self.scale

    def unpack(self, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Betas, wrist rotation (N, 3, 3), finger pose (N, 45) and wrist (N, 3) in the frame, of codes (N, 61)."""
        plain = code * self.scale + self.mean
        rotation = axis_angle_to_matrix(plain[:, TURN]) @ self.rotation
        return plain[:, BETAS], rotation, plain[:, POSE], plain[:, PLACE] - rotation @ self.centre

    def skin(self, sample: SkinSample, code: torch.Tensor, betas: torch.Tensor | None = None) -> Skin:
        """Some of the skin of the hands of codes (N, 61), in their frames, metres; differentiable.

        Args:
            betas: (N, 10) of the hands; those of the codes when None.
        """
        predicted, rotation, pose, wrist = self.unpack(code)
        betas = predicted if betas is None else betas
        root = sample.hand.rest_joints(betas)[:, 0]
        return sample(rotation, pose, wrist - root, betas)

    def grasps(self, hand: HandModel, code: torch.Tensor, frames: Frames, method: str,
               betas: torch.Tensor | None = None) -> Grasps:
        """Grasps in the object's frame; fingers as joints allow, and of the animator's hand shape.

        Args:
            code: (N, 61), of right hands. frames: one for each; for a left hand they are `mirrored`.
            betas: (10,) put in the place of those predicted; zeros when None.
        """
        _, rotation, pose, wrist = self.unpack(code)
        shape = torch.zeros(10) if betas is None else betas
        if hand.side == "left":
            rotation, pose = rotation * MIRROR, mirror_pose(pose)
        dofs = hand.dofs_from_pose(pose)
        dofs = torch.minimum(torch.maximum(dofs, hand.dof_limits[:, 0]), hand.dof_limits[:, 1])
        shape = shape.to(code).expand(len(code), -1)
        return out_of_frames(hand, frames, rotation, wrist, hand.pose_from_dofs(dofs), shape, method)
