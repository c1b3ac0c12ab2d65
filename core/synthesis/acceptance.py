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
    from core.quality.surface import SurfaceQuality


@dataclass(frozen=True)
class Checked:
    """N synthesised grasps measured.

    Attributes:
        surface: how they lie on the object.
        crowding: (N,) cm by which fingers are in each other.
        unnatural: (N,) rms degrees off the template.
        accepted: (N,) bool.
    """

    surface: SurfaceQuality
    crowding: torch.Tensor
    unnatural: torch.Tensor
    accepted: torch.Tensor


def check(obj: GraspObject, closer: GraspEnergy, poses: Poses) -> Checked:
    """Measures poses and decides; `GraspEnergy.grasps` gives them their final form."""
    with torch.no_grad():
        skin = closer.skin(poses)
        joints = closer.hand(**closer.grasps(poses, "synthesis", 0).parameters()).joints
    found = measure_surface(obj, closer.hand, skin, joints)
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
    return Checked(found, crowding, unnatural, accepted)


