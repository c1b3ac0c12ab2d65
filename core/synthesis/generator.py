"""`synthesis`: grasps by optimisation alone, without training data.

Templates of the grasp taxonomy are laid on the object, closed on it by gradient descent and checked against its exact
surface. It makes the training grasps of the learned generators and needs no weights but the hand's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.descent import QUICK, STAGES, minimise
from core.fitting.energy import GraspEnergy
from core.fitting.hand_points import HandPoints
from core.fitting.proposal import Proposal
from core.grasps.batch import Grasps
from core.progress import Progress
from core.quality.intent import IntentJudge
from core.quality.surface import score_surface
from core.synthesis.acceptance import check
from core.synthesis.candidates import CandidateCollector
from core.synthesis.starts import StartSampler

if TYPE_CHECKING:
    from core.fitting.poses import Poses
    from core.grasps.request import GraspRequest


@dataclass(frozen=True)
class RoundConfig:
    """How many hands are tried.

    Attributes:
        first: hands of the first round, which should appear soon.
        first_sample: sites of each kind, of each type, that the first round's starts are ranked from.
        hands: of every other round.
        most: rounds where eight grasps or fewer are asked for; one more for each eight.
        more: rounds more on a round object where few that hold are distinct.
        distinct_starts: starts for each hand of a round, where distinct ones are looked for.
        distinct_sample: sites of each kind that those are ranked from.
        last_share: of the progress that the rounds take at most.
    """

    first: int = 10
    first_sample: int = 24
    hands: int = 48
    most: int = 10
    more: int = 6
    distinct_starts: int = 3
    distinct_sample: int = 96
    last_share: float = 0.97


ROUNDS: Final = RoundConfig()


class Synthesis:
    """The optimiser behind the generators' interface.

    Args:
        device: where hands are closed; starts are found, and what comes out is checked, on the processor.
    """

    name = "synthesis"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Proposal:
        """A few more good grasps than asked for, where the object allows, scored.

        Args:
            request: object, hand, count and conditions.
            rng: all that is random comes from it.
            progress: told how far it is; shown each grasp when it has passed.

        Raises:
            LookupError: no place on the object fits a hand.
            Stopped: `progress` was asked to stop; what it was shown stands.
        """
        progress(0.01, "Reading the hand and the object")
        with CandidateCollector(request, progress) as collector:
            self._fill(request, rng, progress, collector)
            return Proposal(collector.grasps(self.name))

    def _fill(self, request: GraspRequest, rng: torch.Generator, progress: Progress,
              collector: CandidateCollector) -> None:
        """Rounds of optimising and checking until enough hold, or the rounds are over."""
        betas = request.shape
        energy = GraspEnergy(request.hand, HandPoints(request.hand, betas), betas, request.object)
        on_device = energy.to(self.device)
        judge = None if request.intent == "any" else IntentJudge(request)
        sampler = StartSampler(request.object, energy, request, rng)
        types = sampler.usable()
        if not types:
            raise LookupError("no part of this object has a width that a hand can hold" + (
                ": it is a surface without thickness, so give it one (in Blender: a Solidify modifier)"
                if request.object.shell else ""))
        goal = request.count
        rounds = ROUNDS.most + request.count // 8
        lacking = False
        for number in range(rounds + ROUNDS.more):
            if number >= rounds and not lacking:
                return

            def tick(fraction: float, stage: str = "", number: int = number) -> None:
                collector.collect()
                good = len(collector.held)
                done = max((number + fraction) / rounds, good / goal)
                progress(min(ROUNDS.last_share, done), f"Closing hands on the object ({good} good so far)")

            tick(0.0)
            if number == 0:
                starts = sampler.sample(ROUNDS.first, types, ROUNDS.first_sample)
            elif collector.strict or lacking:
                many = sampler.sample(ROUNDS.distinct_starts * ROUNDS.hands, types, ROUNDS.distinct_sample)
                starts = collector.distinct_first(many, energy, ROUNDS.hands)
            else:
                starts = sampler.sample(ROUNDS.hands, types)
            stages = QUICK if number == 0 else STAGES
            poses, _ = minimise(on_device, starts.to(self.device), stages, Progress(tick))
            collector.add(self.passing(request, energy, poses.to("cpu"), judge), goal)
            # What is waited for depends on counts alone, never on time: a seed repeats its result.
            everything = collector.expected >= goal or number == 0 or number >= rounds - 1
            collector.wait(everything, lambda: tick(1.0))
            while everything and collector.fill(goal):
                collector.wait(True, lambda: tick(1.0))
            if everything:
                lacking = collector.lacks_distinct()
                if collector.waited >= goal and not lacking:
                    return

    def passing(self, request: GraspRequest, energy: GraspEnergy, poses: Poses, judge: IntentJudge | None) -> Grasps:
        """The poses that pass `core.synthesis.acceptance` and do what the intent asks, scored.

        Args:
            request: its object and hand.
            energy: of the hand on the object, on the processor.
            poses: optimised hands, on the processor.
            judge: of the request's intent; None where nothing is asked.
        """
        checked = check(request.object, energy, poses)
        rows = checked.accepted.nonzero()[:, 0]
        if len(rows) and judge is not None:
            rows = rows[judge.grade(energy.grasps(poses[rows], self.name, 0)) == 1]
        if len(rows) == 0:
            return Grasps.empty(self.name, hand=request.hand.side)
        grasps = energy.grasps(poses[rows], self.name, 0)
        score = score_surface(checked.surface, poses.types, checked.unnatural)[rows]
        return replace(grasps, score=score, measures=checked.surface[rows].measures())
