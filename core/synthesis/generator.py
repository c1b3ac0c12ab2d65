"""`synthesis`: grasps by optimisation alone, without training data.

Templates of the grasp taxonomy are laid on the object, closed on it by gradient descent and checked against its exact
surface. It makes the training grasps of the learned generators and needs no weights but the hand's.
"""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.fitting.energy import QUICK, STAGES, GraspEnergy
from core.fitting.hand_points import HandPoints
from core.fitting.proposal import Proposal
from core.grasps.batch import Grasps
from core.quality.hold import passes_hold_test, prepare_pieces
from core.quality.surface import score_surface
from core.quality.symmetry import DIFFERENT, Symmetry, different_grasps, find_symmetry, most_different
from core.synthesis.acceptance import check
from core.synthesis.starts import StartSampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.fitting.energy import Poses
    from core.grasps.intents import Purpose
    from core.grasps.request import GraspRequest, Progress

FIRST_ROUND, ROUND, MOST_ROUNDS = 10, 48, 10
# So many rounds more on a round object, while fewer than `FEW` of those that hold are not one grasp turned.
MORE_ROUNDS = 6
# On a round object so many grasps that are not one grasp turned are looked for first, for so many rounds; on a ball,
# where hardly any are that, for fewer.
UNLIKE, STRICT_ROUNDS, STRICT_ROUNDS_BALL = 10, 9, 2
LIKELY, PRIOR = 0.6, 5  # share of good grasps that hold, and how many an opinion that is worth
# With fewer than this, grasps that only nearly hold are offered too, after the others.
FEW = 8


class Synthesis:
    """The optimiser behind the generators' interface.

    Args:
        device: where hands are closed; starts are found, and what comes out is checked, on the processor.
    """

    name = "synthesis"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Proposal:
        """A few more good grasps than asked for, where the object allows, scored; each is shown when it has passed.

        Raises:
            LookupError: when no place on the object fits a hand.
        """
        if not progress(0.01, "Reading the hand and the object"):
            return Proposal(Grasps.empty(self.name, hand=request.hand.side))
        with CandidateCollector(request, progress) as offered:
            self._fill(request, rng, progress, offered)
            return Proposal(offered.grasps(self.name))

    def _fill(self, request: GraspRequest, rng: torch.Generator, progress: Progress,
              offered: CandidateCollector) -> None:
        """Rounds of closing and checking until enough hold, the rounds are over, or the work should stop."""
        betas = request.shape
        closer = GraspEnergy(request.hand, HandPoints(request.hand, betas), betas, request.object)
        there = closer.to(self.device)
        maker = StartSampler(request.object, closer, request, rng)
        kinds = maker.usable()
        if not kinds:
            raise LookupError("no part of this object has a width that a hand can hold")
        goal = request.count
        rounds = MOST_ROUNDS + request.count // 8
        lacking = False
        for turn in range(rounds + MORE_ROUNDS):
            if turn >= rounds and not lacking:
                return

            def go_on(fraction: float, turn: int = turn) -> bool:
                offered.collect()
                good = len(offered.held)
                done = max((turn + fraction) / rounds, good / goal)
                return progress(min(0.97, done), f"Closing hands on the object ({good} good so far)")

            if not go_on(0.0):
                return
            if turn == 0:
                poses = maker.make(FIRST_ROUND, kinds, sample=24)
            elif offered.strict or lacking:
                poses = offered.unlike(maker.make(3 * ROUND, kinds, sample=96), closer, ROUND)
            else:
                poses = maker.make(ROUND, kinds)
            poses, _ = there.run(poses.to(self.device), QUICK if turn == 0 else STAGES, go_on)
            offered.add(self.passing(request, closer, poses.to("cpu"), maker.purpose), goal)
            # What is waited for depends on counts alone, never on time: a seed repeats its result.
            everything = offered.expected >= goal or turn == 0 or turn >= rounds - 1
            go_on_waiting = offered.wait(everything, lambda: go_on(1.0))
            while everything and go_on_waiting and offered.fill(goal):
                go_on_waiting = offered.wait(True, lambda: go_on(1.0))
            if not go_on_waiting:
                return
            if everything:
                lacking = offered.lacks_unlike()
                if offered.waited >= goal and not lacking:
                    return

    def passing(self, request: GraspRequest, closer: GraspEnergy, poses: Poses, purpose: Purpose) -> Grasps:
        """The poses that pass `core.synthesis.acceptance` and do what is wanted, scored."""
        checked = check(request.object, closer, poses)
        rows = checked.accepted.nonzero()[:, 0]
        if len(rows) and purpose.intent != "any":
            good = poses[rows]
            with torch.no_grad():
                skin = closer.skin(good)
                joints = request.hand(**closer.grasps(good, self.name, 0).parameters()).joints
            distance = request.object.grid.query(skin)[0]
            rows = rows[purpose.met(skin, distance, closer.vertex_area, joints, good.types)]
        if len(rows) == 0:
            return Grasps.empty(self.name, hand=request.hand.side)
        grasps = closer.grasps(poses[rows], self.name, 0)
        return replace(grasps, score=score_surface(checked.surface, poses.types, checked.unnatural)[rows], measures={
            "overlap_cm3": checked.surface.overlap_cm3[rows], "depth_mm": checked.surface.depth_mm[rows],
            "contacts": checked.surface.parts[rows].sum(1).float(), "residual": checked.surface.residual[rows].float()})


@dataclass(eq=False)
class PendingGrasp:
    """One grasp being tested: its joints (21, 3), the round it was made in, and in time whether it held."""

    grasp: Grasps
    joints: torch.Tensor
    made: int
    answer: Future[bool]
    held: bool | None = None


class CandidateCollector:
    """Grasps on their way to the animator: new ones are shaken in a thread of their own while hands go on closing.

    Attributes:
        held: those that held, in the order in which they were made. waited: how many of them had been waited for.
    """

    def __init__(self, request: GraspRequest, progress: Progress) -> None:
        self.request, self.progress = request, progress
        self.held: list[Grasps] = []
        self.waited = 0
        self._tested: list[PendingGrasp] = []
        self._repeats: list[Grasps] = []
        self._round = self._settled = 0
        self._symmetry = find_symmetry(request.object)
        self._plain = Symmetry(self._symmetry.centre, np.eye(3)[None], "none")
        self._shaker = ThreadPoolExecutor(1)
        self._shaker.submit(prepare_pieces, request.object)

    def __enter__(self) -> CandidateCollector:
        return self

    def __exit__(self, *_: object) -> None:
        self._shaker.shutdown(wait=True, cancel_futures=True)

    @property
    def expected(self) -> float:
        """How many will have held once all that are pending have been shaken, judged by those that have been."""
        pending = sum(one.made > self._settled for one in self._tested)
        share = (self.waited + PRIOR * LIKELY) / (len(self._tested) - pending + PRIOR)
        return self.waited + share * pending

    @property
    def strict(self) -> bool:
        """Whether the same grasp elsewhere on a round object does not count as another one, yet."""
        rounds = STRICT_ROUNDS_BALL if self._symmetry.kind == "sphere" else STRICT_ROUNDS
        wanted = min(UNLIKE, self.request.count)
        return self._symmetry.kind != "none" and self.expected < wanted and self._round < rounds

    def lacks_unlike(self) -> bool:
        """Whether fewer than `FEW` of those that hold on a round object (no ball) are not one grasp turned."""
        if self._symmetry.kind in ("none", "sphere"):
            return False
        held = [one.joints for one in self._tested if one.held]
        wanted = min(FEW, self.request.count)
        return len(held) < wanted or len(most_different(torch.stack(held), self._symmetry, DIFFERENT)) < wanted

    def unlike(self, starts: Poses, closer: GraspEnergy, most: int) -> Poses:
        """Those starts first that are no grasp known already, seen elsewhere on a round object; at most `most`."""
        grasps = closer.grasps(starts, "synthesis", 0)
        new, rest = self._sort([grasps[row] for row in range(len(grasps))], self._symmetry)[:2]
        return starts[torch.tensor((new + rest)[:most])]

    def add(self, good: Grasps, goal: int) -> None:
        """Takes those of `good` that differ from each other and from all before, better ones first.

        At first no two that are one grasp on a round object; once there are enough, or no more are to be had, what was
        passed over fills the list up to `goal`.
        """
        self._round += 1
        if len(good):
            good = good[good.score.argsort(descending=True)]
            symmetry = self._symmetry if self.strict or self._repeats else self._plain
            self._repeats += self._take([good[row] for row in range(len(good))], symmetry, len(good))
        self.fill(goal)

    def fill(self, goal: int) -> bool:
        """Takes what was passed over, as much as is missing; False when nothing is taken."""
        before = len(self._tested)
        if not self.strict and self.expected < goal:
            self._repeats = self._take(self._repeats, self._plain, math.ceil((goal - self.expected) / LIKELY))
        return len(self._tested) > before

    def _take(self, good: list[Grasps], symmetry: Symmetry, most: int) -> list[Grasps]:
        """Has at most `most` of `good` shaken that are new; the others come back."""
        new, _, joints = self._sort(good, symmetry)
        for row in new[:most]:
            answer = self._shaker.submit(passes_hold_test, self.request, good[row])
            self._tested.append(PendingGrasp(good[row], joints[row], self._round, answer))
        return [one for row, one in enumerate(good) if row not in new[:most]]

    def _sort(self, good: list[Grasps], symmetry: Symmetry) -> tuple[list[int], list[int], torch.Tensor]:
        """Rows that differ from each other and from all that hold or may hold, the other rows, and all joints."""
        if not good:
            return [], [], torch.zeros(0, 21, 3)
        with torch.no_grad():
            joints = self.request.hand(**Grasps.cat(good).parameters()).joints
        # What did not hold is no reason to drop another like it; but all runs know only what has been waited for.
        known = [one.joints for one in self._tested if one.made > self._settled or one.held]
        rows = different_grasps(torch.stack([*known, *joints]), symmetry, DIFFERENT)
        new = [row - len(known) for row in rows if row >= len(known)]
        return new, [row for row in range(len(good)) if row not in set(new)], joints

    def collect(self) -> None:
        """Shows what has been found to hold by now, in order."""
        for one in self._tested:
            if one.held is None:
                if not one.answer.done():
                    return
                one.held = one.answer.result()
                if one.held:
                    self.held.append(one.grasp)
                    self.progress.accepted(one.grasp)

    def wait(self, everything: bool, go_on: Callable[[], bool]) -> bool:
        """Waits for the rounds before this one, or for this one too; False when the work should stop."""
        until = self._round if everything else self._round - 1
        while pending := [one.answer for one in self._tested if one.held is None and one.made <= until]:
            if not go_on():
                return False
            wait_for(pending[:1], timeout=0.1)
            self.collect()
        self._settled = until
        self.waited = sum(bool(one.held) for one in self._tested if one.made <= until)
        return True

    def grasps(self, name: str) -> Grasps:
        """Those that held, on a round object first those that are unlike; where few held, the best of the others."""
        dropped = [replace(one.grasp, score=0.5 * one.grasp.score) for one in self._tested if one.held is False]
        few = max(0, min(FEW, self.request.count) - len(self.held))
        spare = sorted(dropped, key=lambda one: -float(one.score[0]))[:few]
        for one in spare:
            self.progress.accepted(one)
        chosen = self._unlike_first() + spare
        return Grasps.cat(chosen) if chosen else Grasps.empty(name, hand=self.request.hand.side)


    def _unlike_first(self) -> list[Grasps]:
        """All that held, or, on a round object, as many as were asked for, most of them unlike."""
        if self._symmetry.kind == "none" or len(self.held) <= self.request.count:
            return self.held
        score = torch.cat([one.score for one in self.held])
        joints = torch.stack([one.joints for one in self._tested if one.held])
        unlike = most_different(joints, self._symmetry, DIFFERENT, score)
        rest = [row for row in score.argsort(descending=True, stable=True).tolist() if row not in set(unlike)]
        return [self.held[row] for row in (unlike + rest)[: max(len(unlike), self.request.count)]]


