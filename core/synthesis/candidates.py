"""Candidates on their way to the animator: they are hold-tested in a thread while other hands are optimised."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Final

import torch

from core.grasps.batch import Grasps
from core.progress import Progress
from core.quality.diversity import different_grasps, most_different
from core.quality.hold import FILTER, passes_hold_test, prepare_pieces
from core.quality.symmetry import find_symmetry

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from core.fitting.energy import GraspEnergy
    from core.fitting.poses import Poses
    from core.grasps.request import GraspRequest
    from core.quality.symmetry import Symmetry


@dataclass(frozen=True)
class CollectorConfig:
    """How many candidates are tested and kept.

    Attributes:
        hold_share: of good grasps that hold, as expected before any was tested.
        hold_prior: how many tested grasps that expectation is worth.
        few: of those that hold, below which grasps that only nearly hold are offered too, after the others; and of
            those that are not one grasp turned, below which more are looked for.
        distinct: grasps that are not one grasp turned about a round object, looked for first.
        distinct_rounds: for at most so many rounds.
        distinct_rounds_ball: the same on a ball, where hardly any are.
        unheld_score: factor on the score of a grasp that only nearly holds.
        poll_seconds: between two looks at the tests that are waited for.
    """

    hold_share: float = 0.6
    hold_prior: int = 5
    few: int = 8
    distinct: int = 10
    distinct_rounds: int = 9
    distinct_rounds_ball: int = 2
    unheld_score: float = 0.5
    poll_seconds: float = 0.1


COLLECTOR: Final = CollectorConfig()


@dataclass(eq=False)
class PendingGrasp:
    """One grasp being tested.

    Attributes:
        grasp: a batch of one.
        joints: (21, 3) its joints, metres, object frame.
        round: in which it was made.
        answer: of the hold test.
        held: that answer, once it has been collected.
    """

    grasp: Grasps
    joints: torch.Tensor
    round: int
    answer: Future[bool]
    held: bool | None = None


class CandidateCollector:
    """Has new grasps hold-tested in a thread of its own while others are optimised; use it as a context.

    Args:
        request: what is asked for.
        progress: shown each grasp that holds, at once.
        symmetry: of the object; found where None.

    Attributes:
        held: grasps that held, in the order in which they were made.
        waited: how many of them had been waited for.
    """

    def __init__(self, request: GraspRequest, progress: Progress, symmetry: Symmetry | None = None) -> None:
        self.request, self.progress = request, progress
        self.held: list[Grasps] = []
        self.waited = 0
        self._tested: list[PendingGrasp] = []
        self._repeats: list[Grasps] = []
        self._round = self._settled = 0
        self._symmetry = symmetry or find_symmetry(request.object)
        self._tester = ThreadPoolExecutor(1)
        self._over = Event()
        self._heard = Progress(lambda *_: not self._over.is_set())
        self._tester.submit(prepare_pieces, request.object, self._heard)

    def __enter__(self) -> CandidateCollector:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._tester.shutdown(wait=True, cancel_futures=True)

    @property
    def expected(self) -> float:
        """How many will have held once all that are pending are tested, judged by those that have been."""
        pending = sum(one.round > self._settled for one in self._tested)
        prior = COLLECTOR.hold_prior * COLLECTOR.hold_share
        share = (self.waited + prior) / (len(self._tested) - pending + COLLECTOR.hold_prior)
        return self.waited + share * pending

    @property
    def strict(self) -> bool:
        """Whether the same grasp elsewhere on a round object does not count as another one, yet."""
        ball = self._symmetry.kind == "sphere"
        rounds = COLLECTOR.distinct_rounds_ball if ball else COLLECTOR.distinct_rounds
        wanted = min(COLLECTOR.distinct, self.request.count)
        return self._symmetry.kind != "none" and self.expected < wanted and self._round < rounds

    def lacks_distinct(self) -> bool:
        """Whether too few of those that hold on a round object (no ball) are not one grasp turned."""
        if self._symmetry.kind in ("none", "sphere"):
            return False
        held = [one.joints for one in self._tested if one.held]
        wanted = min(COLLECTOR.few, self.request.count)
        return len(held) < wanted or len(most_different(torch.stack(held), self._symmetry)) < wanted

    def distinct_first(self, starts: Poses, energy: GraspEnergy, most: int) -> Poses:
        """At most `most` of the starts, first those that are no known grasp elsewhere on a round object."""
        grasps = energy.grasps(starts, "synthesis", 0)
        new, rest = self._sort([grasps[row] for row in range(len(grasps))], self._symmetry)[:2]
        return starts[torch.tensor((new + rest)[:most])]

    def add(self, good: Grasps, goal: int) -> None:
        """Takes those of `good` that differ from each other and from all before, better ones first.

        At first no two that are one grasp on a round object; once there are enough, or no more are to be had, what was
        passed over fills the list up to `goal`.

        Args:
            good: scored grasps of one round.
            goal: grasps that should hold.
        """
        self._round += 1
        if len(good):
            good = good[good.score.argsort(descending=True)]
            symmetry = self._symmetry if self.strict or self._repeats else self._symmetry.trivial
            self._repeats += self._take([good[row] for row in range(len(good))], symmetry, len(good))
        self.fill(goal)

    def fill(self, goal: int) -> bool:
        """Takes what was passed over, as much as is missing to `goal`; False when nothing is taken."""
        before = len(self._tested)
        if not self.strict and self.expected < goal:
            most = math.ceil((goal - self.expected) / COLLECTOR.hold_share)
            self._repeats = self._take(self._repeats, self._symmetry.trivial, most)
        return len(self._tested) > before

    def _take(self, good: list[Grasps], symmetry: Symmetry, most: int) -> list[Grasps]:
        """Has at most `most` of `good` tested that are new; returns the others."""
        new, _, joints = self._sort(good, symmetry)
        for row in new[:most]:
            answer = self._tester.submit(passes_hold_test, self.request, good[row], FILTER.still, self._heard)
            self._tested.append(PendingGrasp(good[row], joints[row], self._round, answer))
        return [one for row, one in enumerate(good) if row not in new[:most]]

    def _sort(self, good: list[Grasps], symmetry: Symmetry) -> tuple[list[int], list[int], torch.Tensor]:
        """Rows that differ from each other and from all that hold or may hold, the other rows, and all joints."""
        if not good:
            return [], [], torch.zeros(0, 21, 3)
        with torch.no_grad():
            joints = self.request.hand(**Grasps.cat(good).parameters()).joints
        # What did not hold is no reason to drop another like it; but all runs know only what has been waited for.
        known = [one.joints for one in self._tested if one.round > self._settled or one.held]
        rows = different_grasps(torch.stack([*known, *joints]), symmetry)
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
                    self.held.append(one.grasp.with_measure("holds", torch.ones(1)))
                    self.progress.accepted(self.held[-1])

    def wait(self, everything: bool, tick: Callable[[], object]) -> None:
        """Waits for the tests of the rounds before this one.

        Args:
            everything: for this one's too.
            tick: called again and again while waiting; ends it by raising.
        """
        until = self._round if everything else self._round - 1
        while pending := [one.answer for one in self._tested if one.held is None and one.round <= until]:
            tick()
            wait_for(pending[:1], timeout=COLLECTOR.poll_seconds)
            self.collect()
        self._settled = until
        self.waited = sum(bool(one.held) for one in self._tested if one.round <= until)

    def grasps(self, name: str) -> Grasps:
        """Those that held, on a round object first those that are distinct; where few held, the best of the others.

        Args:
            name: the method that an empty batch is of.
        """
        unheld = [one.grasp.with_measure("holds", torch.zeros(1)) for one in self._tested if one.held is False]
        dropped = [replace(one, score=COLLECTOR.unheld_score * one.score) for one in unheld]
        lacking = max(0, min(COLLECTOR.few, self.request.count) - len(self.held))
        spare = sorted(dropped, key=lambda one: -float(one.score[0]))[:lacking]
        for one in spare:
            self.progress.accepted(one)
        chosen = self._distinct_held_first() + spare
        return Grasps.cat(chosen) if chosen else Grasps.empty(name, hand=self.request.hand.side)

    def _distinct_held_first(self) -> list[Grasps]:
        """All that held, or, on a round object, as many as were asked for, most of them distinct."""
        if self._symmetry.kind == "none" or len(self.held) <= self.request.count:
            return self.held
        score = torch.cat([one.score for one in self.held])
        joints = torch.stack([one.joints for one in self._tested if one.held])
        distinct = most_different(joints, self._symmetry, value=score)
        rest = [row for row in score.argsort(descending=True, stable=True).tolist() if row not in set(distinct)]
        return [self.held[row] for row in (distinct + rest)[: max(len(distinct), self.request.count)]]
