"""How a hand touches an object, and losses on it, shared by GraspTTA (Sec. 2.1) and FastGrasp (Eq. 4-6).

Hands and clouds are in one frame, metres. P object points with unit normals, V points of a hand's skin, H of them
contact priors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.generators.nearest import closest

if TYPE_CHECKING:
    from core.generators.nearest import NearestNeighbours
    from core.hand.skin import Skin

#: Squared metres in squared centimetres, the losses' unit.
CM2: Final = 1e4


@dataclass(frozen=True)
class ContactLossConfig:
    """Where the losses look.

    Attributes:
        prior_reach: metres; object points within this of a contact prior may be touched (GraspTTA, Sec. 2.1).
        inside_cosine: cosine between the way to the nearest hand point and that point's normal above which an object
            point is inside the hand: within 60 degrees of straight. Chosen here.
        inside_depth: metres, the deepest that an object point is inside: half a finger and some. Chosen here.
        surface_reach: metres; `surface_distance` looks at hand points that truly are within this of the object.
        lowest: metres at which signed distances to a plane are cut inside the object.
        highest: metres at which they are cut outside.
        opposite_cosine: cosine of two surface normals below which they are the two sides of a wall.
    """

    prior_reach: float = 0.01
    inside_cosine: float = 0.5
    inside_depth: float = 0.015
    surface_reach: float = 0.012
    lowest: float = -0.03
    highest: float = 0.05
    opposite_cosine: float = -0.2


CONTACT_LOSS: Final = ContactLossConfig()


def nearest_point(points: torch.Tensor, others: torch.Tensor, rows: torch.Tensor | None = None,
                  ) -> tuple[torch.Tensor, torch.Tensor]:
    """The distance of points to the nearest of others, differentiable.

    Args:
        points: (N, P, 3) metres.
        others: (N, V, 3) metres.
        rows: (N, P) of the nearest, where they are known.

    Returns:
        Metres (N, P), and the rows (N, P).
    """
    if rows is None:
        _, rows = closest(points, others)
    there = others.gather(1, rows[..., None].expand(-1, -1, 3))
    return (points - there).square().sum(-1).clamp_min(1e-12).sqrt(), rows


def contact_map(distance: torch.Tensor) -> torch.Tensor:
    """f(D) = 1 - 2 (sigmoid(2 D) - 0.5), D in centimetres of `distance` metres (GraspTTA, Sec. 2.1)."""
    return 1 - 2 * (torch.sigmoid(200 * distance) - 0.5)


def penetration(points: torch.Tensor, normals: torch.Tensor, skin: Skin,
                neighbours: NearestNeighbours | None = None) -> torch.Tensor:
    """Mean squared distance to the skin of the object points inside a hand (GraspTTA, L_penetr).

    A point is inside when it lies behind the nearest hand point, no deeper than a hand is thick, and the skin faces the
    surface there. The published test, behind alone, calls much of what lies beside a hand of few points inside it, or
    takes what the palm touches for something behind the back of the hand: the gradient then draws the hand in.

    Args:
        points: (N, P, 3) of the object.
        normals: (N, P, 3) outward, unit.
        skin: of N hands.
        neighbours: of both, where they are known.

    Returns:
        (N,) m2.
    """
    nearest = nearest_point(points, skin.points, None if neighbours is None else neighbours.hand)
    inside = inside_hand(points, normals, skin, nearest)
    return (nearest[0].square() * inside).sum(1) / inside.sum(1).clamp_min(1)


def inside_hand(points: torch.Tensor, normals: torch.Tensor, skin: Skin, nearest: tuple[torch.Tensor, torch.Tensor],
                ) -> torch.Tensor:
    """(N, P) bool: which object points are inside a hand, as `penetration` has it.

    Args:
        points: (N, P, 3) of the object.
        normals: (N, P, 3) outward, unit.
        skin: of N hands.
        nearest: the `nearest_point` of the skin to each object point.
    """
    distance, rows = nearest
    rows = rows[..., None].expand(-1, -1, 3)
    there, outward = skin.points.gather(1, rows), skin.normals.gather(1, rows)
    behind = ((there - points) * outward).sum(-1) > CONTACT_LOSS.inside_cosine * distance
    inside = behind & (distance < CONTACT_LOSS.inside_depth)
    return inside & ((normals * outward).sum(-1) < 0)


def prior_distance(points: torch.Tensor, skin: Skin, neighbours: NearestNeighbours | None = None) -> torch.Tensor:
    """(N, P) metres, differentiable, from object points (N, P, 3) to the nearest of the hand's contact priors."""
    if neighbours is not None:
        return nearest_point(points, skin.points, neighbours.prior)[0]
    return nearest_point(points, skin.points[:, skin.priors])[0]


def prior_map(points: torch.Tensor, skin: Skin, neighbours: NearestNeighbours | None = None) -> torch.Tensor:
    """(N, P) the object's contact map from the hand's contact priors."""
    return contact_map(prior_distance(points, skin, neighbours))


def object_centric(distance: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) mean squared difference of the contact map of `prior_distance` to a true one: L_O, FastGrasp's L_consist."""
    return (contact_map(distance) - truth).square().mean(1)


def hand_centric(distance: torch.Tensor) -> torch.Tensor:
    """(N,) m2: mean square of the `prior_distance` of object points that are near: L_H, FastGrasp's L_cmap."""
    near = distance < CONTACT_LOSS.prior_reach
    return (distance.square() * near).sum(1) / near.sum(1).clamp_min(1)


def surface_distance(points: torch.Tensor, normals: torch.Tensor, predicted: torch.Tensor, truth: torch.Tensor,
                     depth_weight: float = 4.0, sides: bool = True) -> torch.Tensor:
    """How wrong the distance of predicted hand points to the local surface is, and their depth beyond the true one's.

    Not in any of the papers: measured here to say more about a grasp than their physical losses. Points that came out
    on the other side of a wall, where their nearest surface faces away from the true ones', are behind that one.

    Args:
        points: (N, P, 3) of the object.
        normals: (N, P, 3) outward, unit.
        predicted: (N, V, 3) of the hand.
        truth: (N, V, 3) the same points of the true hand.
        depth_weight: how much more depth that the true hand does not have counts.
        sides: look for points that came out on the other side of a wall; only for hands near the true one.

    Returns:
        (N,) metres.
    """
    with torch.no_grad():
        true_distance, true_normal = nearest_plane(points, normals, truth)
        matters = (true_distance.abs() < CONTACT_LOSS.surface_reach).float()
    distance, normal = nearest_plane(points, normals, predicted)
    if sides:
        behind = true_distance + ((predicted - truth) * true_normal).sum(-1)
        through = (((normal * true_normal).sum(-1) < CONTACT_LOSS.opposite_cosine) & (behind.detach() < 0)
                   & (matters > 0))
        distance = torch.where(through, behind.clamp_min(CONTACT_LOSS.lowest), distance)
    error = ((distance - true_distance).abs() * matters).sum(1) / matters.sum(1).clamp_min(1)
    return error + depth_weight * (true_distance.clamp_max(0) - distance).relu().mean(1)


def nearest_plane(points: torch.Tensor, normals: torch.Tensor, hand_points: torch.Tensor,
                  neighbours: NearestNeighbours | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Signed distance of hand points to the tangent plane of the nearest object point, differentiable.

    Args:
        points: (N, P, 3) of the object.
        normals: (N, P, 3) outward, unit.
        hand_points: (N, V, 3).
        neighbours: of both, where they are known.

    Returns:
        Metres (N, V), cut at `lowest` and `highest`, and the normals (N, V, 3) of those object points.
    """
    far, rows = closest(hand_points, points) if neighbours is None else (neighbours.distance, neighbours.object)
    there = points.gather(1, rows[..., None].expand(-1, -1, 3))
    normal = normals.gather(1, rows[..., None].expand(-1, -1, 3))
    height = ((hand_points - there) * normal).sum(-1)
    # Beside a thin wall's rim the plane runs on where the wall does not: what is far from every point is outside.
    beside = height.detach().abs() < 0.5 * far
    return torch.where(beside, far, height).clamp(CONTACT_LOSS.lowest, CONTACT_LOSS.highest), normal


@torch.no_grad()
def surface_seen(points: torch.Tensor, normals: torch.Tensor, hand_points: torch.Tensor) -> torch.Tensor:
    """Where the object's surface is, as seen from a hand: what a network is told that is to correct it.

    Args:
        points: (N, P, 3) of the object.
        normals: (N, P, 3) outward, unit.
        hand_points: (N, V, 3).

    Returns:
        (N, 4 V) signed centimetres to the surface from each point, and the surface's normals there.
    """
    distance, normal = nearest_plane(points, normals, hand_points)
    return torch.cat([100 * distance, normal.flatten(1)], 1)
