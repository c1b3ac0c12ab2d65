"""The fit: grasps in, better grasps out (CHOIR's test-time optimisation, Sec. 3.3, on the object's exact surface).

Stage 1 lays the hand into a predicted distance field (`core.fitting.pose_fit`); where no field was predicted, the grasp
itself stands for it. Stage 2 brings to the surface what is meant to touch it, out of it what is inside, and leaves the
rest as it was; its terms are those of `core.fitting.energy`. The hand's shape stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.contact_fit import (
    BACK,
    BACK_ON,
    RESCUE,
    SECOND,
    STAGES,
    FitEnergy,
    StiffFitEnergy,
    StiffnessEvaluator,
    ways_in,
    ways_out,
    ways_there,
    ways_to_grip,
)
from core.fitting.contact_targets import contacts_of_gaussians, contacts_of_grasp, contacts_to_hold
from core.fitting.energy import GraspEnergy, Poses
from core.fitting.hand_points import HandPoints
from core.fitting.pose_fit import hands_in_field
from core.grasps.batch import Grasps
from core.quality.stiffness import grasp_quality, stiffness_deficit
from core.quality.surface import (
    SurfaceQuality,
    is_better,
    is_defective,
    is_sound,
    is_worse,
    last_bone_out,
    measure_surface,
    score_surface,
)
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.fitting.energy import Stage
    from core.fitting.representation import Choir
    from core.grasps.request import Progress
    from core.hand import HandModel
    from core.objects import GraspObject

#: how many hands are moved together: more fall out of the cache
CHUNK: Final = 16
#: for a hand that all else left in the object, or off it: what a bone counts, and how far back it may go (`ways_out`)
BONE_LEFT, FAR_BACK = 40.0, (*BACK, 0.065, 0.09)
#: cm3 and mm by which a hand may be in the object more than before where that takes the last bone out of it
FOR_BONES: Final = (1.0, 2.0)
#: what a grip may lack (`stiffness_deficit`) before the hand is closed better
SLACK: Final = 0.7


@dataclass(frozen=True)
class Fitted:
    """N grasps after the fit.

    Attributes:
        grasps: in the order given, scored, with overlap_cm3, depth_mm, contacts and residual as measures.
        moved_mm: (N,) mean distance of the 21 joints from where they were; 0 where a grasp was left as it was.
        changed: (N,) bool; False where the grasp as given is as good or better.
        before, after: how the hands lay on the exact surface, and lie now.
        complete: False when `progress` asked to stop: the grasps from there on are as they were given.
    """

    grasps: Grasps
    moved_mm: torch.Tensor
    changed: torch.Tensor
    before: SurfaceQuality
    after: SurfaceQuality
    complete: bool = True


    def undone(self, given: Grasps, rows: torch.Tensor) -> Fitted:
        """The same with some grasps as they were given.

        Args:
            given: the N grasps, as the fit began with them. rows: (N,) bool, those to be so again.
        """
        after, still = SurfaceQuality.where(rows, self.before, self.after), torch.zeros(len(rows))
        old = scored(given, self.before, still)
        mine = {name: torch.where(rows.reshape(-1, *[1] * (value.dim() - 1)), getattr(old, name), value)
                for name, value in {**self.grasps.parameters(), "score": self.grasps.score}.items()}
        measures = {name: torch.where(rows, old.measures[name], value) for name, value in self.grasps.measures.items()}
        return replace(self, grasps=replace(self.grasps, **mine, measures=measures), after=after,
                       moved_mm=torch.where(rows, still, self.moved_mm), changed=self.changed & ~rows)


def fit(obj: GraspObject, hand: HandModel, grasps: Grasps, *, fields: Choir | None = None, laid: bool = False,
        progress: Progress | None = None, stages: tuple[Stage, ...] = STAGES) -> Fitted:
    """Fits N grasps to an object, on the processor.

    Args:
        obj: the object. hand: of the grasps' side. grasps: in the object's frame.
        fields: N predicted representations; the hands start in them, and touch where their Gaussians say.
        laid: the hands as given lie in the fields already (stage 1).
        progress: told how far it is; may stop it.
        stages: steps and rates of stage 2.
    """
    count = len(grasps)
    if not count:
        none = torch.zeros(0)
        empty = SurfaceQuality(none, none, none.reshape(0, 6).bool(), none, none.long(), none.long())
        return Fitted(grasps, none, none.bool(), empty, empty)
    parts: list[Fitted] = []
    # One probe stands for one hand shape, so grasps of one shape go together.
    shapes, shape_of = grasps.betas.unique(dim=0, return_inverse=True)
    order = shape_of.argsort(stable=True)
    for shape, betas in enumerate(shapes):
        probe = HandPoints(hand, betas)
        for rows in (shape_of == shape).nonzero()[:, 0].split(CHUNK):
            done = sum(len(part.grasps) for part in parts)

            def go_on(fraction: float, done: int = done, size: int = len(rows)) -> bool:
                return progress is None or progress((done + size * fraction) / count, "Fitting the hand to the object")

            field = None if fields is None else fields[rows]
            parts.append(Fitting(obj, hand, probe, grasps[rows], field, laid, stages).run(go_on))
    back = order.argsort()
    return Fitted(Grasps.cat([part.grasps for part in parts])[back],
                  torch.cat([part.moved_mm for part in parts])[back], torch.cat([part.changed for part in parts])[back],
                  SurfaceQuality.cat([part.before for part in parts])[back],
                  SurfaceQuality.cat([part.after for part in parts])[back],
                  all(part.complete for part in parts))


class Fitting:
    """The fit of B grasps of one hand shape, moved together.

    Args:
        obj, hand, grasps, laid: as `fit` has them. probe: of the grasps' hand shape. field: B representations, or None.
        stages: steps and rates of stage 2.
    """

    def __init__(self, obj: GraspObject, hand: HandModel, probe: HandPoints, grasps: Grasps, field: Choir | None,
                 laid: bool, stages: tuple[Stage, ...]) -> None:
        self.obj, self.hand, self.probe, self.stages = obj, hand, probe, stages
        self.betas = grasps.betas[0]
        self.closer = GraspEnergy(hand, probe, self.betas, obj)
        self.grip = StiffnessEvaluator(self.closer, obj)
        self.given = grasps if field is None or laid else hands_in_field(hand, field, grasps)
        with torch.no_grad():
            posed = hand(**self.given.parameters())
            self.before = measure_surface(obj, hand, posed.vertices, posed.joints)
            self.joints = posed.joints
            self.start = self.begun = poses_of(hand, probe, self.given)
            local, normals = self.closer.local(self.start.dofs)
            turn = self.start.rotation.transpose(1, 2)
            points = local @ turn + self.start.wrist[:, None]
            self.pads = (contacts_of_grasp(obj, probe, points, normals @ turn, grasps.type) if field is None
                         else contacts_of_gaussians(hand, probe, field, points, posed.vertices))
        self.best = Best(obj, self.closer, self.start, self.before)
        self.rough = (~is_sound(self.before)).nonzero()[:, 0]

    def run(self, go_on: Callable[[float], bool]) -> Fitted:
        """Out of the object and near it; then closed where the grip is loose, laid on it, and freed where amiss."""
        none = self.rough[:0]
        goes = (
            (0.30, lambda: self.rough, self.brought_near),
            (0.70, lambda: (self.best.lacking(self.begun) > SLACK).nonzero()[:, 0], self.gripped),
            (0.85, lambda: self.rough[~is_sound(self.best.surface)[self.rough]], self.laid_on),
            (0.97, lambda: is_defective(self.best.surface).nonzero()[:, 0], self.freed),
        )
        begin, complete = 0.02, go_on(0.02)
        for end, which, go in goes:
            rows = which() if complete else none
            if len(rows):
                go(rows, lambda done, begin=begin, end=end: go_on(begin + (end - begin) * done))
                complete = go_on(end)
            begin = end
        return self.fitted() if complete else self.as_given()

    def brought_near(self, rows: torch.Tensor, told: Callable[[float], bool]) -> None:
        """Where the other goes begin: out of the object and near it, by the least way."""
        mender = self.mender(rows)
        poses = mender.run(ways_there(mender, self.obj, self.start[rows]), self.stages[:-1], told)[0]
        self.begun = self.start.with_rows(rows, poses)

    def gripped(self, rows: torch.Tensor, told: Callable[[float], bool]) -> None:
        """Closed, from where a better grip was found near by."""
        self.best.take(rows, self.closed(ways_to_grip(self.closer, self.grip, self.obj, self.begun[rows]), told))

    def laid_on(self, rows: torch.Tensor, told: Callable[[float], bool]) -> None:
        """On the surface, with as much contact as was meant."""
        self.best.take(rows, self.mender(rows).run(self.begun[rows], self.stages[-1:], told, keep=1.0)[0])

    def freed(self, rows: torch.Tensor, told: Callable[[float], bool]) -> None:
        """Well out of the object, and back to it by what it takes: closed until it meets it, gripping, laid on it."""
        out = ways_out(self.closer, self.obj, self.best.poses[rows], BONE_LEFT, FAR_BACK)
        self.best.take(rows, out)  # where it closes again may be in the object again
        out = ways_to_grip(self.closer, self.grip, self.obj, out, BONE_LEFT)
        self.best.take(rows, out)
        for begin, share, go in ((0.0, 0.6, partial(self.closed, stages=RESCUE)), (0.6, 0.4, self.back_on)):
            left = (is_defective(self.best.surface[rows]) | (self.best.loose[rows] > SLACK)).nonzero()[:, 0]
            if not len(left):
                return
            out = out.with_rows(left, go(out[left], lambda done, b=begin, share=share: told(b + share * done)))
            self.best.take(rows, out)

    def mender(self, rows: torch.Tensor) -> FitEnergy:
        return FitEnergy(self.hand, self.probe, self.betas, self.obj, self.start[rows], self.pads[rows])

    def closed(self, poses: Poses, told: Callable[[float], bool], stages: tuple[Stage, ...] = SECOND) -> Poses:
        """The poses closed on what may hold, as firmly as they can be."""
        meant = contacts_to_hold(self.obj, self.probe, self.closer.points(poses))
        gripper = StiffFitEnergy(self.hand, self.probe, self.betas, self.obj, poses, meant, self.grip)
        return gripper.run(poses, stages, told, keep=1.0)[0]

    def back_on(self, poses: Poses, told: Callable[[float], bool]) -> Poses:
        """The poses moved to the surface, and laid on it."""
        poses = ways_in(self.closer, self.obj, poses)
        meant = contacts_to_hold(self.obj, self.probe, self.closer.points(poses))
        mender = FitEnergy(self.hand, self.probe, self.betas, self.obj, poses, meant)
        return mender.run(poses, BACK_ON, told, keep=1.0)[0]

    def fitted(self) -> Fitted:
        best, given = self.best, self.given
        found = self.closer.grasps(best.poses, given.method, given.seed)
        with torch.no_grad():
            joints = self.hand(**found.parameters()).joints
        turned = torch.rad2deg((best.poses.dofs - self.start.dofs).square().mean(1).sqrt())
        chosen = replace(scored(given, best.surface, turned),
                         **{name: torch.where(best.changed[:, None], value, getattr(given, name))
                            for name, value in found.parameters().items()})
        moved = 1000 * (joints - self.joints).norm(dim=-1).mean(1)
        return Fitted(chosen, moved * best.changed, best.changed, self.before, best.surface)

    def as_given(self) -> Fitted:
        still = torch.zeros(len(self.given))
        return Fitted(self.given, still, still.bool(), self.before, self.before, complete=False)


class Best:
    """Of each of B grasps of one hand the best pose so far.

    Attributes:
        poses: B of them. surface: how they lie. loose: (B,) what their grips lack (`stiffness_deficit`).
        changed: (B,) bool: it is not the pose that was given.
    """

    def __init__(self, obj: GraspObject, closer: GraspEnergy, given: Poses, surface: SurfaceQuality) -> None:
        self._obj, self._closer, self._given = obj, closer, surface
        self.poses, self.surface, self.loose = given, surface, self.lacking(given)
        self.changed = torch.zeros(len(given), dtype=torch.bool)

    def lacking(self, poses: Poses) -> torch.Tensor:
        """(B,) what the grips of poses lack."""
        return stiffness_deficit(grasp_quality(self._obj, self._closer.hand, self._closer.grasps(poses, "", 0)))

    def take(self, rows: torch.Tensor, poses: Poses) -> None:
        """Takes those of `poses`, for grasps `rows`, that are better, and not much worse than what was given.

        For the last bone out of the object it may be `FOR_BONES` further in it than the best so far.
        """
        found, loose, was = measured(self._obj, self._closer, poses), self.lacking(poses), self.surface[rows]
        frees = (last_bone_out(found, was) & (found.overlap_cm3 <= was.overlap_cm3 + FOR_BONES[0])
                 & (found.depth_mm <= was.depth_mm + FOR_BONES[1]))
        take = (is_better(found, was, self.loose[rows] - loose) | frees) & ~is_worse(found, self._given[rows])
        self.surface = SurfaceQuality.where(take, found, was).put_into(self.surface, rows)
        self.poses = self.poses.with_rows(rows[take], poses[take.nonzero()[:, 0]])
        self.loose[rows[take]], self.changed[rows[take]] = loose[take], True


def scored(grasps: Grasps, found: SurfaceQuality, turned: torch.Tensor) -> Grasps:
    """The grasps with score and measures of how they lie; `turned` (N,) rms degrees from the posture meant."""
    return replace(grasps, score=score_surface(found, grasps.type, turned), measures={
        "overlap_cm3": found.overlap_cm3, "depth_mm": found.depth_mm, "contacts": found.parts.sum(1).float(),
        "residual": found.residual.float()})


def measured(obj: GraspObject, closer: GraspEnergy, poses: Poses) -> SurfaceQuality:
    """How poses of the closer's hand lie on the exact surface."""
    with torch.no_grad():
        posed = closer.hand(**closer.grasps(poses, "", 0).parameters())
    return measure_surface(obj, closer.hand, posed.vertices, posed.joints)


def poses_of(hand: HandModel, probe: HandPoints, grasps: Grasps) -> Poses:
    """The grasps as the nearest poses of 21 angles within their limits, each its own template."""
    dofs = hand.dofs_from_pose(grasps.hand_pose)
    dofs = torch.minimum(torch.maximum(dofs, hand.dof_limits[:, 0]), hand.dof_limits[:, 1])
    wrist = grasps.transl + probe.wrist
    return Poses(axis_angle_to_matrix(grasps.global_orient), wrist, dofs, dofs, ("",) * len(grasps))


