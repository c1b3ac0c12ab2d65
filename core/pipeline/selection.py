"""From proposals to what is shown: the stiffest are fitted, those that hold come first, no two alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.fit import SCHEDULE, fit
from core.grasps.batch import Grasps
from core.quality.diversity import DIFFERENT, most_different
from core.quality.hold import hold_mask
from core.quality.stiffness import grasp_quality
from core.quality.surface import has_contact
from core.quality.symmetry import NO_SYMMETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.fitting.fit import Fitted
    from core.fitting.representation import Choir
    from core.grasps.request import GraspRequest
    from core.hand import HandModel
    from core.progress import Progress
    from core.quality.intent import IntentJudge
    from core.quality.surface import SurfaceQuality


@dataclass(frozen=True)
class SelectionConfig:
    """How many proposals are fitted, and which. Counts were chosen with `scripts/benchmarks/speed.py` on the mug.

    Attributes:
        first: hands fitted at first for each grasp that is asked for, so that some are seen soon.
        most: hands fitted at most for each grasp that is asked for.
        least: hands fitted in one go at least.
        margin: hands fitted next for each grasp still lacking: another fit takes longer than some hands more in one.
        alike: metres of mean joint distance from a stiffer proposal within which another waits for unlike ones.
        repeated_type: factor on a proposal's stiffness for each that was taken of its type, for variety.
        tested: share of the hold tests' progress for the fitted hands; the rest is for those as they were given.
        visible_overlap: cm3 of overlap that one sees.
        not_holding: factor on the score of a grasp that does not hold.
        most_for_intent: as `most`, where an intent is asked for: not all fits do what it asks.
        not_all: factor on the score of a grasp that does some of what its intent asks.
    """

    first: float = 0.5
    most: float = 2.5
    least: int = 4
    margin: float = 1.5
    alike: float = 0.015
    repeated_type: float = 0.5
    tested: float = 0.8
    visible_overlap: float = 1.0
    not_holding: float = 0.5
    most_for_intent: float = 4.0
    not_all: float = 0.7

    def most_fitted(self, count: int, intent: str = "any") -> int:
        """Hands that are fitted at most where `count` grasps are asked for with an intent."""
        return max(self.least, math.ceil((self.most if intent == "any" else self.most_for_intent) * count))


SELECTION: Final = SelectionConfig()


def rank_by_stiffness(request: GraspRequest, proposed: Grasps, count: int) -> torch.Tensor:
    """Rows of the proposals that would hold most stiffly when they close, unlike ones first.

    A proposal's stiffness counts less for each that was taken of its type, so that all types have their turn.

    Args:
        request: object and hand.
        proposed: N proposals.
        count: how many rows at most.

    Returns:
        (min(count, N),) rows, best first.
    """
    stiffness = grasp_quality(request.object, request.hand, proposed)
    with torch.no_grad():
        joints = request.hand(**proposed.parameters()).joints
    worth, less = stiffness.clamp_min(1e-6).log(), math.log(SELECTION.repeated_type)
    names = sorted(set(proposed.type))
    grasp_type = torch.tensor([names.index(name) for name in proposed.type], dtype=torch.long)
    near = torch.zeros(len(stiffness), dtype=torch.bool)
    taken: list[int] = []
    while len(taken) < min(count, len(stiffness)):
        unlike = worth.masked_fill(near, -math.inf)
        row = int((unlike if unlike.isfinite().any() else worth).argmax())
        taken.append(row)
        worth = worth + less * (grasp_type == grasp_type[row])
        worth[row] = -math.inf
        near |= (joints - joints[row]).norm(dim=-1).mean(1) < SELECTION.alike
    return torch.tensor(taken, dtype=torch.long)


def rank_by_promise(request: GraspRequest, proposed: Grasps, count: int, promise: torch.Tensor) -> torch.Tensor:
    """Rows of the proposals that may do what the intent asks when they are fitted, each grade by stiffness.

    Args:
        request: object and hand.
        proposed: N proposals.
        count: how many rows at most.
        promise: (N,) grades of `IntentJudge.promise`.

    Returns:
        (min(count, N),) rows, best first.
    """
    rows = torch.zeros(0, dtype=torch.long)
    for grade in promise.unique().flip(0):
        mine = (promise == grade).nonzero()[:, 0]
        rows = torch.cat([rows, mine[rank_by_stiffness(request, proposed[mine], count - len(rows))]])
        if len(rows) >= count:
            break
    return rows


def fit_and_select(request: GraspRequest, proposed: Grasps, progress: Progress, fields: Choir | None = None,
                   judge: IntentJudge | None = None, promise: torch.Tensor | None = None) -> Grasps:
    """The best of the proposals, fitted: those that do what is asked and hold first, unlike ones before others.

    The stiffest are fitted first; while too few hold, more are, and each that holds is shown at once. One with a bone
    through a wall is not offered while there are others; then there may be fewer than asked for. Where an intent is
    asked for, proposals that promise to do it are fitted first, those fits count that do it, and no other is shown
    before the end.

    Args:
        request: object, hand, count and intent.
        proposed: N proposals in the object's frame.
        progress: told how far it is, from 0.5 on; shown each grasp that holds.
        fields: N predicted representations, in which the proposals lie.
        judge: of the request's intent; None where nothing is asked.
        promise: (N,) the proposals' grades by the judge; needed with one.

    Returns:
        At most `request.count` grasps, with their grade as the measure `intent` where there is a judge.
    """
    count, hand = request.count, request.hand
    most = SELECTION.most_fitted(count, request.intent)
    if judge is None or promise is None:
        rows = rank_by_stiffness(request, proposed, most)
    else:
        rows = rank_by_promise(request, proposed, most, promise)

    def accepted(one: Grasps) -> None:
        one = one if judge is None else judge.marked(one)
        if does_intent(one).all():
            progress.accepted(one)

    parts: list[Grasps] = []
    holding: list[torch.Tensor] = []
    clean: list[torch.Tensor] = []
    asked: list[torch.Tensor] = []
    done, wanted = 0, SELECTION.first * count
    while done < len(rows) and wanted > 0:
        some = rows[done : done + min(max(SELECTION.least, math.ceil(wanted)), SCHEDULE.chunk)]
        begin, middle, end = (0.5 + 0.5 * (done + share * len(some)) / len(rows) for share in (0.0, 0.7, 1.0))
        given = proposed[some]
        fitted = fit(request.object, hand, given, fields=None if fields is None else fields[some], in_fields=True,
                     progress=progress.sub(begin, middle))
        fitted, held = keep_holds(request, fitted, given, progress.sub(middle, end), accepted)
        parts.append(fitted.grasps if judge is None else judge.marked(fitted.grasps))
        holding.append(held)
        clean.append(fitted.after.bones == 0)
        asked.append(does_intent(parts[-1]))
        done += len(some)
        enough = torch.cat(holding) & torch.cat(clean) & torch.cat(asked)
        wanted = SELECTION.margin * (count - int(enough.sum()))
    if not parts:
        return Grasps.empty(proposed.method, hand=hand.side)
    held, sound = torch.cat(holding), torch.cat(clean)
    grasps = penalise_unasked(penalise_unheld(Grasps.cat(parts), held))
    placed = is_placed(grasps)
    offered = sound if sound.any() else torch.ones_like(sound)
    chosen = torch.zeros(0, dtype=torch.long)
    for group in (placed & held, placed & ~held, ~placed & held, ~placed & ~held):
        rows = (offered & group).nonzero()[:, 0]
        chosen = torch.cat([chosen, rows[select_diverse(hand, grasps[rows], count - len(chosen), DIFFERENT)]])
    return grasps[chosen]


def does_intent(grasps: Grasps) -> torch.Tensor:
    """(N,) bool: the grasps that do all that was asked; all, where nothing was."""
    return grasps.measures.get("intent", torch.ones(len(grasps))) == 1


def is_placed(grasps: Grasps) -> torch.Tensor:
    """(N,) bool: the grasps that touch the parts that the intent wants at least; all, where nothing was asked."""
    return grasps.measures.get("intent", torch.ones(len(grasps))) > 0


def penalise_unasked(grasps: Grasps) -> Grasps:
    """The grasps with lower scores where they do not do all that was asked."""
    factor = torch.where(does_intent(grasps), 1.0, SELECTION.not_all)
    return replace(grasps, score=grasps.score * factor)


def keep_holds(request: GraspRequest, fitted: Fitted, given: Grasps, progress: Progress,
               accepted: Callable[[Grasps], object]) -> tuple[Fitted, torch.Tensor]:
    """The fitted grasps, those that held only before the fit as they were given, and which of them hold.

    Args:
        request: object and hand.
        fitted: the fit of N grasps.
        given: the N grasps as the fit began with them.
        progress: of the hold tests.
        accepted: called at once with each that is found to hold, but for those with a bone in the object.

    Returns:
        The N grasps, and (N,) bool which hold.
    """
    def found(row: int) -> None:
        if fitted.after.bones[row] == 0:
            accepted(tell_holding(fitted.grasps[row : row + 1], torch.ones(1, dtype=torch.bool)))

    held = hold_mask(request, fitted.grasps, has_contact(fitted.after), progress.sub(0.0, SELECTION.tested),
                     found=found)
    kept, holding = restore_lost_holds(request, fitted, given, held, progress.sub(SELECTION.tested, 1.0))
    if (back := holding & ~held).any():  # no bone was in these
        accepted(tell_holding(kept.grasps[back], back[back]))
    return kept, holding


def restore_lost_holds(request: GraspRequest, fitted: Fitted, given: Grasps, held: torch.Tensor, progress: Progress,
                       ) -> tuple[Fitted, torch.Tensor]:
    """The fits, with those that held only before the fit as they were given.

    A grasp that held by a bone in the object or by visible overlap (`holds_by_overlap`) is not restored.

    Args:
        request: object and hand.
        fitted: the fit of N grasps.
        given: the N grasps as the fit began with them.
        held: (N,) bool, the fitted grasps that hold.
        progress: of the hold tests.

    Returns:
        The N grasps, and (N,) bool which hold.
    """
    tested = fitted.changed & ~held & has_contact(fitted.before) & ~holds_by_overlap(fitted.before)
    undo = hold_mask(request, given, tested, progress)
    return (fitted.undone(given, undo) if undo.any() else fitted), held | undo


def holds_by_overlap(found: SurfaceQuality) -> torch.Tensor:
    """(N,) bool: with a bone or visible overlap in the object; what holds by that does not grasp."""
    return (found.bones > 0) | (found.overlap_cm3 > SELECTION.visible_overlap)


def penalise_unheld(grasps: Grasps, held: torch.Tensor) -> Grasps:
    """The grasps, told whether (N,) they `held`, with lower scores where they did not."""
    return tell_holding(replace(grasps, score=grasps.score * torch.where(held, 1.0, SELECTION.not_holding)), held)


def tell_holding(grasps: Grasps, held: torch.Tensor) -> Grasps:
    """The grasps with (N,) `held` as the measure that the animator's panel marks those by which do not hold."""
    return grasps.with_measure("holds", held)


def select_diverse(hand: HandModel, grasps: Grasps, count: int, apart: float, fill: bool = True) -> torch.Tensor:
    """Rows of the best grasps of which no two are alike.

    Args:
        hand: of the grasps' side.
        grasps: N grasps.
        count: how many rows at most.
        apart: metres of mean joint distance from which two grasps differ.
        fill: then the best of the others, up to `count`.

    Returns:
        Rows, by score.
    """
    if not len(grasps):
        return torch.zeros(0, dtype=torch.long)
    with torch.no_grad():
        joints = hand(**grasps.parameters()).joints
    order = grasps.score.argsort(descending=True, stable=True)
    unlike = set(order[most_different(joints[order], NO_SYMMETRY, apart, grasps.score[order].clamp(0, 100))].tolist())
    ranked = [row for row in order.tolist() if row in unlike]
    rest = [row for row in order.tolist() if row not in unlike]
    return torch.tensor((ranked + rest * fill)[:count], dtype=torch.long)


def best_of_each_type(grasps: Grasps, count: int) -> Grasps:
    """`count` of the grasps, by score: the best of each type has a place first, then the second best, and so on.

    What does not touch the parts that an intent wants comes after everything else.
    """
    by_score = grasps.score.argsort(descending=True, stable=True)
    order = by_score[is_placed(grasps)[by_score].int().argsort(descending=True, stable=True)].tolist()
    turn: dict[str, int] = {}
    ranked, placed = [], is_placed(grasps).tolist()
    for place, row in enumerate(order):
        grasp_type = grasps.type[row]
        turn[grasp_type] = turn.get(grasp_type, 0) + 1
        ranked.append((not placed[row], turn[grasp_type], place, row))
    kept = sorted(entry[2:] for entry in sorted(ranked)[:count])
    return grasps[torch.tensor([row for _, row in kept], dtype=torch.long)]
