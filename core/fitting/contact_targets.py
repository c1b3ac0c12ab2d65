"""Where a hand is meant to touch: read off the grasp itself, or off predicted contact Gaussians."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from core.fitting.representation import contact_map, inward
from core.grasps.taxonomy import BY_NAME

if TYPE_CHECKING:
    from core.fitting.hand_points import HandPoints
    from core.fitting.representation import Choir
    from core.hand import HandModel
    from core.objects import GraspObject

#: how much the contact of a patch of skin matters, by the last word of its name, and that of each part
OF_PATCH: Final = {"tip": 1.0, "mid": 0.6, "prox": 0.4, "palm": 0.8, "heel": 0.4}
OF_PART: Final = (1.8, 1.0, 1.0, 0.8, 0.6, 1.0)
#: metres within which a patch is meant to touch; the thumb is waited for from farther
REACH: Final = {"tip": 0.025, "mid": 0.012, "prox": 0.008, "palm": 0.008, "heel": 0.006}
OF_THUMB: Final = 1.6
#: metres from which skin is drawn to the surface where a grasp does not hold
FAR_REACH: Final = 0.03


def contacts_of_grasp(obj: GraspObject, probe: HandPoints, points: torch.Tensor, normals: torch.Tensor,
                      types: tuple[str, ...]) -> torch.Tensor:
    """(B, pads) how much each pad point should touch: what is near the surface and faces it, or is inside.

    Args:
        points: (B, P, 3) the probe's points, object frame, metres. normals: (B, pads or more, 3) the pads' normals.
        types: B grasp types; where one is known, only the skin that it holds with counts.
    """
    with torch.no_grad():
        distance, outward = obj.grid.query(points[:, probe.pads])
        facing = -(normals[:, probe.pads] * outward).sum(-1)
        faces = ((facing + 0.2) / 0.7).clamp(0, 1).where(distance > 0, torch.ones_like(facing))
        reach = patch_values(probe, REACH)
        reach = reach.where(probe.pad_part > 0, OF_THUMB * reach)
        near = (-(distance.clamp_min(0) / reach).square()).exp() * (distance < 1.5 * reach)
        return near * faces * patch_weights(probe) * of_types(probe, types)


def contacts_to_hold(obj: GraspObject, probe: HandPoints, points: torch.Tensor) -> torch.Tensor:
    """(B, pads) as `contacts_of_grasp`, for a hand that does not hold: whatever skin could come to the surface."""
    with torch.no_grad():
        distance = obj.grid.query(points[:, probe.pads])[0].clamp_min(0)
        return (-(distance / FAR_REACH).square()).exp() * patch_weights(probe)


def of_types(probe: HandPoints, types: tuple[str, ...]) -> torch.Tensor:
    """(B, pads) 1 for the skin that each type holds with, everywhere where the type is unknown."""
    mask = torch.ones(len(types), probe.pads.stop)
    for row, name in enumerate(types):
        for patch, group in probe.groups.items():
            if name in BY_NAME and patch not in BY_NAME[name].pads:
                mask[row, group.rows] = 0.0
    return mask


def patch_weights(probe: HandPoints) -> torch.Tensor:
    """(pads,) the share that each pad point has of its patch's weight."""
    part = torch.tensor(OF_PART)[probe.pad_part]
    size = torch.zeros(probe.pads.stop)
    for group in probe.groups.values():
        size[group.rows] = group.rows.stop - group.rows.start
    return patch_values(probe, OF_PATCH) * part / size


def patch_values(probe: HandPoints, of_patch: dict[str, float]) -> torch.Tensor:
    """(pads,) a value for each pad point, by the last word of its patch's name."""
    values = torch.zeros(probe.pads.stop)
    for name, group in probe.groups.items():
        values[group.rows] = of_patch[name.split()[-1]]
    return values


def contacts_of_gaussians(hand: HandModel, probe: HandPoints, field: Choir, points: torch.Tensor,
                          vertices: torch.Tensor) -> torch.Tensor:
    """(B, pads) how much each pad point should touch by predicted Gaussians (the weights of CHOIR's Eq. 10).

    Args:
        points: (B, P, 3) the probe's points of the hands in their field, object frame. vertices: (B, V, 3) their skin.
    """
    with torch.no_grad():
        rest = hand.anchors(hand.v_template[None])[0] - probe.wrist
        region = torch.cdist(probe.rest[probe.pads], rest).argmin(1)
        anchors = inward(field.window, hand.anchors(vertices))
        probability = contact_map(field.gaussians, inward(field.window, points[:, probe.pads]), anchors, region)
        return probability * patch_weights(probe)
