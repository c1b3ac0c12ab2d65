"""The stiffness of hands while the fit moves them, and its slope by the distance of each point of skin.

The model and its numbers are `core.quality.stiffness`'s. How far the skin is pressed is what changes most as a hand
moves, so the slope is by the distances alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.fitting.posing import HandPoses
from core.quality.stiffness import STIFFNESS, centre_of_mass, stiffness_at_rest, stiffness_deficit

if TYPE_CHECKING:
    from core.fitting.fit_hand import FitHand
    from core.fitting.posing import Links
    from core.objects import GraspObject

#: Newton's steps to the balance from where it was in nearly the same hands
FEW_STEPS: Final = 2
#: cm from the object beyond which no skin comes to press on it as the hand closes
REACH_CM: Final = 4.0


@dataclass(frozen=True)
class StiffnessModel:
    """The stiffness deficit of B hands near where they are.

    Attributes:
        deficit: (B,) `core.quality.stiffness.stiffness_deficit`.
        travel: (B, 6) where the object rests in the hands.
        points: (B, M, 3) the palmar skin, metres.
        outward: (B, M, 3) the object's normals there.
        slope: (B, M) of the deficit by the points' distances, for a cm.
    """

    deficit: np.ndarray
    travel: np.ndarray
    points: np.ndarray
    outward: np.ndarray
    slope: np.ndarray


class StiffnessTerm:
    """The stiffness of hands of one shape on one object.

    It is of few points of the palmar skin, to search and to move hands by.

    Args:
        hand: the hand.
        obj: the object.
    """

    def __init__(self, hand: FitHand, obj: GraspObject) -> None:
        self._hand, self._obj = hand, obj
        self._centre = centre_of_mass(obj)
        self._skin, self._area = hand.palmar_skin, torch.from_numpy(hand.palmar_area)

    def of_whole_skin(self) -> StiffnessTerm:
        """The same of all the skin, as `core.quality.stiffness.grasp_quality` has it, to judge by."""
        other = copy.copy(self)
        other._skin, other._area = self._hand.skin, torch.from_numpy(self._hand.skin_area)
        return other

    def __call__(self, poses: HandPoses, links: Links, travel: np.ndarray | None = None) -> StiffnessModel:
        """The deficit of B hands and its slope.

        Args:
            poses: the hands.
            links: where their links are.
            travel: (B, 6) where the object rested in hands that were nearly so.
        """
        points, distance, outward, motion, area = self._pressed(poses, links)
        distance.requires_grad_()
        with torch.enable_grad():
            stiffness, rest = stiffness_at_rest(
                points - self._centre, distance, outward, motion, area,
                None if travel is None else torch.from_numpy(travel), STIFFNESS.steps if travel is None else FEW_STEPS)
            deficit = stiffness_deficit(stiffness)
            slope = torch.autograd.grad(deficit.sum(), distance)[0]
        return StiffnessModel(deficit.detach().numpy(), rest.numpy(), points.numpy(), outward.numpy(), slope.numpy())

    @torch.no_grad()
    def stiffness(self, poses: HandPoses) -> torch.Tensor:
        """(B,) the stiffness of B hands, bones in the object not counted."""
        return torch.cat([self._stiffness_of(poses[rows]) for rows in np.array_split(
            np.arange(len(poses)), max(1, -(-len(poses) // STIFFNESS.chunk)))])

    def _stiffness_of(self, poses: HandPoses) -> torch.Tensor:
        """`stiffness` of few hands: more at once do not fit into the cache."""
        pressed = self._pressed(poses, self._hand.chain.posed(poses))
        # most of the skin is too far to come to press, or turned away, in all of the hands
        near = ((pressed[1] < REACH_CM) & (pressed[4] > 0)).any(0)
        points, distance, outward, motion, area = (value[:, near] for value in pressed)
        return stiffness_at_rest(points - self._centre, distance, outward, motion, area)[0]

    def with_bones(self, poses: HandPoses, bones: torch.Tensor) -> torch.Tensor:
        """(B,) the stiffness of B hands, less for each of their bones (B,) in the object."""
        return self.stiffness(poses) * STIFFNESS.blocked**bones

    def _pressed(self, poses: HandPoses, links: Links) -> tuple[torch.Tensor, ...]:
        """Points (B, M, 3) in metres, distances in cm, normals of the object, motion in cm, area that presses."""
        skin, chain = self._skin, self._hand.chain
        points = skin.posed(links.moves)
        closed = HandPoses(poses.rotation, poses.wrist, poses.dofs + self._hand.closing)
        motion = 100 * (skin.posed(chain.posed(closed).moves) - points)
        place = torch.from_numpy(points)
        distance, outward = self._obj.grid.query(place)
        normals = torch.from_numpy(skin.normals(links.moves))
        opposed = (-(normals * outward).sum(-1)).clamp_min(0)
        return place, 100 * distance, outward, torch.from_numpy(motion), self._area * opposed
