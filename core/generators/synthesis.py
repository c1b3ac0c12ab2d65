"""`synthesis`: grasps by optimisation alone, without training data.

Templates of the grasp taxonomy are laid on the object, closed on it by gradient descent and checked against its exact
surface. It makes the training grasps of the learned generators and needs no weights but the hand's.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.grasps import Grasps
from core.metrics.distinct import Symmetry, different_grasps, find_symmetry
from core.synthesis.checks import Checked, check
from core.synthesis.optimise import QUICK, STAGES, Closer
from core.synthesis.probe import HandProbe
from core.synthesis.starts import StartMaker
from core.synthesis.taxonomy import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.base import GraspRequest, Progress
    from core.objects import GraspObject
    from core.synthesis.optimise import Poses

FIRST_ROUND, ROUND, MOST_ROUNDS = 10, 48, 10
# On a round object so many grasps that are not one grasp turned are looked for first, for so many rounds; on a ball,
# where hardly any are that, for fewer.
UNLIKE, STRICT_ROUNDS, STRICT_ROUNDS_BALL = 10, 10, 2
LIKELY = 0.6  # share of good grasps that hold
# Harder than the protocol that judges (0.6), so that what passes here does not hang by a hair there.
FRICTION = 0.5
# With fewer than this, grasps that only nearly hold are offered too, after the others.
FEW = 8
DIFFERENT = 0.03  # metres of mean joint distance under which two grasps are the same


class Synthesis:
    """The optimiser behind the generators' interface."""

    name = "synthesis"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Grasps:
        """A few more good grasps than asked for, where the object allows, scored; each is shown when it has passed.

        Raises:
            LookupError: when no place on the object fits a hand.
        """
        if not progress(0.01, "Reading the hand and the object"):
            return Grasps.empty(self.name, hand=request.hand.side)
        with Offered(request, progress) as offered:
            self._fill(request, rng, progress, offered)
            return offered.grasps(self.name)

    def _fill(self, request: GraspRequest, rng: torch.Generator, progress: Progress, offered: Offered) -> None:
        """Rounds of closing and checking until enough hold, the rounds are over, or the work should stop."""
        betas = torch.zeros(10) if request.betas is None else request.betas
        closer = Closer(request.hand, HandProbe(request.hand, betas), betas, request.object)
        maker = StartMaker(request.object, closer, request, rng)
        kinds = maker.usable()
        if not kinds:
            raise LookupError("no part of this object has a width that a hand can hold")
        goal = request.count + 2
        rounds = MOST_ROUNDS + request.count // 8
        for turn in range(rounds):

            def go_on(fraction: float, turn: int = turn) -> bool:
                offered.collect()
                good = len(offered.held)
                done = max((turn + fraction) / rounds, good / goal)
                return progress(min(0.97, done), f"Closing hands on the object ({good} good so far)")

            if not go_on(0.0):
                return
            poses = maker.make(FIRST_ROUND if turn == 0 else ROUND, kinds, sample=24 if turn == 0 else 72)
            poses, _ = closer.run(poses, QUICK if turn == 0 else STAGES, go_on)
            offered.add(self._passing(request, closer, poses))
            # What is waited for depends on counts alone, never on time: a seed repeats its result.
            enough = offered.waited + LIKELY * offered.waiting >= goal
            everything = enough or turn in (0, rounds - 1)
            if not offered.wait(everything, lambda: go_on(1.0)) or offered.waited >= goal:
                return

    def _passing(self, request: GraspRequest, closer: Closer, poses: Poses) -> Grasps:
        """The poses that pass `core.synthesis.checks`, scored."""
        checked = check(request.object, closer, poses)
        rows = checked.accepted.nonzero()[:, 0]
        if len(rows) == 0:
            return Grasps.empty(self.name, hand=request.hand.side)
        grasps = closer.grasps(poses[rows], self.name, 0)
        return replace(grasps, score=score(checked, poses)[rows], measures={
            "overlap_cm3": checked.overlap_cm3[rows], "depth_mm": checked.depth_mm[rows],
            "contacts": checked.parts[rows].sum(1).float()})


class Offered:
    """Grasps on their way to the animator: new ones are shaken in a thread of their own while hands go on closing.

    Attributes:
        held: those that held, in the order in which they were made. waited: how many of them had been waited for.
    """

    def __init__(self, request: GraspRequest, progress: Progress) -> None:
        self.request, self.progress = request, progress
        self.held: list[Grasps] = []
        self.waited = 0
        self._dropped: list[Grasps] = []
        self._pending: list[tuple[Grasps, Future[bool], int]] = []
        self._joints: list[torch.Tensor] = []
        self._round = self._strict_round = self._unlike = 0
        self._symmetry = find_symmetry(request.object)
        self._plain = Symmetry(self._symmetry.centre, np.eye(3)[None], "none")
        self._shaker = ThreadPoolExecutor(1)
        self._shaker.submit(cut, request.object)

    def __enter__(self) -> Offered:
        return self

    def __exit__(self, *_: object) -> None:
        self._shaker.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def add(self, good: Grasps) -> None:
        """Takes those of `good` that differ from each other and from all before, better ones first."""
        self._round += 1
        if len(good) == 0:
            return
        good = good[good.score.argsort(descending=True)]
        with torch.no_grad():
            joints = self.request.hand(**good.parameters()).joints
        known = len(self._joints)
        # At first no two that are one grasp on a round object; later the same grasp elsewhere on it may fill the list.
        rounds = STRICT_ROUNDS_BALL if self._symmetry.kind == "sphere" else STRICT_ROUNDS
        strict = self.waited < UNLIKE and self._round <= rounds
        symmetry = self._symmetry if strict else self._plain
        rows = different_grasps(torch.stack([*self._joints, *joints]), symmetry, DIFFERENT)
        for row in rows:
            if row >= known:
                one = good[row - known]
                self._joints.append(joints[row - known])
                self._pending.append((one, self._shaker.submit(holds, self.request, one), self._round))
        if strict:
            self._strict_round = self._round

    def collect(self) -> None:
        """Shows what has been found to hold by now, in order."""
        while self._pending and self._pending[0][1].done():
            one, shaken, made = self._pending.pop(0)
            if shaken.result():
                self.held.append(one)
                self._unlike += made <= self._strict_round
                self.progress.accepted(one)
            else:
                self._dropped.append(replace(one, score=0.5 * one.score))

    def wait(self, everything: bool, go_on: Callable[[], bool]) -> bool:
        """Waits for the rounds before this one, or for this one too; False when the work should stop."""
        while any(everything or made < self._round for _, _, made in self._pending):
            if not go_on():
                return False
            wait_for([self._pending[0][1]] if self._pending else [], timeout=0.1)
            self.collect()
        self.waited = len(self.held)
        return True

    def grasps(self, name: str) -> Grasps:
        """All that held; where they are few, the best of the others after them."""
        spare = sorted(self._dropped, key=lambda one: -float(one.score[0]))
        few = max(0, min(FEW, self.request.count) - len(self.held))
        for one in spare[:few]:
            self.progress.accepted(one)
        chosen = self.held[: max(self._unlike, self.request.count)] + spare[:few]
        return Grasps.cat(chosen) if chosen else Grasps.empty(name, hand=self.request.hand.side)


def cut(obj: GraspObject) -> None:
    """Has the object's convex pieces made (they are cached), while the first hands are closing."""
    from core.metrics.pieces import convex_pieces

    convex_pieces(obj)


def holds(request: GraspRequest, one: Grasps) -> bool:
    """Whether the object stays in the hand under gravity from six sides; True where MuJoCo is not installed."""
    try:
        import mujoco  # noqa: F401
    except ImportError:
        return True
    from core.metrics.hold import hold_test

    return bool(hold_test(request.object, request.hand, one, friction=FRICTION).held[0])


def score(checked: Checked, poses: Poses) -> torch.Tensor:
    """(N,) 0 to 100: holding, touching with what the type asks for, lying on the surface, looking relaxed."""
    power = torch.tensor([BY_NAME[name].power for name in poses.types])
    parts = checked.parts.sum(1) / torch.where(power, 6.0, 4.0)
    hold = 1 - (checked.residual / 0.1).clamp(0, 1)
    surface = (1 - checked.depth_mm / 3).clamp(0, 1) * (1 - checked.overlap_cm3).clamp(0, 1)
    relaxed = (1 - checked.unnatural / 30).clamp(0, 1)
    return 100 * (0.3 * parts.clamp_max(1) + 0.2 * hold + 0.25 * surface + 0.25 * relaxed)
