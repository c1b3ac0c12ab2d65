"""The fit: grasps in, better grasps out (CHOIR's test-time optimisation, Sec. 3.3, on the object's exact surface).

Stage 1 lays the hand into a predicted distance field (`core.fitting.field`); where no field was predicted, the grasp
itself stands for it. Stage 2 brings to the surface what is meant to touch it, out of it what is inside, and leaves the
rest as it was; its terms are those of `core.synthesis.optimise`. The hand's shape stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.contacts import contacts_of_gaussians, contacts_of_grasp, contacts_to_hold
from core.fitting.field import hands_in_field
from core.fitting.mend import (
    BACK,
    BACK_ON,
    RESCUE,
    SECOND,
    STAGES,
    Grip,
    Gripper,
    Mender,
    looseness,
    ways_in,
    ways_out,
    ways_there,
    ways_to_grip,
)
from core.grasps import Grasps
from core.rotations import axis_angle_to_matrix
from core.synthesis.checks import Surface, measure, score
from core.synthesis.grip import firmness
from core.synthesis.optimise import Closer, Poses
from core.synthesis.probe import HandProbe

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.fitting.representation import Choir
    from core.generators.base import Progress
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.synthesis.optimise import Stage

#: how many hands are moved together: more fall out of the cache
CHUNK: Final = 16
#: a grasp that lies as well as this is left alone: mm, cm3, residual of the wrench test
FINE_DEPTH, FINE_OVERLAP, FINE_RESIDUAL = 1.5, 0.3, 0.1
#: cm3 by which a fit may make the overlap larger, where it makes something else better; the strict protocol reads a
#: little more, and calls 0.3 worse
MORE_OVERLAP: Final = 0.2
#: for a hand that all else left in the object, or off it: what a bone counts, and how far back it may go (`ways_out`)
BONE_LEFT, FAR_BACK = 40.0, (*BACK, 0.065, 0.09)
#: what a grip may lack (`looseness`) before the hand is closed better
SLACK: Final = 0.7
#: mm by which it may sink deeper, where it makes something else better, and mm that are never too deep: a hand that
#: floats is not in the object at all
MORE_DEPTH, SHALLOW = 0.7, 1.0


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
    before: Surface
    after: Surface
    complete: bool = True


    def undone(self, given: Grasps, rows: torch.Tensor) -> Fitted:
        """The same with some grasps as they were given.

        Args:
            given: the N grasps, as the fit began with them. rows: (N,) bool, those to be so again.
        """
        after, still = Surface.where(rows, self.before, self.after), torch.zeros(len(rows))
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
        empty = Surface(none, none, none.reshape(0, 6).bool(), none, none.long(), none.long())
        return Fitted(grasps, none, none.bool(), empty, empty)
    parts: list[Fitted] = []
    # One probe stands for one hand shape, so grasps of one shape go together.
    shapes, shape_of = grasps.betas.unique(dim=0, return_inverse=True)
    order = shape_of.argsort(stable=True)
    for shape, betas in enumerate(shapes):
        probe = HandProbe(hand, betas)
        for rows in (shape_of == shape).nonzero()[:, 0].split(CHUNK):
            done = sum(len(part.grasps) for part in parts)

            def go_on(fraction: float, done: int = done, size: int = len(rows)) -> bool:
                return progress is None or progress((done + size * fraction) / count, "Fitting the hand to the object")

            field = None if fields is None else fields[rows]
            parts.append(_fit_some(obj, hand, probe, grasps[rows], field, laid, go_on, stages))
    back = order.argsort()
    return Fitted(Grasps.cat([part.grasps for part in parts])[back],
                  torch.cat([part.moved_mm for part in parts])[back], torch.cat([part.changed for part in parts])[back],
                  Surface.cat([part.before for part in parts])[back], Surface.cat([part.after for part in parts])[back],
                  all(part.complete for part in parts))


def _fit_some(obj: GraspObject, hand: HandModel, probe: HandProbe, grasps: Grasps, field: Choir | None,
              laid: bool, go_on: Callable[[float], bool], stages: tuple[Stage, ...]) -> Fitted:
    """Fits grasps of one hand shape together."""
    betas = grasps.betas[0]
    closer = Closer(hand, probe, betas, obj)
    if field is not None and not laid:
        grasps = hands_in_field(hand, field, grasps)
    with torch.no_grad():
        posed = hand(**grasps.parameters())
        before = measure(obj, closer, posed.vertices, posed.joints)
    start = poses_of(hand, probe, grasps)
    with torch.no_grad():
        local, normals = closer.local(start.dofs)
        turn = start.rotation.transpose(1, 2)
        points = local @ turn + start.wrist[:, None]
        pads = (contacts_of_grasp(obj, probe, points, normals @ turn, grasps.type) if field is None
                else contacts_of_gaussians(hand, probe, field, points, posed.vertices))
    # Out of the object and near it; then those whose grip is loose are closed, and the others laid on the surface.
    best, grip = Best(obj, closer, start, before), Grip(closer, obj)
    rough, begun, complete = (~fine(before)).nonzero()[:, 0], start, go_on(0.02)

    def brought_near(rows: torch.Tensor, told: Callable[[float], bool]) -> Poses:
        mender = Mender(hand, probe, betas, obj, start[rows], pads[rows])
        return mender.run(ways_there(mender, obj, start[rows]), stages[:-1], told)[0]

    def laid_on(rows: torch.Tensor, told: Callable[[float], bool]) -> Poses:
        mender = Mender(hand, probe, betas, obj, start[rows], pads[rows])
        return mender.run(begun[rows], stages[-1:], told, keep=1.0)[0]

    def gripping(poses: Poses, told: Callable[[float], bool], stages: tuple[Stage, ...] = SECOND) -> Poses:
        meant = contacts_to_hold(obj, probe, closer.points(poses))
        return Gripper(hand, probe, betas, obj, poses, meant, grip).run(poses, stages, told, keep=1.0)[0]

    def freed(rows: torch.Tensor, told: Callable[[float], bool]) -> Poses:
        """Well out of the object, and back to it by what it takes: closed until it meets it, gripping, laid on it."""
        out = ways_out(closer, obj, best.poses[rows], BONE_LEFT, FAR_BACK)
        out = ways_to_grip(closer, grip, obj, out, BONE_LEFT)
        for begin, share, go in ((0.0, 0.6, partial(gripping, stages=RESCUE)), (0.6, 0.4, back_on)):
            best.take(rows, out)
            left = amiss(best.surface[rows]).nonzero()[:, 0]
            if not len(left):
                break
            out = out.with_rows(left, go(out[left], lambda done, b=begin, share=share: told(b + share * done)))
        return out

    def back_on(poses: Poses, told: Callable[[float], bool]) -> Poses:
        poses = ways_in(closer, obj, poses)
        meant = contacts_to_hold(obj, probe, closer.points(poses))
        return Mender(hand, probe, betas, obj, poses, meant).run(poses, BACK_ON, told, keep=1.0)[0]

    goes = (
        (0.70, lambda: (best.lacking(begun) > SLACK).nonzero()[:, 0],
         lambda rows, told: gripping(ways_to_grip(closer, grip, obj, begun[rows]), told)),
        (0.85, lambda: rough[~fine(best.surface)[rough]], laid_on),
        (0.97, lambda: amiss(best.surface).nonzero()[:, 0], freed),
    )
    if complete and len(rough):
        begun = start.with_rows(rough, brought_near(rough, lambda done: go_on(0.02 + 0.28 * done)))
        complete = go_on(0.3)
    begin = 0.3
    for end, which, go in goes:
        rows = which() if complete else rough[:0]
        if len(rows):
            poses = go(rows, lambda done, begin=begin, end=end: go_on(begin + (end - begin) * done))
            complete = go_on(end)
            best.take(rows, poses)
        begin = end
    if not complete:
        still = torch.zeros(len(grasps))
        return Fitted(grasps, still, still.bool(), before, before, complete=False)
    fitted = closer.grasps(best.poses, grasps.method, grasps.seed)
    with torch.no_grad():
        joints = hand(**fitted.parameters()).joints
    turned = torch.rad2deg((best.poses.dofs - start.dofs).square().mean(1).sqrt())
    chosen = replace(scored(grasps, best.surface, turned),
                     **{name: torch.where(best.changed[:, None], value, getattr(grasps, name))
                        for name, value in fitted.parameters().items()})
    moved = 1000 * (joints - posed.joints).norm(dim=-1).mean(1)
    return Fitted(chosen, moved * best.changed, best.changed, before, best.surface)


class Best:
    """Of each of B grasps of one hand the best pose so far.

    Attributes:
        poses: B of them. surface: how they lie. loose: (B,) what their grips lack (`looseness`).
        changed: (B,) bool: it is not the pose that was given.
    """

    def __init__(self, obj: GraspObject, closer: Closer, given: Poses, surface: Surface) -> None:
        self._obj, self._closer, self._given = obj, closer, surface
        self.poses, self.surface, self.loose = given, surface, self.lacking(given)
        self.changed = torch.zeros(len(given), dtype=torch.bool)

    def lacking(self, poses: Poses) -> torch.Tensor:
        """(B,) what the grips of poses lack."""
        return looseness(firmness(self._obj, self._closer.hand, self._closer.grasps(poses, "", 0)))

    def take(self, rows: torch.Tensor, poses: Poses) -> None:
        """Takes those of `poses`, for grasps `rows`, that are better, and not much worse than what was given."""
        found, loose, was = measured(self._obj, self._closer, poses), self.lacking(poses), self.surface[rows]
        take = better(found, was, self.loose[rows] - loose) & ~worse(found, self._given[rows])
        self.surface = Surface.where(take, found, was).put_into(self.surface, rows)
        self.poses = self.poses.with_rows(rows[take], poses[take.nonzero()[:, 0]])
        self.loose[rows[take]], self.changed[rows[take]] = loose[take], True


def scored(grasps: Grasps, found: Surface, turned: torch.Tensor) -> Grasps:
    """The grasps with score and measures of how they lie; `turned` (N,) rms degrees from the posture meant."""
    return replace(grasps, score=score(found, grasps.type, turned), measures={
        "overlap_cm3": found.overlap_cm3, "depth_mm": found.depth_mm, "contacts": found.parts.sum(1).float(),
        "residual": found.residual.float()})


def measured(obj: GraspObject, closer: Closer, poses: Poses) -> Surface:
    """How poses of the closer's hand lie on the exact surface."""
    with torch.no_grad():
        posed = closer.hand(**closer.grasps(poses, "", 0).parameters())
    return measure(obj, closer, posed.vertices, posed.joints)


def poses_of(hand: HandModel, probe: HandProbe, grasps: Grasps) -> Poses:
    """The grasps as the nearest poses of 21 angles within their limits, each its own template."""
    dofs = hand.dofs_from_pose(grasps.hand_pose)
    dofs = torch.minimum(torch.maximum(dofs, hand.dof_limits[:, 0]), hand.dof_limits[:, 1])
    wrist = grasps.transl + probe.wrist
    return Poses(axis_angle_to_matrix(grasps.global_orient), wrist, dofs, dofs, ("",) * len(grasps))


def touches(found: Surface) -> torch.Tensor:
    """(N,) bool: in contact, as the strict protocol has it."""
    return (found.parts.sum(1) >= 2) & (found.parts[:, 0] | found.parts[:, 5])


def fine(found: Surface) -> torch.Tensor:
    """(N,) bool: on the surface, through no wall, touching, and able to hold."""
    return ((found.bones == 0) & (found.through == 0) & touches(found) & (found.depth_mm <= FINE_DEPTH)
            & (found.overlap_cm3 <= FINE_OVERLAP) & (found.residual < FINE_RESIDUAL))


def amiss(found: Surface) -> torch.Tensor:
    """(N,) bool: with bones in the object, through a wall, or not touching as it must."""
    return (found.bones > 0) | (found.through > 0) | ~touches(found)


def better(after: Surface, before: Surface, firmer: torch.Tensor | float = 0.0) -> torch.Tensor:
    """(N,) bool: the fit made the grasp better, and nothing that counts on the exact surface much worse.

    Args:
        firmer: (N,) by how much less a grip lacks now (`looseness`).
    """
    wanting = ~fine(before) | (torch.as_tensor(firmer) > 0)
    return wanting & ~worse(after, before) & (badness(after) - firmer < badness(before))


def worse(after: Surface, before: Surface) -> torch.Tensor:
    """(N,) bool: more bones in the object, contact lost (but for bones' sake), much more overlap, or much deeper."""
    freed = (before.bones > 0) & (after.bones == 0)
    return ((after.bones > before.bones) | (touches(before) & ~touches(after) & ~freed)
            | (after.overlap_cm3 > before.overlap_cm3 + MORE_OVERLAP)
            | (after.depth_mm > (before.depth_mm + MORE_DEPTH).clamp_min(SHALLOW)))


def badness(found: Surface) -> torch.Tensor:
    """(N,) bones, walls, overlap, depth, no contact and what the contacts cannot carry, in one number."""
    return (12.0 * found.bones + (found.through > 0) + found.overlap_cm3.clamp_max(10) + 0.3 * found.depth_mm
            + 4.0 * ~touches(found) + 2 * found.residual.clamp_max(0.5)).float()
