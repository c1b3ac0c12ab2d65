"""Test-time adaptation: what moves the hands that a network proposed.

The loss is GraspTTA's Eq. 3 and a term of our own, the stiffness that the grasp lacks: that of
`core.quality.stiffness`, of the points of hand and object that the losses see, differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.generators.contact_losses import (
    CM2,
    hand_centric,
    inside_hand,
    nearest_plane,
    nearest_point,
    object_centric,
    penetration,
    prior_distance,
    prior_map,
)
from core.generators.hand_parameters import POSE
from core.generators.nearest import NearestNeighbours
from core.hand.squeeze import flexion
from core.parallel import parallel_map
from core.quality.stiffness import STIFFNESS, stiffness_at_rest, stiffness_deficit

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.conditioning import Conditioning
    from core.generators.hand_parameters import HandNormalizer
    from core.generators.local_cloud import LocalPointCloud
    from core.hand import HandModel
    from core.hand.skin import Skin, SkinSample
    from core.progress import Progress

#: hands moved at once: what is computed for more falls out of a processor's cache
CHUNK: Final = 16
#: points of the local cloud that hands are adapted on by few large steps
ADAPTED_ON: Final = 512


@dataclass(frozen=True)
class ReuseConfig:
    """For how many steps of the hands what changes little from step to step is kept; for speed, chosen here.

    Attributes:
        equilibrium_steps: Newton's steps to the balance of the object, from where it was a step of the hands before.
        closing: steps of the hands for which the way of the closing fingers' skin is kept.
        neighbours: steps of the hands for which nearest neighbours are kept.
    """

    equilibrium_steps: int = 2
    closing: int = 5
    neighbours: int = 2


REUSE: Final = ReuseConfig()


@dataclass(frozen=True)
class Clearance:
    """By how much the surface that hands are laid on is moved out of the object's; the papers do not move it.

    Hands some millimetres off then lie beside the object and not in it. One with surface inside it keeps further off
    than one that lies well already, or has a small thing in its fingertips: these would lose their grasp.

    Attributes:
        initial: metres, before there is a hand, where there are `full_area` cm2 of surface or more; for less, less in
            proportion.
        per_cm2: metres for each cm2 of surface inside the hand.
        most: metres, of both.
        full_area: cm2.
    """

    initial: float = 0.0
    per_cm2: float = 0.0
    most: float = 0.004
    full_area: float = 200.0

    def before(self, cloud: LocalPointCloud) -> torch.Tensor:
        """(N,) metres before there is a hand."""
        return self.initial * (cloud.area / self.full_area).clamp_max(1)

    def further(self, cloud: LocalPointCloud, overlap: torch.Tensor) -> torch.Tensor:
        """(N,) metres more for hands with `overlap` (N,) cm2 inside them, of surfaces moved by `before` already."""
        return torch.minimum(self.per_cm2 * overlap, self.most - self.before(cloud))


@torch.no_grad()
def overlap_area(cloud: LocalPointCloud, skin: Skin) -> torch.Tensor:
    """(N,) cm2 of the object's local surface that is inside each of N hands."""
    inside = inside_hand(cloud.points, cloud.normals, skin, nearest_point(cloud.points, skin.points))
    return inside.float().mean(1) * cloud.area


@lru_cache(maxsize=4)
def closed_pose(hand: HandModel) -> torch.Tensor:
    """(1, 45) radians that are added to a pose as fingers close by `STIFFNESS.closing_degrees`."""
    still = torch.zeros(1, len(hand.dof_names), device=hand.v_template.device)
    return hand.pose_from_dofs(still + flexion(hand, STIFFNESS.closing_degrees).to(still)) - hand.pose_from_dofs(still)


def in_chunks(hands: torch.Tensor, moved: Callable[[torch.Tensor, Progress], torch.Tensor],
              progress: Progress) -> torch.Tensor:
    """N hands moved `CHUNK` at a time, side by side on the processor's cores; on a graphics card all at once.

    Args:
        hands: (N, D), of which only the number and the device are read.
        moved: of rows of the hands and a progress: those hands moved, (rows, D).
        progress: told how far all are.

    Returns:
        (N, D).

    Raises:
        core.progress.Stopped: the work was asked to stop.
    """
    chunks = torch.arange(len(hands)).split(len(hands) if hands.is_cuda else CHUNK)
    return torch.cat(parallel_map(chunks, moved, progress))


@dataclass(frozen=True)
class TouchLoss:
    """L_TTA of GraspTTA's Eq. 3, and the stiffness that the grasp lacks.

    Attributes:
        consistency: weight of L_refine.
        hand_centric: weight of L_H.
        penetration: weight of L_penetr.
        stiffness: weight of the stiffness deficit; 0 is the paper.
    """

    consistency: float = 25.0
    hand_centric: float = 2.0
    penetration: float = 3.0
    stiffness: float = 1.0

    def __call__(self, term: StiffnessTerm, params: torch.Tensor, skin: Skin, omega: torch.Tensor) -> torch.Tensor:
        """The loss of each hand.

        Args:
            term: of the N hands and their object.
            params: (N, 61).
            skin: of those hands.
            omega: (N, P) contact maps of the object that are aimed at.

        Returns:
            (N,).
        """
        neighbours = term.neighbours(skin)
        distance = prior_distance(term.points, skin, neighbours)
        loss = self.consistency * object_centric(distance, omega) + self.hand_centric * CM2 * hand_centric(distance)
        loss = loss + self.penetration * CM2 * penetration(term.points, term.normals, skin, neighbours)
        return loss + self.stiffness * term.deficit(params, skin, neighbours) if self.stiffness else loss


@dataclass(frozen=True)
class AdaptationConfig:
    """What is done at test time with hands that were proposed; nothing unless told.

    Attributes:
        steps: down `loss`, each hand by itself; 0 leaves hands as they are.
        step_size: of each step, in the method's own measure.
        loss: that is minimised.
        clearance: from the surface that the hands see, from the first.
        per_cm2: share of the step size more for each cm2 of surface inside a hand, where steps are of a given length.
        most_overlap: cm2 beyond which that grows no more.
    """

    steps: int = 0
    step_size: float = 0.0
    loss: TouchLoss = TouchLoss()
    clearance: Clearance = Clearance()
    per_cm2: float = 0.0
    most_overlap: float = 4.0

    def step_sizes(self, overlap: torch.Tensor) -> torch.Tensor:
        """(N,) step sizes of hands with `overlap` (N,) cm2 inside them: one that is deep has further to go."""
        return self.step_size * (1 + self.per_cm2 * overlap.clamp_max(self.most_overlap))


#: hands are left as they were proposed
NO_ADAPTATION: Final = AdaptationConfig()


class StiffnessTerm:
    """The stiffness deficit of N grasps, asked again as the hands move a little.

    Args:
        normalizer: of the hand parameters.
        sample: the points of the hand's skin.
        betas: (N, 10) of the hands.
        cloud: the object, which is pulled at its middle.

    Attributes:
        points: (N, P, 3) metres, of the object.
        normals: (N, P, 3) outward, unit.
    """

    def __init__(self, normalizer: HandNormalizer, sample: SkinSample, betas: torch.Tensor,
                 cloud: LocalPointCloud) -> None:
        self._normalizer, self._sample, self._betas = normalizer, sample, betas
        self.points, self.normals, self._middle = cloud.points, cloud.normals, cloud.middle[:, None]
        self._deficits = self._lookups = 0
        self._rest: torch.Tensor | None = None

    def neighbours(self, skin: Skin) -> NearestNeighbours:
        """Nearest neighbours of object and skin, or those of some steps before: a step of the hands is small."""
        if self._lookups % REUSE.neighbours == 0:
            self._neighbours = NearestNeighbours.between(self.points, skin)
        self._lookups += 1
        return self._neighbours

    def deficit(self, params: torch.Tensor, skin: Skin, neighbours: NearestNeighbours | None = None) -> torch.Tensor:
        """(N,) `stiffness_deficit` of the grasps of parameters (N, 61), whose skin is given; differentiable.

        How the skin moves when fingers close, and where the object comes to rest then, are taken from the hands
        asked before, which were nearly the same; how the skin moves only for some steps, and as a constant.
        """
        distance, outward = nearest_plane(self.points, self.normals, skin.points, neighbours)
        facing = (-(skin.normals * outward).sum(-1)).clamp_min(0)
        if self._deficits % REUSE.closing == 0:
            self._moved = self.closing(params, skin)
        self._deficits += 1
        stiffness, self._rest = stiffness_at_rest(
            skin.points - self._middle, 100 * distance, outward, 100 * self._moved, self._sample.area * facing,
            self._rest, STIFFNESS.steps if self._rest is None else REUSE.equilibrium_steps)
        return stiffness_deficit(stiffness)

    @torch.no_grad()
    def closing(self, params: torch.Tensor, skin: Skin) -> torch.Tensor:
        """(N, V, 3) metres by which the skin moves when fingers close by `STIFFNESS.closing_degrees`."""
        closed = params.detach().clone()
        closed[:, POSE] += closed_pose(self._sample.hand).to(params) / self._normalizer.scale[POSE]
        return self._normalizer.skin(self._sample, closed, self._betas).points - skin.points.detach()


def descended(z: torch.Tensor, decoded: Callable[[torch.Tensor], torch.Tensor], normalizer: HandNormalizer,
              conditioning: Conditioning, progress: Progress) -> torch.Tensor:
    """Hands moved by few steps down the adaptation's loss, each of a given length; what they touch is to stay.

    The contact map that is aimed at is that of the hands as they are given.

    Args:
        z: (N, D) what is moved.
        decoded: hand parameters (N, 61) of it.
        normalizer: of those.
        conditioning: of the N hands; its adaptation's step size is the length of the first step, others are shorter
            and shorter.
        progress: told how far it is after each step.

    Returns:
        (N, D).

    Raises:
        core.progress.Stopped: the work was asked to stop.
    """
    hand, betas, adaptation = conditioning.hand, conditioning.betas, conditioning.adaptation
    term = None
    for step in range(adaptation.steps):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            params = decoded(z)
            skin = normalizer.skin(hand, params, betas)
            if term is None:
                overlap = overlap_area(conditioning.cloud, skin)
                sizes = adaptation.step_sizes(overlap)[:, None]
                further = adaptation.clearance.further(conditioning.cloud, overlap)
                term = StiffnessTerm(normalizer, hand, betas, conditioning.cloud.offset(further))
                omega = prior_map(term.points, skin, term.neighbours(skin)).detach()
            (slope,) = torch.autograd.grad(adaptation.loss(term, params, skin, omega).sum(), z)
        z = z - sizes * (1 - step / adaptation.steps) * nn.functional.normalize(slope)
        progress((step + 1) / adaptation.steps)
    return z.detach()


def adapted_parameters(params: torch.Tensor, normalizer: HandNormalizer, conditioning: Conditioning,
                       progress: Progress) -> torch.Tensor:
    """Hand parameters (N, 61) `descended` themselves, on few of the object's points, some hands at a time.

    Args:
        params: (N, 61) of hands as they were proposed; they stay so where the adaptation has no steps.
        normalizer: of the hand parameters.
        conditioning: of the N hands.
        progress: told how far all are.

    Raises:
        core.progress.Stopped: the work was asked to stop.
    """
    if not conditioning.adaptation.steps:
        return params

    def itself(moved: torch.Tensor) -> torch.Tensor:
        return moved

    few = replace(conditioning, cloud=conditioning.cloud.first(ADAPTED_ON))
    return in_chunks(params, lambda rows, part: descended(params[rows], itself, normalizer, few[rows], part),
                     progress)
