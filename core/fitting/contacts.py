"""Where a hand is meant to touch: read off the grasp itself, or off predicted contact Gaussians."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from core.objects import GraspObject
    from core.synthesis.probe import HandProbe

#: how much the contact of a patch of skin matters, by the last word of its name, and of each finger
OF_PATCH: Final = {"tip": 1.0, "mid": 0.6, "prox": 0.45, "palm": 1.0, "heel": 0.5}
OF_PART: Final = (1.5, 1.0, 1.0, 0.8, 0.6, 1.0)
#: metres within which skin is meant to touch, of fingertips and of the rest
REACH_TIP, REACH = 0.025, 0.012


def contacts_of_grasp(obj: GraspObject, probe: HandProbe, points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """(B, pads) how much each pad point should touch: what is near the surface and faces it, or is inside.

    Args:
        points: (B, P, 3) the probe's points, object frame, metres. normals: (B, pads or more, 3) the pads' normals.
    """
    with torch.no_grad():
        distance, outward = obj.grid.query(points[:, probe.pads])
        facing = -(normals[:, probe.pads] * outward).sum(-1)
        faces = ((facing + 0.2) / 0.7).clamp(0, 1).where(distance > 0, torch.ones_like(facing))
        reach = patch_values(probe, {name: REACH_TIP if name == "tip" else REACH for name in OF_PATCH})
        reach = reach.where(probe.pad_part > 0, 1.6 * reach)
        near = (-(distance.clamp_min(0) / reach).square()).exp() * (distance < 1.5 * reach)
        return near * faces * patch_weights(probe)


def patch_weights(probe: HandProbe) -> torch.Tensor:
    """(pads,) the share that each pad point has of its patch's weight."""
    part = torch.tensor(OF_PART)[probe.pad_part]
    size = torch.zeros(probe.pads.stop)
    for group in probe.groups.values():
        size[group.rows] = group.rows.stop - group.rows.start
    return patch_values(probe, OF_PATCH) * part / size


def patch_values(probe: HandProbe, of_patch: dict[str, float]) -> torch.Tensor:
    """(pads,) a value for each pad point, by the last word of its patch's name."""
    values = torch.zeros(probe.pads.stop)
    for name, group in probe.groups.items():
        values[group.rows] = of_patch[name.split()[-1]]
    return values
