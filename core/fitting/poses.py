"""Hands while they are optimised: rotation matrices and joint angles instead of the grasps' axis-angle vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from core.fitting.hand_points import HandPoints
    from core.grasps.batch import Grasps
    from core.hand import HandModel


@dataclass(frozen=True)
class Poses:
    """B hands of one shape in the object's frame.

    Attributes:
        rotation: (B, 3, 3) of the wrist.
        wrist: (B, 3) metres, the wrist joint.
        dofs: (B, 21) joint angles, radians.
        template: (B, 21) joint angles that the fingers are drawn to.
        types: B grasp types, "" where unknown.
    """

    rotation: torch.Tensor
    wrist: torch.Tensor
    dofs: torch.Tensor
    template: torch.Tensor
    types: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.wrist)

    def __getitem__(self, rows: torch.Tensor) -> Poses:
        return Poses(self.rotation[rows], self.wrist[rows], self.dofs[rows], self.template[rows],
                     tuple(self.types[i] for i in rows.tolist()))

    def to(self, device: torch.device | str) -> Poses:
        """The same on another device."""
        return Poses(self.rotation.to(device), self.wrist.to(device), self.dofs.to(device), self.template.to(device),
                     self.types)

    @staticmethod
    def cat(poses: list[Poses]) -> Poses:
        """All poses of all, in order."""
        return Poses(torch.cat([pose.rotation for pose in poses]), torch.cat([pose.wrist for pose in poses]),
                     torch.cat([pose.dofs for pose in poses]), torch.cat([pose.template for pose in poses]),
                     tuple(name for pose in poses for name in pose.types))

    def with_rows(self, rows: torch.Tensor, others: Poses) -> Poses:
        """These poses, `others` in their place at `rows`; templates and types stay."""
        return replace(self, rotation=self.rotation.index_put((rows,), others.rotation),
                       wrist=self.wrist.index_put((rows,), others.wrist),
                       dofs=self.dofs.index_put((rows,), others.dofs))


def poses_of_grasps(hand: HandModel, hand_points: HandPoints, grasps: Grasps) -> Poses:
    """The grasps as the nearest poses of 21 angles within their limits, each its own template.

    Args:
        hand: the hand model, of the grasps' side.
        hand_points: of the grasps' one hand shape.
        grasps: B grasps in the object's frame.
    """
    dofs = hand.clamp_dofs(hand.dofs_from_pose(grasps.hand_pose))
    wrist = grasps.transl + hand_points.wrist
    return Poses(axis_angle_to_matrix(grasps.global_orient), wrist, dofs, dofs, ("",) * len(grasps))
