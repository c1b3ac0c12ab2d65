"""Hands while synthesis optimises them: rotation matrices and joint angles instead of axis-angle vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch


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
