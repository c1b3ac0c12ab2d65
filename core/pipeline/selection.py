"""From fitted grasps to what is shown: those that hold first, no two alike."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.fit import SCHEDULE, fit
from core.grasps.batch import Grasps
from core.grasps.request import Share
from core.quality.diversity import DIFFERENT, most_different
from core.quality.hold import hold_mask
from core.quality.stiffness import grasp_quality
from core.quality.surface import has_contact
from core.quality.symmetry import NO_SYMMETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.fitting.fit import Fitted
    from core.fitting.representation import Choir
    from core.grasps.request import GraspRequest, Progress
    from core.hand import HandModel
    from core.quality.surface import SurfaceQuality

    Refiner = Callable[[Grasps, torch.Generator], tuple[Grasps, Choir]]

#: hands fitted for each grasp that is asked for: at first, so that these are seen soon, and at most; and at least
PIECE, MOST, LEAST = 0.5, 2.5, 4
#: hands fitted then for each that is still lacking: one more fit takes longer than some hands more in one
MARGIN: Final = 1.5
#: metres of mean joint distance from a firmer proposal within which another waits for those that are unlike
NEAR: Final = 0.015
#: what is left of the worth of a proposal's grip for each that was taken before of its type: a list shall have variety
ANOTHER: Final = 0.5
#: the share of the test of the grip that the fitted hands take; the rest is for those as they were given
TESTED: Final = 0.8
#: cm3 of overlap that one sees
SEEN: Final = 1.0


def rank_by_stiffness(request: GraspRequest, proposed: Grasps, count: int) -> torch.Tensor:
    """Rows of at most `count` proposals, best first: those that would grip when they close, unlike ones first.

    A grip counts `ANOTHER` of itself for each that was taken of its type, so that all types have their turn.
    """
    firm = grasp_quality(request.object, request.hand, proposed)
    with torch.no_grad():
        joints = request.hand(**proposed.parameters()).joints
    worth, less = firm.clamp_min(1e-6).log(), math.log(ANOTHER)
    kinds = sorted(set(proposed.type))
    kind = torch.tensor([kinds.index(name) for name in proposed.type], dtype=torch.long)
    near, taken = torch.zeros(len(firm), dtype=torch.bool), []
    while len(taken) < min(count, len(firm)):
        unlike = worth.masked_fill(near, -math.inf)
        row = int((unlike if unlike.isfinite().any() else worth).argmax())
        taken.append(row)
        worth = worth + less * (kind == kind[row])
        worth[row] = -math.inf
        near |= (joints - joints[row]).norm(dim=-1).mean(1) < NEAR
    return torch.tensor(taken, dtype=torch.long)


def fit_and_select(request: GraspRequest, proposed: Grasps, progress: Progress, fields: Choir | None = None) -> Grasps:
    """The best of the proposals, fitted: `request.count` of those that hold, unlike ones first, then others.

    The firmest are fitted first; while too few hold, more are, and each that holds is shown at once. One with a bone
    through a wall is not offered, while there are others; then there may be fewer.

    Args:
        fields: what the proposals were predicted by, in which they lie.
    """
    count = request.count
    rows = rank_by_stiffness(request, proposed, max(LEAST, math.ceil(MOST * count)))
    parts: list[Grasps] = []
    holding: list[torch.Tensor] = []
    clean: list[torch.Tensor] = []
    done, wanted = 0, PIECE * count
    while done < len(rows) and wanted > 0:
        some = rows[done : done + min(max(LEAST, math.ceil(wanted)), SCHEDULE.chunk)]
        ends = [0.5 + 0.5 * place / len(rows) for place in (done, done + 0.7 * len(some), done + len(some))]
        given = proposed[some]
        fitted = fit(request.object, request.hand, given, fields=None if fields is None else fields[some], in_fields=True,
                     progress=Share(progress, *ends[:2]))
        if not fitted.complete:
            break
        fitted, held = keep_holds(request, fitted, given, Share(progress, *ends[1:]), progress.accepted)
        parts.append(fitted.grasps)
        holding.append(held)
        clean.append(fitted.after.bones == 0)
        done += len(some)
        wanted = MARGIN * (count - int((torch.cat(holding) & torch.cat(clean)).sum()))
    if not parts:
        return Grasps.empty(proposed.method, hand=request.hand.side)
    held, sound = torch.cat(holding), torch.cat(clean)
    grasps = lowered(Grasps.cat(parts), held)
    offered = sound if sound.any() else torch.ones_like(sound)
    sure, dropped = (offered & held).nonzero()[:, 0], (offered & ~held).nonzero()[:, 0]
    chosen = sure[select_diverse(request.hand, grasps[sure], count, DIFFERENT)]
    spare = dropped[select_diverse(request.hand, grasps[dropped], count - len(chosen), DIFFERENT)]
    return grasps[torch.cat([chosen, spare])]


def keep_holds(request: GraspRequest, fitted: Fitted, given: Grasps, progress: Progress,
               accepted: Callable[[Grasps], object]) -> tuple[Fitted, torch.Tensor]:
    """The fitted grasps, and which of them hold, (N,) bool; one that held only before the fit is as it was given.

    Once `progress` says no, the grasps from there on count as held.

    Args:
        accepted: called with each that is found to hold, at once; not with those that have a bone in the object.
    """
    def found(row: int) -> None:
        if fitted.after.bones[row] == 0:
            accepted(fitted.grasps[row : row + 1])

    held = hold_mask(request, fitted.grasps, has_contact(fitted.after), Share(progress, 0.0, TESTED), found=found)
    kept, holding = given_back(request, fitted, given, held, Share(progress, TESTED, 1.0))
    if (back := holding & ~held).any():  # no bone was in these
        accepted(kept.grasps[back])
    return kept, holding


def given_back(request: GraspRequest, fitted: Fitted, given: Grasps, held: torch.Tensor, progress: Progress,
               ) -> tuple[Fitted, torch.Tensor]:
    """The fits with those that held only before as they were `given`, and which hold then, of those that `held` (N,).

    It is not given back where a bone was in the object or the overlap was more than `SEEN`: what holds by that does not
    grasp.
    """
    tested = fitted.changed & ~held & has_contact(fitted.before) & ~spoilt(fitted.before)
    undo = hold_mask(request, given, tested, progress)
    return (fitted.undone(given, undo) if undo.any() else fitted), held | undo


def spoilt(found: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: with a bone, or more than one overlooks, in the object: a hold by that is none."""
    return (found.bones > 0) | (found.overlap_cm3 > SEEN)


def which_hold(request: GraspRequest, fitted: Fitted, progress: Progress) -> torch.Tensor:
    """(N,) bool: the fitted grasps that hold; once `progress` says no, those from there on count as holding."""
    return hold_mask(request, fitted.grasps, has_contact(fitted.after), progress)


def lowered(grasps: Grasps, held: torch.Tensor) -> Grasps:
    """The grasps with half the score for those that do not hold (N,)."""
    return replace(grasps, score=grasps.score * torch.where(held, 1.0, 0.5))


def select_diverse(hand: HandModel, grasps: Grasps, count: int, apart: float, fill: bool = True) -> torch.Tensor:
    """Rows of the best grasps of which no two are nearer than `apart`; with `fill`, then the best of the others."""
    if not len(grasps):
        return torch.zeros(0, dtype=torch.long)
    with torch.no_grad():
        joints = hand(**grasps.parameters()).joints
    order = grasps.score.argsort(descending=True, stable=True)
    unlike = set(order[most_different(joints[order], NO_SYMMETRY, apart, grasps.score[order].clamp(0, 100))].tolist())
    ranked = [row for row in order.tolist() if row in unlike]
    rest = [row for row in order.tolist() if row not in unlike]
    return torch.tensor((ranked + rest * fill)[:count], dtype=torch.long)


def best_that_differ(grasps: Grasps, count: int) -> Grasps:
    """`count` of the grasps, by score: the best of each type has a place first, then the second best, and so on."""
    order = grasps.score.argsort(descending=True, stable=True).tolist()
    turn: dict[str, int] = {}
    ranked = []
    for place, row in enumerate(order):
        kind = grasps.type[row]
        turn[kind] = turn.get(kind, 0) + 1
        ranked.append((turn[kind], place, row))
    kept = sorted(sorted(ranked)[:count], key=lambda entry: entry[1])
    return grasps[torch.tensor([row for _, _, row in kept], dtype=torch.long)]
