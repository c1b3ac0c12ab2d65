"""Grasps around hands that somebody posed: the fit of each, and the best of others near them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import torch

from core.fitting.fit import Fitted, fit
from core.fitting.proposal import Proposal
from core.grasps.batch import Grasps
from core.pipeline.selection import penalise_unheld, rank_by_stiffness, select_diverse
from core.progress import Progress, Stopped
from core.quality.hold import hold_mask
from core.quality.surface import has_contact
from core.registry import METHODS, make_generator
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.generators.base import RefiningGenerator
    from core.grasps.request import GraspRequest
    from core.hand import HandModel
    from core.objects import GraspObject

#: of hands: refined hands, and the field in which they lie
Refiner: TypeAlias = Callable[[Grasps, torch.Generator, Progress], Proposal]


@dataclass(frozen=True)
class RefineConfig:
    """How hands around a posed one are drawn and offered. Chosen with `scripts/benchmarks/check_fit.py`.

    Attributes:
        tries: hands fitted for each further one that is asked for.
        drawn: hands drawn near the posed one for each that is fitted.
        refined: share of those fitted that a method which refines makes.
        goes: how often others are tried while none of all holds.
        first_go: the share of the progress at which the first go is over.
        fitted: the share of a go that the fits take; the rest is for the hold tests.
        alike: metres of mean joint distance from which two hands around one pose are different.
        shift: metres, standard deviation by which a drawn hand is moved.
        turn: radians, standard deviation by which its wrist is turned.
        bend: radians, standard deviation by which each finger angle is bent.
        clearly: by how much more another hand must score to be offered ahead of the fit of a posed one.
        reach: metres from the object beyond which a hand is not fitted.
    """

    tries: float = 1.5
    drawn: int = 8
    refined: float = 0.5
    goes: int = 4
    first_go: float = 0.7
    fitted: float = 0.85
    alike: float = 0.006
    shift: float = 0.008
    turn: float = 0.15
    bend: float = 0.12
    clearly: float = 10.0
    reach: float = 0.10


REFINE: Final = RefineConfig()


def refine(request: GraspRequest, seed: int, progress: Progress, method: str = "fit", device: str = "cpu") -> Grasps:
    """Grasps around hands that were posed by someone (`request.start`): the fit of each, and others near them.

    Args:
        request: object, hand, count, and the hands to start from.
        seed: of how the others are started.
        progress: told how far it is; shown the fits of the given hands before others are tried.
        method: where it predicts fields, half of the others are what it makes of the given hands; any other method
            changes nothing.
        device: of that method.

    Returns:
        At most `request.count` grasps, best first.

    Raises:
        ValueError: the hand is too far from the object; the sentence says how far.
        Stopped: by `progress`.
    """
    refiner = refiner_of(method, request.object, request.hand, device)
    return replace(refine_around(request, seed, progress, refiner), method="fit", seed=seed, hand=request.hand.side)


def refine_around(request: GraspRequest, seed: int, progress: Progress, refiner: Refiner | None = None) -> Grasps:
    """Grasps around `request.start`'s hands: the fit of each and the best of others that differ, best first.

    A fit of a given hand gives way to others that score clearly more. The others are fits of those hands near the
    given ones that would hold most stiffly, those that hold first; with a refiner, some are what it makes of the given
    hands. While none holds, more are tried.

    Args:
        request: object, hand, count, and the hands to start from.
        seed: of how the others are started.
        progress: told how far it is; shown the fits of the given hands before others are tried.
        refiner: makes some of the others.

    Raises:
        ValueError: the hand is so far from the object that there is nothing to fit; the sentence says how far.
    """
    start, obj, hand = request.start, request.object, request.hand
    if start is None:
        raise ValueError("There is no posed hand to refine.")
    check_reach(request, start)
    rng = torch.Generator().manual_seed(seed)
    given, tries = len(start), round(REFINE.tries * max(0, request.count - len(start)))
    refined = round(REFINE.refined * tries) if refiner else 0
    end = REFINE.first_go * given / (given + tries)
    first = fit(obj, hand, start, progress=progress.sub(0.0, REFINE.fitted * end))
    try:
        pools, holding = score_holds(request, [first], progress.sub(REFINE.fitted * end, end))
    except Stopped:  # it is not known whether they hold
        progress.accepted(first.grasps)
        raise
    progress.accepted(replace(pools[0].grasps, score=first.grasps.score))
    for go in range(REFINE.goes if tries else 0):
        begin, end = end, REFINE.first_go + (1 - REFINE.first_go) * go / (REFINE.goes - 1)
        if go and holding:
            break
        progress(begin, "Refining the hand")
        fits, tests = (progress.sub(begin + low * (end - begin), begin + high * (end - begin))
                       for low, high in ((0.0, REFINE.fitted), (REFINE.fitted, 1.0)))
        others = fit_others(request, start, tries - refined, refined, refiner, rng, fits)
        more, held = score_holds(request, others, tests)
        pools, holding = pools + more, holding or held
    return select_around(hand, *pools, count=request.count)


def fit_others(request: GraspRequest, start: Grasps, near: int, refined: int, refiner: Refiner | None,
               rng: torch.Generator, progress: Progress) -> list[Fitted]:
    """Fits of hands near the given ones.

    Args:
        request: object and hand.
        start: the given hands.
        near: how many fits of perturbed hands, the stiffest of more.
        refined: how many fits of what the refiner makes of the given hands.
        refiner: where `refined` is not 0.
        rng: draws the perturbations.
        progress: of all of it.
    """
    obj, hand = request.object, request.hand
    pools, middle = [], near / (near + refined)
    if near:
        some = perturb(hand, start, REFINE.drawn * near, rng)
        some = some[rank_by_stiffness(request, some, near)]
        pools.append(fit(obj, hand, some, progress=progress.sub(0.0, middle)))
    if refined and refiner is not None:
        part = progress.sub(middle, middle, "Refining the hand")
        hands, field = refiner(start[torch.arange(refined) % len(start)], rng, part)
        pools.append(fit(obj, hand, hands, fields=field, in_fields=True, progress=progress.sub(middle, 1.0)))
    return pools


def score_holds(request: GraspRequest, pools: list[Fitted], progress: Progress) -> tuple[list[Fitted], bool]:
    """The fits with lower scores where they do not hold, and whether one holds without a bone in the object."""
    found, holding = [], False
    for place, pool in enumerate(pools):
        part = progress.sub(place / len(pools), (place + 1) / len(pools))
        held = hold_mask(request, pool.grasps, has_contact(pool.after), part)
        found.append(replace(pool, grasps=penalise_unheld(pool.grasps, held)))
        holding |= bool((held & (pool.after.bones == 0)).any())
    return found, holding


def select_around(hand: HandModel, first: Fitted, *others: Fitted, count: int) -> Grasps:
    """The fits of the given hands, and the best of the others that touch and differ from them and each other.

    Args:
        hand: of the grasps' side.
        first: fits of the given hands.
        others: fits of hands near them.
        count: how many at most.
    """
    good = [(has_contact(rest.after) & (rest.after.bones == 0)).nonzero()[:, 0] for rest in others]
    spare = [rest.grasps[rows] for rest, rows in zip(others, good, strict=True)]
    every = Grasps.cat([first.grasps, *spare])
    given = torch.arange(len(every)) < len(first.grasps)
    rows = select_diverse(hand, replace(every, score=every.score + 1000 * given), count, REFINE.alike, fill=False)
    kept = torch.cat([given.nonzero()[:, 0], rows[~given[rows]]])[:count]
    return every[kept[(every.score + REFINE.clearly * given)[kept].argsort(descending=True, stable=True)]]


def perturb(hand: HandModel, grasps: Grasps, count: int, rng: torch.Generator) -> Grasps:
    """`count` hands near the given ones, taken in turn, each moved, turned and bent as `REFINE` says."""
    rows = torch.arange(count) % len(grasps)
    base = grasps[rows]
    moved = base.transl + REFINE.shift * torch.randn(count, 3, generator=rng)
    turned = axis_angle_to_matrix(REFINE.turn * torch.randn(count, 3, generator=rng))
    turned = turned @ axis_angle_to_matrix(base.global_orient)
    dofs = hand.dofs_from_pose(base.hand_pose) + REFINE.bend * torch.randn(count, 21, generator=rng)
    dofs = hand.clamp_dofs(dofs)
    return replace(base, global_orient=matrix_to_axis_angle(turned), hand_pose=hand.pose_from_dofs(dofs), transl=moved)


def check_reach(request: GraspRequest, start: Grasps) -> None:
    """ValueError where a given hand is farther than `REFINE.reach` from the object."""
    with torch.no_grad():
        vertices = request.hand(**start.parameters()).vertices
    distance = float(request.object.grid.query(vertices)[0].amin(1).amax())
    if distance > REFINE.reach:
        raise ValueError(f"The hand is {100 * distance:.0f} cm from the object: move it closer than "
                         f"{100 * REFINE.reach:.0f} cm and fit it again.")


def refiner_of(method: str, obj: GraspObject, hand: HandModel, device: str = "cpu") -> Refiner | None:
    """What makes better hands of rough ones by `method`; None where it only proposes."""
    if method not in METHODS or not METHODS[method].refines:
        return None
    return partial(cast("RefiningGenerator", make_generator(method, device)).refine, obj, hand)


def check_refiner(method: str) -> None:
    """ValueError where a method is asked to refine that cannot."""
    able = [name for name, known in METHODS.items() if known.refines]
    if method not in ("fit", *able):
        raise ValueError(f"'{method}' refines no hands: use fit or {' or '.join(able)}.")
