"""From fitted grasps to what is shown: those that hold first, no two alike."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.fitting.fit import CHUNK, fit, touches
from core.generators.synthesis import DIFFERENT, holds
from core.grasps import Grasps
from core.metrics.distinct import Symmetry, most_different
from core.metrics.hold import STILL
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from core.synthesis.grip import firmness

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.fitting.fit import Fitted
    from core.fitting.representation import Choir
    from core.generators.base import GraspRequest, Progress
    from core.hand import HandModel
    from core.synthesis.checks import Surface

    Refiner = Callable[[Grasps, torch.Generator], tuple[Grasps, Choir]]

#: hands fitted for each grasp that is asked for: at first, so that these are seen soon, and at most; and at least
PIECE, MOST, LEAST = 0.5, 2.5, 4
#: hands fitted then for each that is still lacking: one more fit takes longer than some hands more in one
MARGIN: Final = 1.5
#: metres of mean joint distance from a firmer proposal within which another waits for those that are unlike
NEAR: Final = 0.015
#: what is left of the worth of a proposal's grip for each that was taken before of its type: a list shall have variety
ANOTHER: Final = 0.5
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
#: the share of the test of the grip that the fitted hands take; the rest is for those as they were given
TESTED: Final = 0.8
#: hands shaken at once, where there are as many processors
AT_ONCE: Final = 8
#: metres of mean joint distance from which two hands around one pose are different
ALIKE: Final = 0.006
#: how far hands around a pose are started from it: metres, radians of the wrist, radians of a finger angle
SPREAD: Final = (0.008, 0.15, 0.12)
#: cm3 of overlap that one sees
SEEN: Final = 1.0
#: by how much more another hand must score before it is offered ahead of the fit of a given pose
CLEARLY: Final = 10.0
#: metres from the object beyond which a hand is not fitted
FAR: Final = 0.10


def firmest(request: GraspRequest, proposed: Grasps, count: int) -> torch.Tensor:
    """Rows of at most `count` proposals, best first: those that would grip when they close, unlike ones first.

    A grip counts `ANOTHER` of itself for each that was taken of its type, so that all types have their turn.
    """
    firm = firmness(request.object, request.hand, proposed)
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


def fit_and_choose(request: GraspRequest, proposed: Grasps, progress: Progress, fields: Choir | None = None) -> Grasps:
    """The best of the proposals, fitted: `request.count` of those that hold, unlike ones first, then others.

    The firmest are fitted first; while too few hold, more are, and each that holds is shown at once. One with a bone
    through a wall is not offered, while there are others; then there may be fewer.

    Args:
        fields: what the proposals were predicted by, in which they lie.
    """
    count = request.count
    rows = firmest(request, proposed, max(LEAST, math.ceil(MOST * count)))
    parts: list[Grasps] = []
    holding: list[torch.Tensor] = []
    clean: list[torch.Tensor] = []
    done, wanted = 0, PIECE * count
    while done < len(rows) and wanted > 0:
        some = rows[done : done + min(max(LEAST, math.ceil(wanted)), CHUNK)]
        ends = [0.5 + 0.5 * place / len(rows) for place in (done, done + 0.7 * len(some), done + len(some))]
        given = proposed[some]
        fitted = fit(request.object, request.hand, given, fields=None if fields is None else fields[some], laid=True,
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
    chosen = sure[different(request.hand, grasps[sure], count, DIFFERENT)]
    spare = dropped[different(request.hand, grasps[dropped], count - len(chosen), DIFFERENT)]
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

    held = shaken(request, fitted.grasps, touches(fitted.after), Share(progress, 0.0, TESTED), found=found)
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
    undo = shaken(request, given, fitted.changed & ~held & touches(fitted.before) & ~spoilt(fitted.before), progress)
    return (fitted.undone(given, undo) if undo.any() else fitted), held | undo


def spoilt(found: Surface) -> torch.Tensor:
    """(N,) bool: with a bone, or more than one overlooks, in the object: a hold by that is none."""
    return (found.bones > 0) | (found.overlap_cm3 > SEEN)


def which_hold(request: GraspRequest, fitted: Fitted, progress: Progress) -> torch.Tensor:
    """(N,) bool: the fitted grasps that hold; once `progress` says no, those from there on count as holding."""
    return shaken(request, fitted.grasps, touches(fitted.after), progress)


def shaken(request: GraspRequest, grasps: Grasps, rows: torch.Tensor, progress: Progress, still: float = STILL,
           found: Callable[[int], object] | None = None) -> torch.Tensor:
    """(N,) bool: those of `rows` (N,) that hold, several tested at once.

    Once `progress` says no, those from there on count as holding. `found` is told the row of each that is found to
    hold, at once.
    """
    held, asked = rows.clone(), rows.nonzero()[:, 0].tolist()
    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        tests = [pool.submit(holds, request, grasps[row], still) for row in asked]
        for place, (row, test) in enumerate(zip(asked, tests, strict=True)):
            if not progress(place / len(asked), "Testing the grip"):
                pool.shutdown(cancel_futures=True)
                break
            held[row] = test.result()
            if found is not None and held[row]:
                found(row)
    return held


def lowered(grasps: Grasps, held: torch.Tensor) -> Grasps:
    """The grasps with half the score for those that do not hold (N,)."""
    return replace(grasps, score=grasps.score * torch.where(held, 1.0, 0.5))


def around(request: GraspRequest, seed: int, progress: Progress, refiner: Refiner | None = None) -> Grasps:
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
        some = some[firmest(request, some, near)]
        pools.append(fit(obj, hand, some, progress=Share(progress, 0.0, middle)))
    if refined and progress(middle, "Refining the hand"):
        hands, fields = refiner(start[torch.arange(refined) % len(start)], rng)
        pools.append(fit(obj, hand, hands, fields=fields, laid=True, progress=Share(progress, middle, 1.0)))
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
    good = [(touches(rest.after) & (rest.after.bones == 0)).nonzero()[:, 0] for rest in others]
    spare = [rest.grasps[rows] for rest, rows in zip(others, good, strict=True)]
    every = Grasps.cat([first.grasps, *spare])
    given = torch.arange(len(every)) < len(first.grasps)
    rows = different(hand, replace(every, score=every.score + 1000 * given), count, ALIKE, fill=False)
    kept = torch.cat([given.nonzero()[:, 0], rows[~given[rows]]])[:count]
    return every[kept[(every.score + CLEARLY * given)[kept].argsort(descending=True, stable=True)]]


def different(hand: HandModel, grasps: Grasps, count: int, apart: float, fill: bool = True) -> torch.Tensor:
    """Rows of the best grasps of which no two are nearer than `apart`; with `fill`, then the best of the others."""
    if not len(grasps):
        return torch.zeros(0, dtype=torch.long)
    with torch.no_grad():
        joints = hand(**grasps.parameters()).joints
    order = grasps.score.argsort(descending=True, stable=True)
    plain = Symmetry(np.zeros(3), np.eye(3)[None], "none")
    unlike = set(order[most_different(joints[order], plain, apart, grasps.score[order].clamp(0, 100))].tolist())
    ranked = [row for row in order.tolist() if row in unlike]
    rest = [row for row in order.tolist() if row not in unlike]
    return torch.tensor((ranked + rest * fill)[:count], dtype=torch.long)


def nearby(hand: HandModel, grasps: Grasps, count: int, rng: torch.Generator) -> Grasps:
    """`count` hands near the given ones, taken in turn, each moved, turned and bent by `SPREAD`."""
    rows = torch.arange(count) % len(grasps)
    base = grasps[rows]
    shift, turn, bend = SPREAD
    moved = base.transl + shift * torch.randn(count, 3, generator=rng)
    turned = axis_angle_to_matrix(turn * torch.randn(count, 3, generator=rng))
    turned = turned @ axis_angle_to_matrix(base.global_orient)
    dofs = hand.dofs_from_pose(base.hand_pose) + bend * torch.randn(count, 21, generator=rng)
    dofs = torch.minimum(torch.maximum(dofs, hand.dof_limits[:, 0]), hand.dof_limits[:, 1])
    return replace(base, global_orient=matrix_to_axis_angle(turned), hand_pose=hand.pose_from_dofs(dofs), transl=moved)


def check_near(request: GraspRequest) -> None:
    """ValueError where a given hand is farther than `FAR` from the object."""
    with torch.no_grad():
        skin = request.hand(**request.start.parameters()).vertices
    distance = float(request.object.grid.query(skin)[0].amin(1).amax())
    if distance > FAR:
        raise ValueError(f"The hand is {100 * distance:.0f} cm from the object: move it closer than "
                         f"{100 * FAR:.0f} cm and fit it again.")


class Share:
    """A `Progress` that stands for a part of another's way."""

    def __init__(self, whole: Progress, begin: float, end: float) -> None:
        self.whole, self.begin, self.end = whole, begin, end

    def __call__(self, fraction: float, stage: str) -> bool:
        return self.whole(self.begin + (self.end - self.begin) * fraction, stage)

    def accepted(self, grasps: Grasps) -> None:
        """Nothing: proposals are not shown before they are fitted."""
