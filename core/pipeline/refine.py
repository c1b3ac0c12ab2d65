"""Grasps around hands that somebody posed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.fit import fit
from core.grasps.batch import Grasps
from core.grasps.request import Share
from core.pipeline.selection import lowered, rank_by_stiffness, select_diverse, which_hold
from core.quality.surface import has_contact
from core.registry import METHODS, make_generator
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.fitting.fit import Fitted
    from core.grasps.request import GraspRequest, Progress
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.pipeline.selection import Refiner


#: hands tried for each further one that is asked for around a given pose
TRIES: Final = 1.5


#: how many are drawn near it for each that is fitted
DRAWN: Final = 8


#: the share of them that a refiner makes
REFINED: Final = 0.5


#: how often others are tried, while none of all holds, and the share of the progress at which the first go is over
GOES, FIRST_GO = 4, 0.7


#: the share of that time that the fits take; the rest is for the test of the grip
FITTED: Final = 0.85


#: metres of mean joint distance from which two hands around one pose are different
ALIKE: Final = 0.006


#: how far hands around a pose are started from it: metres, radians of the wrist, radians of a finger angle
SPREAD: Final = (0.008, 0.15, 0.12)


#: by how much more another hand must score before it is offered ahead of the fit of a given pose
CLEARLY: Final = 10.0


#: metres from the object beyond which a hand is not fitted
FAR: Final = 0.10


def refine_around(request: GraspRequest, seed: int, progress: Progress, refiner: Refiner | None = None) -> Grasps:
    """Grasps around `request.start`'s hands: the fit of each and the best of others that differ, best first.

    A fit of a given hand gives way to others that score `CLEARLY` more. The others are fits of those hands near them
    that would grip, those that hold first; with a refiner, `REFINED` of them are what it makes of the given hands.
    While none holds, more are tried, `GOES` times.

    Args:
        refiner: of hands and a generator: refined hands, and the fields in which they lie.

    Raises:
        ValueError: the hand is so far from the object that there is nothing to fit; the sentence says how far.
    """
    start, obj, hand = request.start, request.object, request.hand
    check_near(request)
    rng = torch.Generator().manual_seed(seed)
    given, tries = len(start), round(TRIES * max(0, request.count - len(start)))
    refined = round(REFINED * tries) if refiner else 0
    end = FIRST_GO * given / (given + tries)
    first = fit(obj, hand, start, progress=Share(progress, 0.0, FITTED * end))
    if not first.complete:
        return Grasps.empty("fit", hand=hand.side)
    progress.accepted(first.grasps)
    pools, holding = with_holds(request, [first], Share(progress, FITTED * end, end))
    for go in range(GOES if tries else 0):
        begin, end = end, FIRST_GO + (1 - FIRST_GO) * go / (GOES - 1)
        if (go and holding) or not progress(begin, "Refining the hand"):
            break
        fits, tests = (Share(progress, begin + low * (end - begin), begin + high * (end - begin))
                       for low, high in ((0.0, FITTED), (FITTED, 1.0)))
        more, held = with_holds(request, others(request, tries - refined, refined, refiner, rng, fits), tests)
        pools, holding = pools + more, holding or held
    return chosen_around(hand, *pools, count=request.count)


def others(request: GraspRequest, near: int, refined: int, refiner: Refiner | None, rng: torch.Generator,
           progress: Progress) -> list[Fitted]:
    """Fits of `near` hands near the given ones that would grip, and of `refined` that the refiner makes of those."""
    obj, hand, start = request.object, request.hand, request.start
    pools, middle = [], near / (near + refined)
    if near:
        some = nearby(hand, start, DRAWN * near, rng)
        some = some[rank_by_stiffness(request, some, near)]
        pools.append(fit(obj, hand, some, progress=Share(progress, 0.0, middle)))
    if refined and progress(middle, "Refining the hand"):
        hands, fields = refiner(start[torch.arange(refined) % len(start)], rng)
        pools.append(fit(obj, hand, hands, fields=fields, in_fields=True, progress=Share(progress, middle, 1.0)))
    return [pool for pool in pools if pool.complete]


def with_holds(request: GraspRequest, pools: list[Fitted], progress: Progress) -> tuple[list[Fitted], bool]:
    """The fits with lower scores where they do not hold, and whether a sound one does."""
    found, holding = [], False
    for place, pool in enumerate(pools):
        held = which_hold(request, pool, Share(progress, place / len(pools), (place + 1) / len(pools)))
        found.append(replace(pool, grasps=lowered(pool.grasps, held)))
        holding |= bool((held & (pool.after.bones == 0)).any())
    return found, holding


def chosen_around(hand: HandModel, first: Fitted, *others: Fitted, count: int) -> Grasps:
    """The fits of the given hands, and the best of the others that touch and differ from them and each other."""
    good = [(has_contact(rest.after) & (rest.after.bones == 0)).nonzero()[:, 0] for rest in others]
    spare = [rest.grasps[rows] for rest, rows in zip(others, good, strict=True)]
    every = Grasps.cat([first.grasps, *spare])
    given = torch.arange(len(every)) < len(first.grasps)
    rows = select_diverse(hand, replace(every, score=every.score + 1000 * given), count, ALIKE, fill=False)
    kept = torch.cat([given.nonzero()[:, 0], rows[~given[rows]]])[:count]
    return every[kept[(every.score + CLEARLY * given)[kept].argsort(descending=True, stable=True)]]


def nearby(hand: HandModel, grasps: Grasps, count: int, rng: torch.Generator) -> Grasps:
    """`count` hands near the given ones, taken in turn, each moved, turned and bent by `SPREAD`."""
    rows = torch.arange(count) % len(grasps)
    base = grasps[rows]
    shift, turn, bend = SPREAD
    moved = base.transl + shift * torch.randn(count, 3, generator=rng)
    turned = axis_angle_to_matrix(turn * torch.randn(count, 3, generator=rng))
    turned = turned @ axis_angle_to_matrix(base.global_orient)
    dofs = hand.dofs_from_pose(base.hand_pose) + bend * torch.randn(count, 21, generator=rng)
    dofs = hand.clamp_dofs(dofs)
    return replace(base, global_orient=matrix_to_axis_angle(turned), hand_pose=hand.pose_from_dofs(dofs), transl=moved)


def check_near(request: GraspRequest) -> None:
    """ValueError where a given hand is farther than `FAR` from the object."""
    with torch.no_grad():
        skin = request.hand(**request.start.parameters()).vertices
    distance = float(request.object.grid.query(skin)[0].amin(1).amax())
    if distance > FAR:
        raise ValueError(f"The hand is {100 * distance:.0f} cm from the object: move it closer than "
                         f"{100 * FAR:.0f} cm and fit it again.")


def refine(request: GraspRequest, seed: int, progress: Progress, method: str = "fit", device: str = "cpu") -> Grasps:
    """Grasps around hands that were posed by someone (`request.start`): the fit of each, and others near them.

    Args:
        request: object, hand, count, and the hands to start from.
        seed: of how the others are started.
        progress: told how far it is; may stop it; is shown the fits of the given hands at once.
        method: where it predicts fields, half of the others are what it makes of the given hands; any other method
            changes nothing.
        device: of that method.

    Raises:
        ValueError: the hand is too far from the object; the sentence says how far.
    """
    from core.pipeline.refine import refine_around

    refiner = refiner_of(method, request.object, request.hand, device)
    return replace(refine_around(request, seed, progress, refiner), method="fit", seed=seed, hand=request.hand.side)


def refiner_of(method: str, obj: GraspObject, hand: HandModel, device: str = "cpu") -> Refiner | None:
    """What makes better hands and their fields of rough ones by `method`; None where it only proposes."""
    if method not in METHODS or not METHODS[method].fields:
        return None
    from core.generators.jointdiffusion import refine as refine_by_fields

    return partial(refine_by_fields, make_generator(method, device), obj, hand)


def check_refiner(method: str) -> None:
    """ValueError where a method is asked to refine that cannot."""
    able = [name for name, known in METHODS.items() if known.fields]
    if method not in ("fit", *able):
        raise ValueError(f"'{method}' refines no hands: use fit or {' or '.join(able)}.")
