"""What a synthesised grasp must pass before an animator sees it, measured on the exact surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from core.grasps.taxonomy import BY_NAME
from core.hand.tables import PARTS
from core.quality.surface import measure_surface

if TYPE_CHECKING:
    from core.fitting.energy import GraspEnergy, Poses
    from core.objects import GraspObject



@dataclass(frozen=True)
class Checked:
    """N grasps measured: depth_mm, overlap_cm3 (skin area times depth), parts (N, 6), residual of the wrench test,
    squeeze (cm, fingers into each other), bones through a wall, unnatural (rms degrees off the template), through
    (skin points that came out beyond a wall), accepted.
    """

    depth_mm: torch.Tensor
    overlap_cm3: torch.Tensor
    parts: torch.Tensor
    residual: torch.Tensor
    crowding: torch.Tensor
    bones: torch.Tensor
    unnatural: torch.Tensor
    through: torch.Tensor
    accepted: torch.Tensor






def check(obj: GraspObject, closer: GraspEnergy, poses: Poses) -> Checked:
    """Measures poses and decides; `GraspEnergy.grasps` gives them their final form."""
    with torch.no_grad():
        skin = closer.skin(poses)
        joints = closer.hand(**closer.grasps(poses, "synthesis", 0).parameters()).joints
    found = measure_surface(obj, closer, skin, joints)
    crowding = closer.crowded(closer.points(poses)).amax((1, 2))
    unnatural = torch.rad2deg((poses.dofs - poses.template).square().mean(1).sqrt())
    power = torch.tensor([BY_NAME[name].power for name in poses.types])
    named = torch.tensor([[any(PARTS[part] in pad for pad in BY_NAME[name].pads) for part in range(6)]
                          for name in poses.types])
    touching = (found.parts & named).sum(1)
    wanted = torch.minimum(named.sum(1), torch.where(power, 4, 3))
    opposed = found.parts[:, 0] | found.parts[:, 5]
    accepted = ((found.depth_mm <= 1.8) & (found.overlap_cm3 <= 0.35) & (found.bones == 0) & (found.through == 0)
                & (touching >= wanted) & opposed & (found.parts.sum(1) >= wanted) & (found.residual < 0.1)
                & (crowding <= 0.35) & (unnatural < 22))
    return Checked(found.depth_mm, found.overlap_cm3, found.parts, found.residual, crowding, found.bones, unnatural,
                   found.through, accepted)






