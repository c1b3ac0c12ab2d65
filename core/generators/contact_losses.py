"""Losses on how a hand touches an object, shared by GraspTTA (Sec. 2.1) and FastGrasp (Eq. 4-6).

Hands and clouds are in one frame, metres. P object points with unit normals, V hand vertices, H of them contact priors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from core.generators.nearest import closest

if TYPE_CHECKING:
    from core.generators.nearest import Nearest
    from core.hand.skin import Skin

#: Squared metres in squared centimetres, the losses' unit.
CM2: Final = 1e4
#: GraspTTA Sec. 2.1: object points within this of a contact prior may be touched.
NEAR: Final = 0.01
#: Inside a hand: behind its skin within 60 degrees of straight, and no deeper than half a finger and some.
BEHIND, DEEPEST = 0.5, 0.015
#: The surface-distance loss looks at skin within this of the object.
CLOSE: Final = 0.012
#: Signed distances to a plane are cut at these, metres.
LOWEST, HIGHEST = -0.03, 0.05
#: Two surfaces whose normals' cosine is below this are the two sides of a wall.
OTHER_SIDE: Final = -0.2


def nearest_skin(points: torch.Tensor, skin: torch.Tensor, rows: torch.Tensor | None = None,
                 ) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance (N, P), differentiable, from points (N, P, 3) to the nearest of skin (N, V, 3), and its index.

    Args:
        rows: (N, P) that index, where it is known.
    """
    if rows is None:
        _, rows = closest(points, skin)
    there = skin.gather(1, rows[..., None].expand(-1, -1, 3))
    return (points - there).square().sum(-1).clamp_min(1e-12).sqrt(), rows


def contact_map(distance: torch.Tensor) -> torch.Tensor:
    """f(D) = 1 - 2 (sigmoid(2 D) - 0.5), D in centimetres of `distance` metres (GraspTTA Sec. 2.1)."""
    return 1 - 2 * (torch.sigmoid(200 * distance) - 0.5)


def penetration(points: torch.Tensor, facing: torch.Tensor, skin: Skin, near: Nearest | None = None) -> torch.Tensor:
    """(N,) m2: mean squared distance of the object points inside the hand to its skin (GraspTTA, L_penetr).

    A point is inside when it lies behind the nearest skin, no deeper than a hand is thick, and the skin faces the
    surface there. The published test, behind alone, calls much of what lies beside a hand of few points inside it, or
    takes what the palm touches for something behind the back of the hand: the gradient then draws the hand in.

    Args:
        facing: (N, P, 3) the points' outward normals. near: what is nearest, where it is known.
    """
    nearest = nearest_skin(points, skin.points, near and near.skin)
    inside = behind(points, facing, skin, nearest)
    return (nearest[0].square() * inside).sum(1) / inside.sum(1).clamp_min(1)


def behind(points: torch.Tensor, facing: torch.Tensor, skin: Skin, nearest: tuple[torch.Tensor, torch.Tensor],
           ) -> torch.Tensor:
    """(N, P) bool: which points are inside a hand, as `penetration` has it, given the `nearest_skin` to them."""
    distance, rows = nearest
    rows = rows[..., None].expand(-1, -1, 3)
    there, normal = skin.points.gather(1, rows), skin.normals.gather(1, rows)
    inside = (((there - points) * normal).sum(-1) > BEHIND * distance) & (distance < DEEPEST)
    return inside & ((facing * normal).sum(-1) < 0)


def prior_distance(points: torch.Tensor, skin: Skin, near: Nearest | None = None) -> torch.Tensor:
    """(N, P) metres, differentiable, from points (N, P, 3) to the nearest of the hand's contact priors."""
    if near is not None:
        return nearest_skin(points, skin.points, near.prior)[0]
    return nearest_skin(points, skin.points[:, skin.priors])[0]


def prior_map(points: torch.Tensor, skin: Skin, near: Nearest | None = None) -> torch.Tensor:
    """(N, P) the object's contact map from the hand's contact priors."""
    return contact_map(prior_distance(points, skin, near))


def object_centric(distance: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) mean squared difference of the contact map of `prior_distance` to a true one: L_O, FastGrasp's L_consist."""
    return (contact_map(distance) - truth).square().mean(1)


def hand_centric(distance: torch.Tensor) -> torch.Tensor:
    """(N,) m2: mean square of the `prior_distance` of object points that are near: L_H, FastGrasp's L_cmap."""
    near = distance < NEAR
    return (distance.square() * near).sum(1) / near.sum(1).clamp_min(1)


def surface_distance(cloud: torch.Tensor, facing: torch.Tensor, skin: torch.Tensor, truth: torch.Tensor,
                     deeper: float = 4.0, sides: bool = True) -> torch.Tensor:
    """(N,) metres: how wrong the distance of the skin to the local surface is, and depth beyond the true one's.

    Not in any of the papers: measured here to say more about a grasp than their physical losses. Skin that came out on
    the other side of a wall, where its nearest surface faces away from the true one's, is behind that one.

    Args:
        cloud, facing: (N, P, 3) the object's points and outward normals. skin, truth: (N, V, 3) predicted and true.
        deeper: how much more depth that the true hand does not have counts, a point.
        sides: look for skin that came out on the other side of a wall; only for hands near the true one.
    """
    with torch.no_grad():
        right, front = nearest_plane(cloud, facing, truth)
        matters = (right.abs() < CLOSE).float()
    mine, side = nearest_plane(cloud, facing, skin)
    if sides:
        behind = right + ((skin - truth) * front).sum(-1)
        through = ((side * front).sum(-1) < OTHER_SIDE) & (behind.detach() < 0) & (matters > 0)
        mine = torch.where(through, behind.clamp_min(LOWEST), mine)
    wrong = ((mine - right).abs() * matters).sum(1) / matters.sum(1).clamp_min(1)
    return wrong + deeper * (right.clamp_max(0) - mine).relu().mean(1)


def nearest_plane(cloud: torch.Tensor, facing: torch.Tensor, skin: torch.Tensor, near: Nearest | None = None,
                  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Signed metres (N, V) from skin (N, V, 3) to the nearest surface point's plane, and its normal (N, V, 3)."""
    far, rows = closest(skin, cloud) if near is None else (near.far, near.cloud)
    there = cloud.gather(1, rows[..., None].expand(-1, -1, 3))
    normal = facing.gather(1, rows[..., None].expand(-1, -1, 3))
    height = ((skin - there) * normal).sum(-1)
    # Beside a thin wall's rim the plane runs on where the wall does not: what is far from every point is outside.
    beside = height.detach().abs() < 0.5 * far
    return torch.where(beside, far, height).clamp(LOWEST, HIGHEST), normal
