"""`synthesis`: grasps by optimisation alone, without training data.

Templates of the grasp taxonomy are laid on the object, closed on it by gradient descent and checked against its exact
surface. It makes the training grasps of the learned generators and needs no weights but the hand's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from core.grasps import Grasps
from core.synthesis.checks import Checked, check
from core.synthesis.optimise import Closer
from core.synthesis.probe import HandProbe
from core.synthesis.starts import StartMaker
from core.synthesis.taxonomy import BY_NAME

if TYPE_CHECKING:
    from core.generators.base import GraspRequest, Progress
    from core.synthesis.optimise import Poses

FIRST_ROUND, ROUND, MOST_ROUNDS = 20, 48, 6
DIFFERENT = 0.03  # metres of mean joint distance under which two grasps are the same


class Synthesis:
    """The optimiser behind the generators' interface."""

    name = "synthesis"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Grasps:
        """About twice as many accepted grasps as asked for, where the object allows, scored.

        Raises:
            LookupError: when no place on the object fits a hand.
        """
        hand, obj = request.hand, request.object
        betas = torch.zeros(10) if request.betas is None else request.betas
        if not progress(0.01, "Reading the hand and the object"):
            return Grasps.empty(self.name, hand=hand.side)
        probe = HandProbe(hand, betas)
        closer = Closer(hand, probe, betas, obj)
        maker = StartMaker(obj, closer, request, rng)
        kinds = maker.usable()
        if not kinds:
            raise LookupError("no part of this object has a width that a hand can hold")
        goal = round(1.6 * request.count) + 2
        found: list[Grasps] = []
        rounds = MOST_ROUNDS + request.count // 8
        for turn in range(rounds):
            size = FIRST_ROUND if turn == 0 else ROUND
            kept = sum(len(part) for part in found)

            def go_on(fraction: float, turn: int = turn, kept: int = kept) -> bool:
                done = max((turn + fraction) / rounds, kept / goal)
                return progress(min(0.97, done), f"Closing hands on the object ({kept} good so far)")

            if not go_on(0.0):
                break
            poses = maker.make(size, kinds, sample=32 if turn == 0 else 72)
            poses, energy = closer.run(poses, go_on=go_on)
            good = self._accept(request, closer, poses, energy)
            fresh = self._new(good, found, hand)
            if len(fresh):
                found.append(fresh)
                progress.accepted(fresh)
            if sum(len(part) for part in found) >= goal:
                break
        return Grasps.cat(found) if found else Grasps.empty(self.name, hand=hand.side)

    def _accept(self, request: GraspRequest, closer: Closer, poses: Poses, energy: torch.Tensor) -> Grasps:
        checked = check(request.object, closer, poses)
        rows = checked.accepted.nonzero()[:, 0]
        if len(rows) == 0:
            return Grasps.empty(self.name, hand=request.hand.side)
        grasps = closer.grasps(poses[rows], self.name, 0)
        return replace(grasps, score=score(checked, poses)[rows], measures={
            "overlap_cm3": checked.overlap_cm3[rows], "depth_mm": checked.depth_mm[rows],
            "contacts": checked.parts[rows].sum(1).float()})

    @staticmethod
    def _new(good: Grasps, found: list[Grasps], hand: torch.nn.Module) -> Grasps:
        """Those of `good` that differ from each other and from all in `found`; better ones first."""
        if len(good) == 0:
            return good
        good = good[good.score.argsort(descending=True)]
        with torch.no_grad():
            joints = hand(**good.parameters()).joints
            seen = [hand(**part.parameters()).joints for part in found]
        known = list(torch.cat(seen)) if seen else []
        rows = []
        for i, mine in enumerate(joints):
            if all((mine - other).norm(dim=-1).mean() >= DIFFERENT for other in known):
                rows.append(i)
                known.append(mine)
        return good[torch.tensor(rows, dtype=torch.long)]


def score(checked: Checked, poses: Poses) -> torch.Tensor:
    """(N,) 0 to 100: holding, touching with what the type asks for, lying on the surface, looking relaxed."""
    power = torch.tensor([BY_NAME[name].power for name in poses.types])
    parts = checked.parts.sum(1) / torch.where(power, 6.0, 4.0)
    hold = 1 - (checked.residual / 0.1).clamp(0, 1)
    surface = (1 - checked.depth_mm / 3).clamp(0, 1) * (1 - checked.overlap_cm3).clamp(0, 1)
    relaxed = (1 - checked.unnatural / 30).clamp(0, 1)
    return 100 * (0.3 * parts.clamp_max(1) + 0.2 * hold + 0.25 * surface + 0.25 * relaxed)
