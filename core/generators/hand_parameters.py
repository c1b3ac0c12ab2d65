"""The papers' 61 hand parameters, as the networks here see and predict them.

Betas (10), the wrist's rotation (3), the fingers' axis-angles (45), a position (3), in that order, of a right hand in a
heading frame, each of unit size over the training grasps. The rotation is an axis-angle away from the mean of the
training hands, which all lie much the same way in that frame, so it stays short; the position is of the point a hand
closes around, not of the wrist, so that an error of the rotation does not move the fingers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.grasps.heading_frame import Frames, into_frames, out_of_frames
from core.hand.articulation import grasp_centre, mirror_pose
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.hand.skin import Skin, SkinSample

#: how many hand parameters there are
SIZE: Final = 61
#: which of them are what
BETAS, ROTATION, POSE, POSITION = slice(0, 10), slice(10, 13), slice(13, 58), slice(58, 61)
#: on the right of a wrist's rotation: x turned over
MIRROR: Final = torch.tensor([-1.0, 1.0, 1.0])


class HandNormalizer(nn.Module):
    """Grasps to hand parameters of unit size and back.

    Attributes:
        rotation: (3, 3) the mean wrist's in the heading frame.
        centre: (3,) metres from the wrist to what the hand closes around, hand at rest.
        mean: (61,) subtracted from the plain parameters (metres, radians).
        scale: (61,) that they are divided by then; one number for all of the rotation and one for all of the position.
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
        """Takes rotation, centre, mean and scale from the training grasps.

        Args:
            hand: the right hand.
            grasps: N grasps of it.
            frames: the N heading frames.
        """
        joints = hand.rest(torch.zeros(1, 10))[1][0]
        self.centre.copy_(grasp_centre(joints))
        rotation, _ = into_frames(hand, grasps, frames)
        left, _, right = torch.linalg.svd(rotation.double().mean(0))
        flip = torch.diag(torch.tensor([1.0, 1.0, float(torch.det(left @ right).sign())], dtype=torch.float64))
        self.rotation.copy_((left @ flip @ right).float())
        self.mean.zero_()
        self.scale.fill_(1.0)
        plain = self.encode(hand, grasps, frames)
        self.mean.copy_(plain.mean(0))
        self.mean[BETAS] = 0.0
        spread = plain.std(0)
        self.scale[ROTATION] = spread[ROTATION].square().mean().sqrt()
        self.scale[POSITION] = spread[POSITION].square().mean().sqrt()
        self.scale[POSE] = spread[POSE].clamp_min(0.1)

    def encode(self, hand: HandModel, grasps: Grasps, frames: Frames) -> torch.Tensor:
        """(N, 61) parameters of N grasps in their frames, which for a left hand are `mirrored`."""
        rotation, wrist = into_frames(hand, grasps, frames)
        pose = grasps.hand_pose
        if hand.side == "left":
            rotation, pose = rotation * MIRROR.to(rotation), mirror_pose(pose)
        return self.pack(grasps.betas, rotation, pose, wrist)

    def pack(self, betas: torch.Tensor, rotation: torch.Tensor, hand_pose: torch.Tensor,
             wrist: torch.Tensor) -> torch.Tensor:
        """Hand parameters of hands given in their frames.

        Args:
            betas: (N, 10) hand shapes.
            rotation: (N, 3, 3) of the wrist.
            hand_pose: (N, 45) of the fingers, axis-angle radians.
            wrist: (N, 3) metres.

        Returns:
            (N, 61).
        """
        turned = matrix_to_axis_angle(rotation @ self.rotation.T)
        position = wrist + rotation @ self.centre
        return (torch.cat([betas, turned, hand_pose, position], 1) - self.mean) / self.scale

    def unpack(self, params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Betas (N, 10), wrist rotation (N, 3, 3), finger pose (N, 45) and wrist (N, 3) of parameters (N, 61)."""
        plain = params * self.scale + self.mean
        rotation = axis_angle_to_matrix(plain[:, ROTATION]) @ self.rotation
        return plain[:, BETAS], rotation, plain[:, POSE], plain[:, POSITION] - rotation @ self.centre

    def skin(self, sample: SkinSample, params: torch.Tensor, betas: torch.Tensor | None = None) -> Skin:
        """Points of the skin of hands in their frames, metres; differentiable.

        Args:
            sample: which points, of which hand.
            params: (N, 61).
            betas: (N, 10) of the hands; those of the parameters when None.
        """
        predicted, rotation, pose, wrist = self.unpack(params)
        betas = predicted if betas is None else betas
        root = sample.hand.rest_joints(betas)[:, 0]
        return sample(rotation, pose, wrist - root, betas)

    def grasps(self, hand: HandModel, params: torch.Tensor, frames: Frames, method: str,
               betas: torch.Tensor | None = None) -> Grasps:
        """Grasps in the object's frame; fingers within the joints' limits, and of the animator's hand shape.

        Args:
            hand: of the side wanted.
            params: (N, 61), of right hands.
            frames: the N heading frames; for a left hand they are `mirrored`.
            method: that the grasps are by.
            betas: (10,) put in the place of those predicted; zeros when None.
        """
        _, rotation, pose, wrist = self.unpack(params)
        shape = torch.zeros(10) if betas is None else betas
        if hand.side == "left":
            rotation, pose = rotation * MIRROR, mirror_pose(pose)
        dofs = hand.clamp_dofs(hand.dofs_from_pose(pose))
        shape = shape.to(params).expand(len(params), -1)
        return out_of_frames(hand, frames, rotation, wrist, hand.pose_from_dofs(dofs), shape, method)


def mix_hands(params: torch.Tensor, rng: torch.Generator, spread: float = 0.3) -> torch.Tensor:
    """Synthetic hands (N, 61) of true ones: half with another's fingers, all with noise of up to `spread`."""
    other = torch.randperm(len(params), generator=rng).to(params.device)
    swap = (torch.rand(len(params), 1, generator=rng) < 0.5).to(params.device)
    mixed = params.clone()
    mixed[:, POSE] = torch.where(swap, params[other][:, POSE], params[:, POSE])
    much = spread * torch.rand(len(params), 1, generator=rng)
    return mixed + (much * torch.randn(params.shape, generator=rng)).to(params)
