"""The fit of each grasp, in the order given, that gives up nothing it had: lost holds are looked for near by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.fit import Fitted, fit
from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.pipeline.refine import perturb, refiner_of
from core.pipeline.selection import holds_by_overlap, restore_lost_holds
from core.quality.hold import FILTER, hold_mask
from core.quality.surface import SurfaceQuality, has_contact, is_worse

if TYPE_CHECKING:
    from core.fitting.representation import Choir
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.progress import Progress


@dataclass(frozen=True)
class FitEachConfig:
    """How a lost hold is looked for near by. Chosen with `scripts/benchmarks/check_fit.py`.

    Attributes:
        tries: hands near the fit of one grasp that lost its hold or contact, which are fitted.
        most: of those, for all grasps together.
        least: of those, for each grasp at least.
        tested_at_once: how many of the hands near a grasp are hold-tested at once, nearest first.
        fitted: the share of the progress at which the fit is over.
        tested: the share of the rest at which its hold tests are over.
        refitted: the share of the rest at which the fits of hands near by are over.
    """

    tries: int = 8
    most: int = 24
    least: int = 3
    tested_at_once: int = 2
    fitted: float = 0.6
    tested: float = 0.75
    refitted: float = 0.9


FIT_EACH: Final = FitEachConfig()


def fit_each(obj: GraspObject, hand: HandModel, grasps: Grasps, progress: Progress, method: str = "fit", seed: int = 0,
             device: str = "cpu") -> Grasps:
    """Each grasp fitted to the object, its hold kept.

    Args:
        obj: the object.
        hand: of the grasps' side.
        grasps: N grasps in the object's frame.
        progress: told how far it is.
        method: "fit", or a method that refines: then the grasps are fitted from the fields that it predicts of them.
        seed: of that method, and of how hands near a lost hold are drawn.
        device: of that method.

    Returns:
        N grasps, in the order given.
    """
    refiner = refiner_of(method, obj, hand, device)
    fields = None
    if refiner is not None:
        part = progress.sub(0.0, 0.0, "Refining the hand")
        grasps, fields = refiner(grasps, torch.Generator().manual_seed(seed), part)
    return fit_keeping_holds(GraspRequest(obj, hand, len(grasps)), grasps, seed, progress, fields).grasps


def fit_keeping_holds(request: GraspRequest, given: Grasps, seed: int, progress: Progress, fields: Choir | None = None,
                      ) -> Fitted:
    """Each of N grasps fitted; one that lost its hold or its contact by that, fitted anew from near by.

    Of the fits of hands near such a grasp's fit, that is taken whose joints are nearest to the grasp's of those that
    are in nothing worse than it and hold; where it never held, of those that touch. Where there is none the first fit
    stays.

    Args:
        request: object and hand.
        given: N grasps in the object's frame.
        seed: of how the hands near a grasp are drawn.
        progress: told how far it is.
        fields: N representations that the grasps were predicted by, in which they lie.
    """
    fitted = fit(request.object, request.hand, given, fields=fields, in_fields=True,
                 progress=progress.sub(0.0, FIT_EACH.fitted))
    return recover_lost(request, fitted, given, seed, progress.sub(FIT_EACH.fitted, 1.0))


def recover_lost(request: GraspRequest, fitted: Fitted, given: Grasps, seed: int, progress: Progress) -> Fitted:
    """`fitted` with what lost its hold or its contact as it was `given`, or as a hand near it was fitted."""
    shares = [progress.sub(FIT_EACH.tested * part / 3, FIT_EACH.tested * (part + 1) / 3) for part in range(3)]
    # A rough test: seldom does a fit lose a hold, and then the rough one says so nine times of ten.
    held = hold_mask(request, fitted.grasps, fitted.changed & has_contact(fitted.after), shares[0], FILTER.nearly_still)
    fitted, held = restore_lost_holds(request, fitted, given, held | ~fitted.changed, shares[1])
    had = hold_mask(request, given, ~held & holds_by_overlap(fitted.before), shares[2])
    lost = ~held & (had | (has_contact(fitted.before) & ~has_contact(fitted.after)))
    if not lost.any():
        return fitted
    progress(FIT_EACH.tested, "Looking for a grip")
    rows = lost.nonzero()[:, 0]
    tries = max(FIT_EACH.least, min(FIT_EACH.tries, FIT_EACH.most // len(rows)))
    near = Grasps.cat([perturb(request.hand, fitted.grasps[[row]], tries, torch.Generator().manual_seed(seed + row))
                       for row in rows.tolist()])
    owner = rows.repeat_interleave(tries)
    fits = fit(request.object, request.hand, near, progress=progress.sub(FIT_EACH.tested, FIT_EACH.refitted))
    with torch.no_grad():
        was, now = (request.hand(**some.parameters()).joints for some in (given[owner], fits.grasps))
    fits = replace(fits, moved_mm=1000 * (now - was).norm(dim=-1).mean(1), changed=torch.ones_like(owner).bool())
    good = has_contact(fits.after) & ~is_worse(fits.after, fitted.before[owner])
    taken = nearest_that_hold(request, fits, good, owner, had, progress.sub(FIT_EACH.refitted, 1.0))
    return replace_rows(fitted, taken, fits)


def nearest_that_hold(request: GraspRequest, fits: Fitted, good: torch.Tensor, owner: torch.Tensor, had: torch.Tensor,
                      progress: Progress) -> dict[int, int]:
    """For each grasp the fit nearest to it of those that are good and hold.

    Args:
        request: object and hand.
        fits: M fits of hands near the grasps.
        good: (M,) bool, the fits that may be taken.
        owner: (M,) the grasp that each fit is near.
        had: (N,) bool, the grasps that held; of the others the nearest good fit is taken where none holds.
        progress: of the hold tests.

    Returns:
        Row of a grasp -> row of its fit; grasps without one are left out.
    """
    order = [row for row in fits.moved_mm.argsort(stable=True).tolist() if good[row]]
    waiting = {grasp: [row for row in order if owner[row] == grasp] for grasp in owner.unique().tolist()}
    taken = {grasp: mine[0] for grasp, mine in waiting.items() if mine and not had[grasp]}
    longest, step = max(len(mine) for mine in waiting.values()), FIT_EACH.tested_at_once
    for begin in range(0, longest, step):
        next_ones = torch.zeros_like(good)
        next_ones[[row for mine in waiting.values() for row in mine[begin : begin + step]]] = True
        end = min(1.0, (begin + step) / longest)
        held = hold_mask(request, fits.grasps, next_ones, progress.sub(begin / longest, end))
        progress(end, "Testing the grip")
        found = {grasp: [row for row in mine[begin : begin + step] if held[row]] for grasp, mine in waiting.items()}
        taken |= {grasp: mine[0] for grasp, mine in found.items() if mine}
        waiting = {grasp: mine for grasp, mine in waiting.items() if not found[grasp]}
    return taken


def replace_rows(fitted: Fitted, taken: dict[int, int], others: Fitted) -> Fitted:
    """`fitted` with some of its grasps replaced: by which of the others each, by their rows."""
    order = torch.arange(len(fitted.grasps))
    for row, other in taken.items():
        order[row] = len(order) + other
    return replace(
        fitted, grasps=Grasps.cat([fitted.grasps, others.grasps])[order],
        moved_mm=torch.cat([fitted.moved_mm, others.moved_mm])[order],
        changed=torch.cat([fitted.changed, others.changed])[order],
        after=SurfaceQuality.cat([fitted.after, others.after])[order])
