"""The fit of each grasp that gives up nothing it had: one that lost its hold is looked for near it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.fit import Fitted, fit
from core.grasps.batch import Grasps
from core.grasps.request import Share
from core.pipeline.refine import nearby, refiner_of
from core.pipeline.selection import given_back, spoilt
from core.quality.hold import FILTER, hold_mask
from core.quality.surface import SurfaceQuality, has_contact, is_worse

if TYPE_CHECKING:
    from core.fitting.representation import Choir
    from core.grasps.request import GraspRequest, Progress
    from core.hand import HandModel
    from core.objects import GraspObject

#: hands near the fit of one that lost its hold or its contact, which are fitted: for each, for all together, at least
TRIES, MOST, LEAST = 8, 24, 3
#: how many of those near a hand are tested at once, nearest first
PAIR: Final = 2
#: the shares of the progress at which the fit, the test of the grip, and the fits of hands near by are over
FITTED, TESTED, REFITTED = 0.6, 0.75, 0.9


def fit_each_again(request: GraspRequest, given: Grasps, seed: int, progress: Progress, fields: Choir | None = None,
                   ) -> Fitted:
    """Each of N grasps fitted, in the order given; one that lost its hold or its contact by that, fitted anew.

    Of the fits of hands near such a grasp's fit, that is taken whose joints are nearest to the grasp's of those that
    are in nothing worse than it and hold; where it never held, of those that touch. Where there is none, or `progress`
    says no before it is found, the first fit stays.

    Args:
        seed: of how the hands near a grasp are drawn. fields: what the grasps were predicted by, in which they lie.
    """
    fitted = fit(request.object, request.hand, given, fields=fields, in_fields=True, progress=Share(progress, 0.0, FITTED))
    if not fitted.complete:
        return fitted
    return looked_for_again(request, fitted, given, seed, Share(progress, FITTED, 1.0))


def looked_for_again(request: GraspRequest, fitted: Fitted, given: Grasps, seed: int, progress: Progress) -> Fitted:
    """`fitted` with what lost its hold or its contact as it was `given`, or as a hand near it was fitted."""
    shares = [Share(progress, TESTED * part / 3, TESTED * (part + 1) / 3) for part in range(3)]
    # A rough test: seldom does a fit lose a hold, and then the rough one says so nine times of ten.
    held = hold_mask(request, fitted.grasps, fitted.changed & has_contact(fitted.after), shares[0], FILTER.nearly_still)
    fitted, held = given_back(request, fitted, given, held | ~fitted.changed, shares[1])
    had = hold_mask(request, given, ~held & spoilt(fitted.before), shares[2])
    lost = ~held & (had | (has_contact(fitted.before) & ~has_contact(fitted.after)))
    if not lost.any() or not progress(TESTED, "Looking for a grip"):
        return fitted
    rows = lost.nonzero()[:, 0]
    tries = max(LEAST, min(TRIES, MOST // len(rows)))
    near = Grasps.cat([nearby(request.hand, fitted.grasps[[row]], tries, torch.Generator().manual_seed(seed + row))
                       for row in rows.tolist()])
    owner = rows.repeat_interleave(tries)
    fits = fit(request.object, request.hand, near, progress=Share(progress, TESTED, REFITTED))
    if not fits.complete:
        return fitted
    with torch.no_grad():
        was, now = (request.hand(**some.parameters()).joints for some in (given[owner], fits.grasps))
    fits = replace(fits, moved_mm=1000 * (now - was).norm(dim=-1).mean(1), changed=torch.ones_like(owner).bool())
    good = has_contact(fits.after) & ~is_worse(fits.after, fitted.before[owner])
    return with_rows(fitted, nearest_holds(request, fits, good, owner, had, Share(progress, REFITTED, 1.0)), fits)


def nearest_holds(request: GraspRequest, fits: Fitted, good: torch.Tensor, owner: torch.Tensor, had: torch.Tensor,
                  progress: Progress) -> dict[int, int]:
    """Of each grasp the fit nearest to it, by their rows, of those that are `good` (M,) and hold.

    Args:
        owner: (M,) the grasp that each fit is near. had: (N,) bool, the grasps that held; of the others, the nearest
            of the good ones is taken where none holds.
    """
    order = [row for row in fits.moved_mm.argsort(stable=True).tolist() if good[row]]
    waiting = {grasp: [row for row in order if owner[row] == grasp] for grasp in owner.unique().tolist()}
    taken = {grasp: mine[0] for grasp, mine in waiting.items() if mine and not had[grasp]}
    longest = max(len(mine) for mine in waiting.values())
    for begin in range(0, longest, PAIR):
        next_ones = torch.zeros_like(good)
        next_ones[[row for mine in waiting.values() for row in mine[begin : begin + PAIR]]] = True
        end = min(1.0, (begin + PAIR) / longest)
        held = hold_mask(request, fits.grasps, next_ones, Share(progress, begin / longest, end))
        if not progress(end, "Testing the grip"):
            break
        found = {grasp: [row for row in mine[begin : begin + PAIR] if held[row]] for grasp, mine in waiting.items()}
        taken |= {grasp: mine[0] for grasp, mine in found.items() if mine}
        waiting = {grasp: mine for grasp, mine in waiting.items() if not found[grasp]}
    return taken


def with_rows(fitted: Fitted, taken: dict[int, int], others: Fitted) -> Fitted:
    """`fitted` with some of its grasps replaced: by which of the others each, by their rows."""
    order = torch.arange(len(fitted.grasps))
    for row, other in taken.items():
        order[row] = len(order) + other
    return replace(
        fitted, grasps=Grasps.cat([fitted.grasps, others.grasps])[order],
        moved_mm=torch.cat([fitted.moved_mm, others.moved_mm])[order],
        changed=torch.cat([fitted.changed, others.changed])[order],
        after=SurfaceQuality.cat([fitted.after, others.after])[order])


def fit_each(obj: GraspObject, hand: HandModel, grasps: Grasps, progress: Progress, method: str = "fit", seed: int = 0,
             device: str = "cpu") -> Grasps:
    """Each grasp fitted to the object, its hold kept; with a method that refines, from the fields that it predicts."""
    from core.grasps.request import GraspRequest
    from core.pipeline.fit_each import fit_each_again

    refiner = refiner_of(method, obj, hand, device)
    fields = None
    if refiner is not None:
        grasps, fields = refiner(grasps, torch.Generator().manual_seed(seed))
    return fit_each_again(GraspRequest(obj, hand, len(grasps)), grasps, seed, progress, fields).grasps
