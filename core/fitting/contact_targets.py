"""Where a hand is meant to touch: inferred from the grasp itself, or from predicted contact Gaussians."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.representation import contact_map, inward
from core.grasps.taxonomy import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.fitting.hand_points import HandPoints
    from core.fitting.representation import Choir
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class TargetConfig:
    """How much which skin is meant to touch, and from how far.

    Attributes:
        patch_weight: of a patch of skin, by the last word of its name.
        part_weight: of thumb, index, middle, ring, little finger and palm.
        reach: metres within which a patch is meant to touch, by the last word of its name.
        thumb_reach: factor of a thumb's reach: its contact is wanted from farther.
        hold_reach: metres from which skin is drawn to the surface where a grasp does not hold.
        opposed: cosine of the skin with the surface it faces, and range of cosines, at which it counts in part.
    """

    patch_weight: Mapping[str, float] = field(
        default_factory=lambda: {"tip": 1.0, "mid": 0.6, "prox": 0.4, "palm": 0.8, "heel": 0.4})
    part_weight: tuple[float, ...] = (1.8, 1.0, 1.0, 0.8, 0.6, 1.0)
    reach: Mapping[str, float] = field(
        default_factory=lambda: {"tip": 0.025, "mid": 0.012, "prox": 0.008, "palm": 0.008, "heel": 0.006})
    thumb_reach: float = 1.6
    hold_reach: float = 0.03
    opposed: tuple[float, float] = (-0.2, 0.7)


CONFIG: Final = TargetConfig()


def targets_of_grasp(obj: GraspObject, hand_points: HandPoints, points: torch.Tensor, normals: torch.Tensor,
                     types: tuple[str, ...]) -> torch.Tensor:
    """How much each contact candidate should touch: what is near the surface and faces it, or is inside.

    Args:
        obj: the object.
        hand_points: of the hand.
        points: (B, P, 3) its points, object frame, metres.
        normals: (B, C or more, 3) the candidates' normals.
        types: B grasp types; where one is known, only the skin that it holds with counts.

    Returns:
        (B, C).
    """
    with torch.no_grad():
        distance, outward = obj.grid.query(points[:, hand_points.candidates])
        cosine = -(normals[:, hand_points.candidates] * outward).sum(-1)
        least, span = CONFIG.opposed
        opposed = ((cosine - least) / span).clamp(0, 1).where(distance > 0, torch.ones_like(cosine))
        reach = patch_values(hand_points, CONFIG.reach)
        reach = reach.where(hand_points.candidate_parts > 0, CONFIG.thumb_reach * reach)
        near = (-(distance.clamp_min(0) / reach).square()).exp() * (distance < 1.5 * reach)
        return near * opposed * candidate_weights(hand_points) * mask_of_types(hand_points, types)


def targets_to_hold(obj: GraspObject, hand_points: HandPoints, points: torch.Tensor) -> torch.Tensor:
    """As `targets_of_grasp`, for a hand that does not hold: whatever skin could come to the surface.

    Args:
        obj: the object.
        hand_points: of the hand.
        points: (B, P, 3) its points, object frame, metres.

    Returns:
        (B, C).
    """
    with torch.no_grad():
        distance = obj.grid.query(points[:, hand_points.candidates])[0].clamp_min(0)
        return (-(distance / CONFIG.hold_reach).square()).exp() * candidate_weights(hand_points)


def targets_of_gaussians(hand: HandModel, hand_points: HandPoints, representation: Choir, points: torch.Tensor,
                         hand_vertices: torch.Tensor) -> torch.Tensor:
    """How much each contact candidate should touch by predicted Gaussians (the weights of CHOIR's Eq. 10).

    Args:
        hand: the hand model.
        hand_points: of the hand.
        representation: B predicted ones.
        points: (B, P, 3) the points of the hands that these describe, object frame, metres.
        hand_vertices: (B, V, 3) likewise.

    Returns:
        (B, C).
    """
    with torch.no_grad():
        rest = hand.anchors(hand.v_template[None])[0] - hand_points.wrist
        region = torch.cdist(hand_points.rest[hand_points.candidates], rest).argmin(1)
        window = representation.window
        anchors = inward(window, hand.anchors(hand_vertices))
        probability = contact_map(representation.gaussians, inward(window, points[:, hand_points.candidates]),
                                  anchors, region)
        return probability * candidate_weights(hand_points)


def mask_of_types(hand_points: HandPoints, types: tuple[str, ...]) -> torch.Tensor:
    """(B, C) 1 for the skin that each type holds with, everywhere where the type is unknown."""
    mask = torch.ones(len(types), hand_points.candidates.stop)
    for row, name in enumerate(types):
        for patch, group in hand_points.patches.items():
            if name in BY_NAME and patch not in BY_NAME[name].contact_weights:
                mask[row, group.rows] = 0.0
    return mask


def candidate_weights(hand_points: HandPoints) -> torch.Tensor:
    """(C,) the share that each contact candidate has of its patch's weight."""
    part = torch.tensor(CONFIG.part_weight)[hand_points.candidate_parts]
    size = torch.zeros(hand_points.candidates.stop)
    for patch in hand_points.patches.values():
        size[patch.rows] = patch.rows.stop - patch.rows.start
    return patch_values(hand_points, CONFIG.patch_weight) * part / size


def patch_values(hand_points: HandPoints, of_patch: Mapping[str, float]) -> torch.Tensor:
    """(C,) a value for each contact candidate, by the last word of its patch's name."""
    values = torch.zeros(hand_points.candidates.stop)
    for name, patch in hand_points.patches.items():
        values[patch.rows] = of_patch[name.split()[-1]]
    return values
