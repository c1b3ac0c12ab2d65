"""The fit of each grasp that gives up nothing it had: one that lost its hold is looked for near it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.choose import Share, keep_holds, nearby
from core.fitting.fit import Fitted, fit, touches, worse
from core.generators.synthesis import holds
from core.grasps import Grasps
from core.synthesis.checks import Surface

if TYPE_CHECKING:
    from core.fitting.representation import Choir
    from core.generators.base import GraspRequest, Progress

#: hands near one that lost its hold or its contact, of which the fits are tried
TRIES: Final = 8
#: the shares of the progress at which the fit, and the test of the grip, are over
FITTED, TESTED = 0.6, 0.8


def fit_each_again(request: GraspRequest, given: Grasps, seed: int, progress: Progress, fields: Choir | None = None,
                   ) -> Fitted:
    """Each of N grasps fitted, in the order given; one that lost its hold or its contact by that, fitted anew.

    Of the fits of `TRIES` hands near such a grasp, that is taken which moved its joints least of those that are in
    nothing worse than the grasp and hold; where it never held, of those that touch. Where there is none, or `progress`
    says no before it is found, the first fit stays.

    Args:
        seed: of how the hands near a grasp are drawn. fields: what the grasps were predicted by, in which they lie.
    """
    fitted = fit(request.object, request.hand, given, fields=fields, laid=True, progress=Share(progress, 0.0, FITTED))
    if not fitted.complete:
        return fitted
    fitted, held = keep_holds(request, fitted, given, Share(progress, FITTED, TESTED))
    loose = (fitted.changed & ~held).nonzero()[:, 0].tolist()
    for place, row in enumerate(loose):
        begin, end = (TESTED + (1 - TESTED) * number / len(loose) for number in (place, place + 1))
        if not progress(begin, "Testing the grip"):
            break
        one = given[row : row + 1]
        held_before = holds(request, one)
        if held_before or bool((touches(fitted.before) & ~touches(fitted.after))[row]):
            found = nearest_hold(request, one, fitted.before[torch.tensor([row])], held_before, seed + row,
                                 Share(progress, begin, end))
            fitted = fitted if found is None else with_row(fitted, row, found)
    return fitted


def nearest_hold(request: GraspRequest, one: Grasps, before: Surface, held: bool, seed: int,
                 progress: Progress) -> Fitted | None:
    """The fit of a hand near `one` that moves it least, of those not worse than `before` that hold, if `held`; or None.

    Args:
        before: how the one grasp lies. held: whether it held; otherwise, to touch is enough where none holds.
    """
    near = nearby(request.hand, one, TRIES, torch.Generator().manual_seed(seed))
    fits = fit(request.object, request.hand, near, progress=progress)
    if not fits.complete:
        return None
    with torch.no_grad():
        was, now = (request.hand(**some.parameters()).joints for some in (one, fits.grasps))
    moved = 1000 * (now - was).norm(dim=-1).mean(1)
    good = (touches(fits.after) & ~worse(fits.after, before[torch.zeros(TRIES, dtype=torch.long)])).nonzero()[:, 0]
    ranked = good[moved[good].argsort(stable=True)].tolist()
    taken = next((row for row in ranked if holds(request, fits.grasps[row : row + 1])), None)
    if taken is None and not held and ranked:
        taken = ranked[0]
    if taken is None:
        return None
    rows = torch.tensor([taken])
    return Fitted(fits.grasps[rows], moved[rows], torch.ones(1, dtype=torch.bool), before, fits.after[rows])


def with_row(fitted: Fitted, row: int, one: Fitted) -> Fitted:
    """`fitted` with its grasp `row` replaced by `one`'s only grasp."""
    count = len(fitted.grasps)
    order = torch.arange(count)
    order[row] = count
    return replace(
        fitted, grasps=Grasps.cat([fitted.grasps, one.grasps])[order],
        moved_mm=torch.cat([fitted.moved_mm, one.moved_mm])[order],
        changed=torch.cat([fitted.changed, one.changed])[order],
        after=Surface.cat([fitted.after, one.after])[order])
