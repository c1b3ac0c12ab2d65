"""What proposed hands are moved by at test time: GraspTTA's Eq. 3, and how firmly they would grip what is seen.

The stiffness is a term of our own: that of `core.quality.stiffness`, of the points of skin and of surface that the
losses see, differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import torch

from core.generators.contact_losses import (
    CM2,
    behind,
    hand_centric,
    nearest_plane,
    nearest_skin,
    object_centric,
    penetration,
    prior_distance,
)
from core.generators.hand_parameters import POSE
from core.generators.nearest import Nearest
from core.hand.articulation import flexion
from core.parallel import parallel_map
from core.quality.stiffness import STIFFNESS, stiffness_at_rest, stiffness_deficit

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.hand_parameters import HandNormalizer
    from core.generators.local_cloud import LocalPointCloud
    from core.hand import HandModel
    from core.hand.skin import Skin, SkinSample

#: Newton's steps to the balance from where it was a step of the hands before
FEW: Final = 2
#: steps of the hands for which the way of their closing skin stands
EVERY: Final = 5
#: and for which what is nearest to what stands
LOOK: Final = 2
#: cm2 of surface in a hand's way beyond which no more is made of it
MUCH: Final = 4.0
#: hands moved at once: what is worked out for more falls out of a processor's cache
CHUNK: Final = 16


@dataclass(frozen=True)
class Clearance:
    """By how much the surface that hands are laid on stands out of the object's; nothing is the papers.

    Hands some millimetres off then lie beside the object and not in it. One with surface in its way keeps further off
    than one that lies well already, or has a small thing in its fingertips: these would lose their grip.

    Attributes:
        first: metres, before there is a hand, where there are `large` cm2 of surface or more; for less, less in
            proportion. more: metres for each cm2 of surface in the hand's way. most: metres, of both.
    """

    first: float = 0.0
    more: float = 0.0
    most: float = 0.004
    large: float = 200.0

    def before(self, seen: LocalPointCloud) -> torch.Tensor:
        """(N,) metres before there is a hand."""
        return self.first * (seen.area / self.large).clamp_max(1)

    def further(self, seen: LocalPointCloud, way: torch.Tensor) -> torch.Tensor:
        """(N,) metres more for hands with `way` (N,) cm2 in theirs, where surfaces stand out by `before` already."""
        return torch.minimum(self.more * way, self.most - self.before(seen))


@torch.no_grad()
def in_the_way(seen: LocalPointCloud, skin: Skin) -> torch.Tensor:
    """(N,) cm2 of the surface, as it is seen, that is in a hand."""
    inside = behind(seen.cloud, seen.facing, skin, nearest_skin(seen.cloud, skin.points))
    return inside.float().mean(1) * seen.area


@lru_cache(maxsize=4)
def closed_pose(hand: HandModel) -> torch.Tensor:
    """(1, 45) what is added to a pose as fingers close by `STIFFNESS.closing_degrees`."""
    still = torch.zeros(1, len(hand.dof_names), device=hand.v_template.device)
    return hand.pose_from_dofs(still + flexion(hand, STIFFNESS.closing_degrees).to(still)) - hand.pose_from_dofs(still)


def in_chunks(hands: torch.Tensor, moved: Callable[[torch.Tensor, Callable[[float], bool]], torch.Tensor],
              go_on: Callable[[float], bool]) -> torch.Tensor:
    """N hands (N, D), moved by `moved(rows, go_on)` some at a time, on each core of the processor some.

    Those not begun when `go_on` says no stay as they are. On a graphics card all go at once.
    """
    chunks = torch.arange(len(hands)).split(len(hands) if hands.is_cuda else CHUNK)
    found = parallel_map(chunks, moved, go_on)
    return torch.cat([hands[rows] if done is None else done for rows, done in zip(chunks, found, strict=True)])


@dataclass(frozen=True)
class TouchLoss:
    """L_TTA of GraspTTA's Eq. 3, and what the grip lacks.

    Attributes:
        consistency, hand_centric, penetration: weights of L_refine, L_H and L_penetr.
        grip: of what a hand's grip lacks; 0 is the paper.
    """

    consistency: float = 25.0
    hand_centric: float = 2.0
    penetration: float = 3.0
    grip: float = 1.0

    def __call__(self, gripping: StiffnessTerm, code: torch.Tensor, skin: Skin, omega: torch.Tensor) -> torch.Tensor:
        """(N,) of codes (N, 61), whose skin is given, against contact maps (N, P)."""
        near = gripping.nearest(skin)
        apart = prior_distance(gripping.cloud, skin, near)
        loss = self.consistency * object_centric(apart, omega) + self.hand_centric * CM2 * hand_centric(apart)
        loss = loss + self.penetration * CM2 * penetration(gripping.cloud, gripping.facing, skin, near)
        return loss + self.grip * gripping.lacking(code, skin, near) if self.grip else loss


@dataclass(frozen=True)
class AdaptationConfig:
    """What is done at test time with hands that were proposed; nothing unless told.

    Attributes:
        steps: down `touch`, each hand by itself; 0 leaves hands as they are. stride: how far each step goes, in the
            method's own measure. longer: share of that more for each cm2 of surface in a hand's way, where steps are of
            a given length. clearance: from the surface that the hands see, from the first.
    """

    steps: int = 0
    stride: float = 0.0
    touch: TouchLoss = TouchLoss()
    clearance: Clearance = Clearance()
    longer: float = 0.0

    def strides(self, way: torch.Tensor) -> torch.Tensor:
        """(N,) how far hands go with `way` (N,) cm2 in theirs: one that is deep has further to go."""
        return self.stride * (1 + self.longer * way.clamp_max(MUCH))


class StiffnessTerm:
    """What the grips of N hands lack, asked again as the hands move a little.

    Args:
        code: the hands' units. sample: their skin. betas: (N, 10) of the hands.
        seen: the object, which is pulled at its middle.
    """

    def __init__(self, code: HandNormalizer, sample: SkinSample, betas: torch.Tensor, seen: LocalPointCloud) -> None:
        self._code, self._sample, self._betas = code, sample, betas
        self.cloud, self.facing, self._middle = seen.cloud, seen.facing, seen.middle[:, None]
        self._asked = self._looked = 0
        self._rest: torch.Tensor | None = None

    def nearest(self, skin: Skin) -> Nearest:
        """Rows of what is nearest to the skin, or was some steps before: a step of the hands is small."""
        if self._looked % LOOK == 0:
            self._near = Nearest.between(self.cloud, skin)
        self._looked += 1
        return self._near

    def lacking(self, code: torch.Tensor, skin: Skin, near: Nearest | None = None) -> torch.Tensor:
        """(N,) `stiffness_deficit` of the grips of codes (N, 61), whose skin is given; differentiable.

        How the skin moves when fingers close, and where the object comes to rest then, are taken from the hands
        asked before, which were nearly the same; how the skin moves only for some steps, and as a constant.
        """
        distance, outward = nearest_plane(self.cloud, self.facing, skin.points, near)
        facing = (-(skin.normals * outward).sum(-1)).clamp_min(0)
        if self._asked % EVERY == 0:
            self._moved = self.closing(code, skin)
        self._asked += 1
        firm, self._rest = stiffness_at_rest(skin.points - self._middle, 100 * distance, outward, 100 * self._moved,
                                             self._sample.area * facing, self._rest,
                                             STIFFNESS.steps if self._rest is None else FEW)
        return stiffness_deficit(firm)

    @torch.no_grad()
    def closing(self, code: torch.Tensor, skin: Skin) -> torch.Tensor:
        """(N, V, 3) metres by which the skin moves when fingers close by `STIFFNESS.closing_degrees`."""
        closed = code.detach().clone()
        closed[:, POSE] += closed_pose(self._sample.hand).to(code) / self._code.scale[POSE]
        return self._code.skin(self._sample, closed, self._betas).points - skin.points.detach()
