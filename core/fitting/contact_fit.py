"""Moving given hands as little as it takes to lie on the object: the energies of the fit, and their stages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.contact_targets import candidate_weights
from core.fitting.descent import Stage
from core.fitting.energy import CONFIG as ENERGY
from core.fitting.energy import ContactDepth, GraspEnergy
from core.fitting.hand_points import HandPoints
from core.hand.squeeze import flexion
from core.hand.tables import PARTS
from core.quality.stiffness import STIFFNESS, centre_of_mass, stiffness_at_rest, stiffness_deficit

if TYPE_CHECKING:
    from core.fitting.poses import Poses
    from core.hand import HandModel
    from core.hand.skin import SkinRows
    from core.objects import GraspObject

THUMB, PALM = PARTS.index("thumb"), PARTS.index("palm")

#: of the fit of a hand that does not lie well
STAGES: Final = (
    Stage(12, 0.02, 0.10, 0.0),
    Stage(30, 0.014, 0.05, 0.035),
    Stage(46, 0.005, 0.024, 0.012, whole_skin=True, beta2=0.99),
)
#: for those whose stiffness is too low
STIFFEN: Final = (Stage(40, 0.015, 0.07, 0.04), Stage(30, 0.005, 0.02, 0.011, whole_skin=True, beta2=0.99))
#: for the few that are through a wall after all
RESCUE: Final = (Stage(24, 0.02, 0.09, 0.05), Stage(20, 0.006, 0.025, 0.013, whole_skin=True, beta2=0.99))
#: for the few that do not touch after all
RETURN: Final = (Stage(16, 0.014, 0.05, 0.035), Stage(30, 0.005, 0.025, 0.013, whole_skin=True, beta2=0.99))


@dataclass(frozen=True)
class FitConfig:
    """The numbers of the fit's energies.

    Attributes:
        stiffness_weight: of the stiffness deficit (`core.quality.stiffness.stiffness_deficit`).
        stiffness_points: of the skin that the stiffness is computed with while hands move.
        stiffness_every: steps of the hands for which the slope of the stiffness stands.
        stiffness_steps: Newton's steps to the balance from where it was a step of the hands before.
        thin_share: share of the contact targets on thin walls from which a grasp is one on a thin wall.
        stay: weight of the pull of the wrist to where it was.
        turn_scale: a turn's weight in that pull against a shift in cm.
        wall: metres behind a surface in which a wall is remembered.
        behind: metres in front of a remembered surface up to which a sphere counts as behind it.
        turned: cosine of the normal with the remembered one below which it has turned about.
        must_reach_cm: distance within which a part that must touch is pulled to the surface.
        reach_cm: distance within which another part is.
        must_weight: of the candidates of a part that must touch, where none is a target.
        thumb_rather: metres by which the thumb may be farther than the palm to be the one that must touch.
    """

    stiffness_weight: float = 10.0
    stiffness_points: int = 600
    stiffness_every: int = 2
    stiffness_steps: int = 2
    thin_share: float = 0.25
    stay: float = 0.15
    turn_scale: float = 25
    wall: float = 0.03
    behind: float = 0.001
    turned: float = -0.2
    must_reach_cm: float = 15.0
    reach_cm: float = 1.5
    must_weight: float = 0.25
    thumb_rather: float = 0.02


CONFIG: Final = FitConfig()
#: of skin that holds, on thick walls and on thin ones
THICK_DEPTH: Final = ContactDepth(0.08, 0.06)
THIN_DEPTH: Final = ContactDepth(0.03, 0.03)


class FitEnergy(GraspEnergy):
    """The energy of the fit: `GraspEnergy` with the grasps' own contacts and a pull back to them.

    E_stay = 0.15 (25 |R - R_0|^2 + |c - c_0|^2), CHOIR's Eq. 11 squared, with R the wrist's rotation and c the
    `pivot` in cm, is added to `pose_terms`; the fingers' template is the posture that was given.

    Args:
        hand: the hand model.
        hand_points: of the hands' one shape.
        betas: (10,) that shape.
        obj: the object.
        start: the B poses as they were given, each its own template.
        targets: (B, C) how much each contact candidate should touch.
    """

    def __init__(self, hand: HandModel, hand_points: HandPoints, betas: torch.Tensor, obj: GraspObject, start: Poses,
                 targets: torch.Tensor) -> None:
        super().__init__(hand, hand_points, betas, obj)
        self._posed: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        with torch.no_grad():
            points = self.points(start)[:, hand_points.candidates]
        thin = on_thin_wall(obj, points, targets)[:, None]
        self.target_depth = torch.where(thin, THIN_DEPTH.target, THICK_DEPTH.target)
        self.tolerated_depth = torch.where(thin, THIN_DEPTH.tolerated, THICK_DEPTH.tolerated)
        must = parts_that_must_touch(hand_points, obj.grid.query(points)[0])
        self.part_reach = torch.where(must, CONFIG.must_reach_cm, CONFIG.reach_cm)
        of_must = must[:, hand_points.candidate_parts]
        self._targets = targets + CONFIG.must_weight * candidate_weights(hand_points) * of_must * (targets == 0)
        self._start = start
        self._surface: tuple[torch.Tensor, torch.Tensor] | None = None

    def contact_targets(self, types: tuple[str, ...]) -> torch.Tensor:
        """(B, C) those of the grasps themselves, whatever their types."""
        return self._targets

    def __call__(self, poses: Poses, targets: torch.Tensor, vertices: SkinRows | None = None,
                 fixed: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        """As `GraspEnergy` has it."""
        self._posed = None  # angles move in place between the steps
        try:
            return super().__call__(poses, targets, vertices, fixed)
        finally:
            self._posed = None

    def _bones(self, dofs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `GraspEnergy` has them; within a step computed once, for the points, the skin and its normals."""
        if self._posed is None or self._posed[0] is not dofs:
            self._posed = dofs, *super()._bones(dofs)
        return self._posed[1:]

    def distance_cm(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `GraspEnergy` has it, but flesh that went through a wall is behind it, however far.

        Beyond a wall's middle the nearest surface is the far one, and would pull the flesh on. So each inner sphere
        remembers the surface it was before (a point and its normal); where the normal turns about while the sphere is
        behind that surface, the distance to that surface's plane counts until the sphere is out again.
        """
        distance, outward = super().distance_cm(points)
        rows = self.hand_points.spheres
        centres, normals = points[:, rows], outward[:, rows]
        with torch.no_grad():
            foot = centres - distance[:, rows, None] / 100 * normals
            known, normal = (foot, normals) if self._surface is None else self._surface
            behind = ((centres - known) * normal).sum(-1) < CONFIG.behind
            near = (centres - known).norm(dim=-1) < CONFIG.wall
            crossed = (behind & near & ((normals * normal).sum(-1) < CONFIG.turned))[..., None]
            known, normal = known.where(crossed, foot), normal.where(crossed, normals)
            self._surface = known, normal
        plane = ((centres - known) * normal).sum(-1) * 100
        spheres = torch.where(crossed[..., 0], plane, distance[:, rows])
        before, after = slice(0, rows.start), slice(rows.stop, None)
        return (torch.cat([distance[:, before], spheres, distance[:, after]], 1),
                torch.cat([outward[:, before], normal, outward[:, after]], 1))

    def pose_terms(self, poses: Poses) -> torch.Tensor:
        """(B,) the fingers' pull to their posture, and the wrist's to its place (CHOIR's Eq. 11, squared)."""
        start = self._start
        turned = (poses.rotation - start.rotation).square().sum((1, 2))
        moved = (poses.rotation @ self.pivot + poses.wrist) - (start.rotation @ self.pivot + start.wrist)
        return super().pose_terms(poses) + CONFIG.stay * (CONFIG.turn_scale * turned + (100 * moved).square().sum(1))


class StiffFitEnergy(FitEnergy):
    """`FitEnergy` with the stiffness of the closing hands as a term.

    E_stiff = 10 `stiffness_deficit`, linear between the steps at which its slope is computed.

    Args:
        hand: as `FitEnergy` has it, and so the next five.
        hand_points: of the hands.
        betas: (10,).
        obj: the object.
        start: B poses.
        targets: (B, C).
        evaluator: of the stiffness of these hands on this object.
    """

    def __init__(self, hand: HandModel, hand_points: HandPoints, betas: torch.Tensor, obj: GraspObject, start: Poses,
                 targets: torch.Tensor, evaluator: StiffnessEvaluator) -> None:
        super().__init__(hand, hand_points, betas, obj, start, targets)
        self._evaluator, self._steps = evaluator, 0
        self._travel: torch.Tensor | None = None

    def pose_terms(self, poses: Poses) -> torch.Tensor:
        """(B,) with the stiffness deficit, up to a constant: its slope is computed every few steps."""
        free = poses.rotation, poses.wrist, poses.dofs
        if self._steps % CONFIG.stiffness_every == 0:
            with torch.enable_grad():
                rotation, wrist, dofs = (value.detach().requires_grad_() for value in free)
                moved = replace(poses, rotation=rotation, wrist=wrist, dofs=dofs)
                deficit = stiffness_deficit(self.stiffness(moved))
                self._slope = torch.autograd.grad(deficit.sum(), (rotation, wrist, dofs))
        self._steps += 1
        linear = [(slope * value).flatten(1).sum(1) for slope, value in zip(self._slope, free, strict=True)]
        return super().pose_terms(poses) + CONFIG.stiffness_weight * sum(linear[1:], linear[0])

    def stiffness(self, poses: Poses) -> torch.Tensor:
        """(B,) the stiffness of poses of the same hands as in the step before, moved a little."""
        stiffness, self._travel = self._evaluator(poses, self.transforms(poses.dofs), self._travel)
        return stiffness


class StiffnessEvaluator:
    """The stiffness of hands of one shape on one object, of fewer points than `grasp_quality`'s, and differentiable.

    Args:
        energy: of the hands on the object.
        obj: the object.
    """

    def __init__(self, energy: GraspEnergy, obj: GraspObject) -> None:
        self._energy = energy
        self._skin = HandPoints(energy.hand, energy.betas, CONFIG.stiffness_points).palmar_skin()
        self._centre, self._closing = centre_of_mass(obj), flexion(energy.hand, STIFFNESS.closing_degrees)

    def __call__(self, poses: Poses, transforms: torch.Tensor, travel: torch.Tensor | None = None,
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """The stiffness of poses, and where the object rests in them.

        Args:
            poses: B hands.
            transforms: (B, 16, 4, 4) of their bones (`GraspEnergy.transforms`).
            travel: (B, 6) where the object rested in hands that were nearly so.

        Returns:
            (B,) and (B, 6), as `core.quality.stiffness.stiffness_at_rest` has them.
        """
        turn = poses.rotation.transpose(1, 2)
        local = self._skin.posed(transforms)
        normals = self._skin.posed_normals(transforms) @ turn
        with torch.no_grad():  # how the skin closes hardly changes with the pose
            closed = self._skin.posed(self._energy.transforms(poses.dofs + self._closing))
            motion = (closed - local) @ turn
        points = local @ turn + poses.wrist[:, None]
        distance, outward = self._energy.distance_cm(points)
        opposed = (-(normals * outward).sum(-1)).clamp_min(0)
        return stiffness_at_rest(points - self._centre, distance, outward, 100 * motion, self._skin.skin_area * opposed,
                                 travel, STIFFNESS.steps if travel is None else CONFIG.stiffness_steps)


def on_thin_wall(obj: GraspObject, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Whether the object is a thin wall where hands are meant to touch it.

    Args:
        obj: the object.
        points: (B, C, 3) the contact candidates, metres, object frame.
        targets: (B, C) how much each should touch.

    Returns:
        (B,) bool.
    """
    near = torch.cdist(points.flatten(0, 1), obj.points).argmin(1).reshape(targets.shape)
    share = targets / targets.sum(1, keepdim=True).clamp_min(1e-6)
    return (share * (obj.thickness[near] < ENERGY.thin_wall)).sum(1) > CONFIG.thin_share


def parts_that_must_touch(hand_points: HandPoints, distance: torch.Tensor) -> torch.Tensor:
    """The parts without which nothing is held: thumb or palm, whichever is nearer, and the two nearest fingers.

    Args:
        hand_points: of the hand.
        distance: (B, C) metres of the contact candidates to the object, as the hand was given.

    Returns:
        (B, 6) bool.
    """
    nearest = torch.stack([distance[:, hand_points.candidate_parts == part].amin(1) for part in range(6)], 1)
    must = torch.zeros(len(distance), 6, dtype=torch.bool)
    rows = torch.arange(len(distance))
    must[rows, torch.where(nearest[:, THUMB] < nearest[:, PALM] + CONFIG.thumb_rather, THUMB, PALM)] = True
    for rank in range(2):
        must[rows, 1 + nearest[:, 1:PALM].argsort(1)[:, rank]] = True
    return must
