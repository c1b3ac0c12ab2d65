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

    def most_fitted(self, count: int) -> int:
        """Hands that are fitted at most where `count` grasps are asked for."""
        return max(self.least, math.ceil(self.most * count))


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


def fit_and_select(request: GraspRequest, proposed: Grasps, progress: Progress, fields: Choir | None = None) -> Grasps:
    """The best of the proposals, fitted: those that hold first, unlike ones before others.

    The stiffest are fitted first; while too few hold, more are, and each that holds is shown at once. One with a bone
    through a wall is not offered while there are others; then there may be fewer than asked for.

    Args:
        request: object, hand and count.
        proposed: N proposals in the object's frame.
        progress: told how far it is, from 0.5 on; shown each grasp that holds.
        fields: N predicted representations, in which the proposals lie.

    Returns:
        At most `request.count` grasps.
    """
    count, hand = request.count, request.hand
    rows = rank_by_stiffness(request, proposed, SELECTION.most_fitted(count))
    parts: list[Grasps] = []
    holding: list[torch.Tensor] = []
    clean: list[torch.Tensor] = []
    done, wanted = 0, SELECTION.first * count
    while done < len(rows) and wanted > 0:
        some = rows[done : done + min(max(SELECTION.least, math.ceil(wanted)), SCHEDULE.chunk)]
        begin, middle, end = (0.5 + 0.5 * (done + share * len(some)) / len(rows) for share in (0.0, 0.7, 1.0))
        given = proposed[some]
        fitted = fit(request.object, hand, given, fields=None if fields is None else fields[some], in_fields=True,
                     progress=progress.sub(begin, middle))
        fitted, held = keep_holds(request, fitted, given, progress.sub(middle, end), progress.accepted)
        parts.append(fitted.grasps)
        holding.append(held)
        clean.append(fitted.after.bones == 0)
        done += len(some)
        wanted = SELECTION.margin * (count - int((torch.cat(holding) & torch.cat(clean)).sum()))
    if not parts:
        return Grasps.empty(proposed.method, hand=hand.side)
    held, sound = torch.cat(holding), torch.cat(clean)
    grasps = penalise_unheld(Grasps.cat(parts), held)
    offered = sound if sound.any() else torch.ones_like(sound)
    sure, dropped = (offered & held).nonzero()[:, 0], (offered & ~held).nonzero()[:, 0]
    chosen = sure[select_diverse(hand, grasps[sure], count, DIFFERENT)]
    spare = dropped[select_diverse(hand, grasps[dropped], count - len(chosen), DIFFERENT)]
    return grasps[torch.cat([chosen, spare])]


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
    """`count` of the grasps, by score: the best of each type has a place first, then the second best, and so on."""
    order = grasps.score.argsort(descending=True, stable=True).tolist()
    turn: dict[str, int] = {}
    ranked = []
    for place, row in enumerate(order):
        grasp_type = grasps.type[row]
        turn[grasp_type] = turn.get(grasp_type, 0) + 1
        ranked.append((turn[grasp_type], place, row))
    kept = sorted(sorted(ranked)[:count], key=lambda entry: entry[1])
    return grasps[torch.tensor([row for _, _, row in kept], dtype=torch.long)]
