"""What a synthesised grasp must pass before an animator sees it, measured on the exact surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.grasps.taxonomy import BY_NAME
from core.hand.tables import PARTS
from core.quality.surface import has_contact, measure_surface

if TYPE_CHECKING:
    from core.fitting.energy import GraspEnergy
    from core.fitting.poses import Poses
    from core.objects import GraspObject
    from core.quality.surface import SurfaceQuality


@dataclass(frozen=True)
class AcceptanceLimits:
    """What is accepted at most, or at least.

    Attributes:
        depth_mm: of the hand in the object.
        overlap_cm3: of the hand with the object.
        residual: of the wrench test; less is wanted.
        self_penetration_cm: of the hand's parts in each other.
        unnatural: rms degrees off the template; less is wanted.
        power_parts: in contact, of those that a power grasp's type names.
        other_parts: of those that another type names.
    """

    depth_mm: float = 1.8
    overlap_cm3: float = 0.35
    residual: float = 0.1
    self_penetration_cm: float = 0.35
    unnatural: float = 22
    power_parts: int = 4
    other_parts: int = 3


LIMITS: Final = AcceptanceLimits()


@dataclass(frozen=True)
class Checked:
    """N synthesised grasps measured.

    Attributes:
        surface: how they lie on the object.
        self_penetration: (N,) cm by which the hand's parts are in each other.
        unnatural: (N,) rms degrees off the template.
        accepted: (N,) bool.
    """

    surface: SurfaceQuality
    self_penetration: torch.Tensor
    unnatural: torch.Tensor
    accepted: torch.Tensor


def check(obj: GraspObject, energy: GraspEnergy, poses: Poses) -> Checked:
    """Measures poses and decides; `GraspEnergy.grasps` gives them their final form.

    Args:
        obj: the object.
        energy: of the hand on it.
        poses: N poses of known types.
    """
    with torch.no_grad():
        vertices = energy.hand_vertices(poses)
        joints = energy.hand(**energy.grasps(poses, "synthesis", 0).parameters()).joints
    found = measure_surface(obj, energy.hand, vertices, joints)
    self_penetration = energy.self_penetration(energy.points(poses)).amax((1, 2))
    unnatural = torch.rad2deg((poses.dofs - poses.template).square().mean(1).sqrt())
    power = torch.tensor([BY_NAME[name].power for name in poses.types])
    named = torch.tensor([[any(PARTS[part] in patch for patch in BY_NAME[name].contact_weights) for part in range(6)]
                          for name in poses.types])
    touching = (found.parts & named).sum(1)
    wanted = torch.minimum(named.sum(1), torch.where(power, LIMITS.power_parts, LIMITS.other_parts))
    accepted = ((found.depth_mm <= LIMITS.depth_mm) & (found.overlap_cm3 <= LIMITS.overlap_cm3) & (found.bones == 0)
                & (found.through == 0) & (touching >= wanted) & has_contact(found) & (found.parts.sum(1) >= wanted)
                & (found.residual < LIMITS.residual) & (self_penetration <= LIMITS.self_penetration_cm)
                & (unnatural < LIMITS.unnatural))
    return Checked(found, self_penetration, unnatural, accepted)
