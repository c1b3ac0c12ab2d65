"""The fit: grasps in, better grasps out (CHOIR's test-time optimisation, Sec. 3.3, on the object's exact surface).

Stage 1 lays the hand into a predicted distance field (`core.fitting.pose_fit`); where no field was predicted, the grasp
itself stands for it. Stage 2 brings to the surface what is meant to touch it, out of it what is inside, and leaves the
rest as it was: Levenberg and Marquardt's method on the energy of `core.fitting.contact_energy`. The hand keeps its
shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.fitting.contact_energy import ContactEnergy
from core.fitting.contact_targets import targets_of_gaussians, targets_of_grasp, targets_to_hold
from core.fitting.fit_hand import fit_hand
from core.fitting.levenberg_marquardt import Stages, minimise
from core.fitting.nearby_poses import (
    FAR_SEARCH,
    crossing,
    out_of_object,
    stiffest_nearby,
    toward_and_out,
    toward_object,
)
from core.fitting.pose_fit import hands_in_field
from core.fitting.stiffness_term import StiffnessTerm
from core.grasps.batch import Grasps
from core.progress import Progress
from core.quality.stiffness import stiffness_deficit
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

if TYPE_CHECKING:
    from core.fitting.fit_hand import FitHand
    from core.fitting.posing import HandPoses
    from core.fitting.representation import Choir
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class FitSchedule:
    """When which part of the fit is done.

    Attributes:
        chunk: hands that are moved together: more do not fit into the cache.
        slack: stiffness deficit beyond which a hand is closed more firmly.
        worth: stiffness deficit that a hand which lay well must lose for each cm by which its joints move.
        bone_overlap_cm3: by which a hand may be in the object more than before where that takes the last bone out.
        bone_depth_mm: by which it may be deeper then.
        begin: share of the work at which the parts begin.
        approached: share at which hands are out of the object and near it.
        stiffened: share at which they are closed.
        laid: share at which they lie on the surface.
        freed: share at which the last are out of the object.
        rescue: share of the last part that the first of its two descents takes.
    """

    chunk: int = 16
    slack: float = 0.7
    worth: float = 0.4
    bone_overlap_cm3: float = 1.0
    bone_depth_mm: float = 2.0
    begin: float = 0.02
    approached: float = 0.30
    stiffened: float = 0.70
    laid: float = 0.85
    freed: float = 0.97
    rescue: float = 0.6


SCHEDULE: Final = FitSchedule()
#: steps toward the object, of a hand that does not lie well
APPROACH: Final = Stages(8, 0)
#: of closing one whose stiffness is too low
CLOSE: Final = Stages(6, 8)
#: of laying one on the surface
LAY: Final = Stages(0, 8)
#: of closing one again that was defective and was freed
CLOSE_AGAIN: Final = Stages(6, 6)
#: of bringing such a one back that does not touch after all
COME_BACK: Final = Stages(6, 6)


@dataclass(frozen=True)
class Fitted:
    """N grasps after the fit.

    Attributes:
        grasps: in the order given, scored, with overlap_cm3, depth_mm, contacts and residual as measures.
        moved_mm: (N,) mean distance of the 21 joints from where they were; 0 where a grasp was left as it was.
        changed: (N,) bool; False where the grasp as given is as good or better.
        before: how the hands lay on the exact surface.
        after: how they lie on it now.
    """

    grasps: Grasps
    moved_mm: torch.Tensor
    changed: torch.Tensor
    before: SurfaceQuality
    after: SurfaceQuality

    def undone(self, given: Grasps, rows: torch.Tensor) -> Fitted:
        """The same with some grasps as they were given.

        Args:
            given: the N grasps, as the fit began with them.
            rows: (N,) bool, those to be so again.
        """
        after, still = SurfaceQuality.where(rows, self.before, self.after), torch.zeros(len(rows))
        old = with_measures(given, self.before, still)
        measures = {name: torch.where(rows, old.measures[name], value) for name, value in self.grasps.measures.items()}
        grasps = replace(_chosen_parameters(rows, old, self.grasps),
                         score=torch.where(rows, old.score, self.grasps.score), measures=measures)
        return replace(self, grasps=grasps, after=after,
                       moved_mm=torch.where(rows, still, self.moved_mm), changed=self.changed & ~rows)


def fit(obj: GraspObject, hand: HandModel, grasps: Grasps, *, fields: Choir | None = None, in_fields: bool = False,
        progress: Progress | None = None) -> Fitted:
    """Fits N grasps to an object, on the processor.

    Args:
        obj: the object.
        hand: the hand model, of the grasps' side.
        grasps: N grasps in the object's frame.
        fields: N predicted representations; the hands start in them, and touch where their Gaussians say.
        in_fields: the hands as given lie in the fields already (stage 1 is done).
        progress: told the share done.

    Raises:
        Stopped: `progress` was asked to stop.
    """
    progress = (progress or Progress()).sub(0.0, 1.0, "Fitting the hand to the object")
    count = len(grasps)
    if not count:
        none = torch.zeros(0)
        empty = SurfaceQuality(none, none, none.reshape(0, 6).bool(), none, none.long(), none.long())
        return Fitted(grasps, none, none.bool(), empty, empty)
    parts: list[Fitted] = []
    # The arrays of a hand are of one shape, so grasps of one shape go together.
    shapes, shape_of = grasps.betas.unique(dim=0, return_inverse=True)
    order = shape_of.argsort(stable=True)
    done = 0
    for shape, betas in enumerate(shapes):
        shaped = fit_hand(hand, betas)
        for rows in (shape_of == shape).nonzero()[:, 0].split(SCHEDULE.chunk):
            field = None if fields is None else fields[rows]
            part = progress.sub(done / count, (done + len(rows)) / count)
            parts.append(ChunkFit(obj, shaped, grasps[rows], field, in_fields).run(part))
            done += len(rows)
    back = order.argsort()
    return Fitted(Grasps.cat([part.grasps for part in parts])[back],
                  torch.cat([part.moved_mm for part in parts])[back], torch.cat([part.changed for part in parts])[back],
                  SurfaceQuality.cat([part.before for part in parts])[back],
                  SurfaceQuality.cat([part.after for part in parts])[back])


class ChunkFit:
    """The fit of B grasps of one hand shape, moved together.

    Args:
        obj: the object.
        hand: the hand in that shape.
        grasps: B grasps in the object's frame.
        field: B predicted representations, or None.
        in_field: the hands as given lie in them already.
    """

    def __init__(self, obj: GraspObject, hand: FitHand, grasps: Grasps, field: Choir | None, in_field: bool) -> None:
        self.obj, self.hand = obj, hand
        self.stiffness = StiffnessTerm(hand, obj)
        self.given = grasps if field is None or in_field else hands_in_field(hand.hand, field, grasps)
        with torch.no_grad():
            posed = hand.hand(**self.given.parameters())
        self.before = measure_surface(obj, hand.hand, posed.vertices, posed.joints)
        self.joints = posed.joints
        self.start = self.approached = hand.poses_of(self.given)
        moves = hand.chain.posed(self.start).moves
        points = torch.from_numpy(hand.candidates.posed(moves))
        self.targets = (
            targets_of_grasp(obj, hand.points, points, torch.from_numpy(hand.candidates.normals(moves)), grasps.type)
            if field is None else targets_of_gaussians(hand.hand, hand.points, field, points, posed.vertices)).numpy()
        self.best = BestPoses(obj, hand, self.stiffness.of_whole_skin(), self.start, self.before)
        self.unsound = (~is_sound(self.before)).numpy().nonzero()[0]

    def run(self, progress: Progress) -> Fitted:
        """Out of the object and near it; closed where stiffness lacks, laid on the surface, freed where defective.

        Raises:
            Stopped: `progress` was asked to stop.
        """
        parts = (
            (SCHEDULE.approached, lambda: self.unsound, self.approach),
            (SCHEDULE.stiffened, lambda: (self.best.deficit_of(self.approached) > SCHEDULE.slack).numpy().nonzero()[0],
             self.stiffen),
            (SCHEDULE.laid, lambda: self.unsound[~is_sound(self.best.surface).numpy()[self.unsound]], self.lay),
            (SCHEDULE.freed, lambda: is_defective(self.best.surface).numpy().nonzero()[0], self.free),
        )
        begin = SCHEDULE.begin
        progress(begin)
        for end, rows_of, part in parts:
            rows = rows_of()
            if len(rows):
                part(rows, progress.sub(begin, end))
                progress(end)
            begin = end
        return self.fitted()

    def approach(self, rows: np.ndarray, progress: Progress) -> None:
        """Where the other parts begin: out of the object and near it, by the least move."""
        begin = toward_and_out(self.hand, self.obj, self.start[rows])
        near = minimise(self.energy(rows), begin, APPROACH, progress)
        self.approached = self.start.with_rows(rows, near)

    def stiffen(self, rows: np.ndarray, progress: Progress) -> None:
        """Closed, from where fingers were found to close more firmly near by."""
        start = stiffest_nearby(self.hand, self.stiffness, self.obj, self.approached[rows])
        self.best.take(rows, self.closed(start, CLOSE, progress))

    def lay(self, rows: np.ndarray, progress: Progress) -> None:
        """On the surface, with as much contact as was meant."""
        self.best.take(rows, minimise(self.energy(rows), self.approached[rows], LAY, progress))

    def free(self, rows: np.ndarray, progress: Progress) -> None:
        """Well out of the object, and back to it by what it takes: closed until it meets it, stiffened, laid on it."""
        out = out_of_object(self.hand, self.obj, self.best.poses[rows], FAR_SEARCH)
        self.best.take(rows, out)  # where it closes again may be in the object again
        out = stiffest_nearby(self.hand, self.stiffness, self.obj, out, FAR_SEARCH)
        self.best.take(rows, out)
        for begin, end, descend, stages in ((0.0, SCHEDULE.rescue, self.closed, CLOSE_AGAIN),
                                            (SCHEDULE.rescue, 1.0, self.returned, COME_BACK)):
            left = is_defective(self.best.surface) | (self.best.deficit > SCHEDULE.slack)
            some = left.numpy()[rows].nonzero()[0]
            if not len(some):
                return
            out = out.with_rows(some, descend(out[some], stages, progress.sub(begin, end)))
            self.best.take(rows, out)

    def energy(self, rows: np.ndarray) -> ContactEnergy:
        """Of the hands `rows` as they were given."""
        return ContactEnergy(self.hand, self.obj, self.start[rows], self.targets[rows])

    def closed(self, poses: HandPoses, stages: Stages, progress: Progress) -> HandPoses:
        """The poses closed on what may hold, as firmly as they can be."""
        energy = ContactEnergy(self.hand, self.obj, poses, self.to_hold(poses), self.stiffness)
        return minimise(energy, poses, stages, progress)

    def returned(self, poses: HandPoses, stages: Stages, progress: Progress) -> HandPoses:
        """The poses moved to the surface, and laid on it."""
        poses = toward_object(self.hand, self.obj, poses)
        energy = ContactEnergy(self.hand, self.obj, poses, self.to_hold(poses))
        return minimise(energy, poses, stages, progress)

    def to_hold(self, poses: HandPoses) -> np.ndarray:
        """(B, C) targets of hands that do not hold."""
        points = self.hand.candidates.posed(self.hand.chain.posed(poses).moves)
        return targets_to_hold(self.obj, self.hand.points, torch.from_numpy(points)).numpy()

    def fitted(self) -> Fitted:
        """The best of each grasp."""
        best, given = self.best, self.given
        found = self.hand.grasps(best.poses, given)
        with torch.no_grad():
            joints = self.hand.hand(**found.parameters()).joints
        turned = torch.from_numpy(np.rad2deg(np.sqrt(((best.poses.dofs - self.start.dofs) ** 2).mean(1))))
        chosen = _chosen_parameters(best.changed, found, with_measures(given, best.surface, turned))
        moved = 1000 * (joints - self.joints).norm(dim=-1).mean(1)
        return Fitted(chosen, moved * best.changed, best.changed, self.before, best.surface)


class BestPoses:
    """Of each of B grasps of one hand shape the best pose so far.

    Args:
        obj: the object.
        hand: the hand in that shape.
        stiffness: of all the skin of such hands on the object.
        given: the B poses that were given.
        surface: how they lie.

    Attributes:
        poses: B of them.
        surface: how they lie.
        deficit: (B,) what their stiffness lacks (`stiffness_deficit`).
        changed: (B,) bool: it is not the pose that was given.
    """

    def __init__(self, obj: GraspObject, hand: FitHand, stiffness: StiffnessTerm, given: HandPoses,
                 surface: SurfaceQuality) -> None:
        self._obj, self._hand, self._stiffness, self._given = obj, hand, stiffness, surface
        self._joints, self._sound = self._joints_of(given), is_sound(surface)
        self.poses, self.surface = given, surface
        self.deficit = self.deficit_of(given, surface.bones)
        self.changed = torch.zeros(len(given), dtype=torch.bool)

    def deficit_of(self, poses: HandPoses, bones: torch.Tensor | None = None) -> torch.Tensor:
        """(B,) what the stiffness of poses lacks; `bones` of theirs are in the object, counted where None."""
        if bones is None:
            bones = torch.from_numpy(crossing(self._obj, self._joints_of(poses)))
        return stiffness_deficit(self._stiffness.with_bones(poses, bones))

    def _joints_of(self, poses: HandPoses) -> np.ndarray:
        """(B, 21, 3) keypoints, metres."""
        return self._hand.keypoints(self._hand.chain.posed(poses).moves)

    def take(self, rows: np.ndarray, poses: HandPoses) -> None:
        """Takes those of `poses`, for grasps `rows`, that are better, and not much worse than what was given.

        For the last bone out of the object it may be a little further in it than the best so far. A hand that lay well
        is moved no farther than the stiffness that it gains is worth.
        """
        index = torch.from_numpy(rows)
        found, was = measure_poses(self._obj, self._hand, poses), self.surface[index]
        deficit = self.deficit_of(poses, found.bones)
        frees = (last_bone_out(found, was) & (found.overlap_cm3 <= was.overlap_cm3 + SCHEDULE.bone_overlap_cm3)
                 & (found.depth_mm <= was.depth_mm + SCHEDULE.bone_depth_mm))
        moved = 100 * np.linalg.norm(self._joints_of(poses) - self._joints[rows], axis=-1).mean(1)
        gain = self.deficit[index] - deficit - SCHEDULE.worth * torch.from_numpy(moved) * self._sound[index]
        take = (is_better(found, was, gain) | frees) & ~is_worse(found, self._given[index])
        self.surface = SurfaceQuality.where(take, found, was).scattered_into(self.surface, index)
        taken = take.numpy().nonzero()[0]
        self.poses = self.poses.with_rows(rows[taken], poses[taken])
        self.deficit[rows[taken]], self.changed[rows[taken]] = deficit[taken], True


def with_measures(grasps: Grasps, quality: SurfaceQuality, unnatural: torch.Tensor) -> Grasps:
    """The grasps with the score and the measures of how they lie.

    Args:
        grasps: N grasps.
        quality: how they lie on the object.
        unnatural: (N,) rms degrees off the posture meant.
    """
    return replace(grasps, score=score_surface(quality, grasps.type, unnatural), measures=quality.measures())


def _chosen_parameters(rows: torch.Tensor, one: Grasps, other: Grasps) -> Grasps:
    """`other` with the parameters of `one` in rows (N,) that are True."""
    rows = rows[:, None]
    return replace(other, global_orient=torch.where(rows, one.global_orient, other.global_orient),
                   hand_pose=torch.where(rows, one.hand_pose, other.hand_pose),
                   transl=torch.where(rows, one.transl, other.transl),
                   betas=torch.where(rows, one.betas, other.betas))


def measure_poses(obj: GraspObject, hand: FitHand, poses: HandPoses) -> SurfaceQuality:
    """How poses of a hand lie on the exact surface."""
    moves = hand.chain.posed(poses).moves
    vertices, joints = hand.skin.posed(moves), hand.keypoints(moves)
    joints[:, 16:] = vertices[:, hand.hand.tip_vertices.numpy()]
    return measure_surface(obj, hand.hand, torch.from_numpy(vertices), torch.from_numpy(joints))
