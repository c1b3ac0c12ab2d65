"""Does a hand do what its request's intent asks? Decided here for all methods, before the fit and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.grasps.contact import CONTACT_TOLERANCE
from core.grasps.intents import Purpose
from core.hand.skin import vertex_area
from core.progress import Progress

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.grasps.request import GraspRequest


@dataclass(frozen=True)
class IntentJudgeConfig:
    """How hands are judged.

    Attributes:
        near: metres from the surface within which a proposal's skin will touch once it is fitted.
        chunk: hands at once; more do not fit into the cache.
    """

    near: float = 0.008
    chunk: int = 32


JUDGE: Final = IntentJudgeConfig()


class IntentJudge:
    """Judges grasps of one hand on one object by one intent.

    Args:
        request: object, hand and intent.

    Raises:
        LookupError: the intent needs parts that the object does not name.
    """

    def __init__(self, request: GraspRequest) -> None:
        self.purpose, self._hand = Purpose(request.object, request.intent), request.hand
        self._area = vertex_area(request.hand)

    @torch.no_grad()
    def grade(self, grasps: Grasps, tolerance: float = CONTACT_TOLERANCE,
              progress: Progress | None = None) -> torch.Tensor:
        """(N,) 1, 0.5 or 0 for N grasps: all, some or nothing of what is asked (`Purpose.grade`).

        Args:
            grasps: N grasps.
            tolerance: metres; skin nearer than this touches.
            progress: told how far it is.

        Raises:
            core.progress.Stopped: `progress` was asked to stop.
        """
        grades, progress = [torch.zeros(0)], progress or Progress()
        for begin in range(0, len(grasps), JUDGE.chunk):
            progress(begin / len(grasps))
            some = grasps[begin : begin + JUDGE.chunk]
            posed = self._hand(**some.parameters())
            distance = self.purpose.obj.grid.query(posed.vertices)[0]
            grades.append(self.purpose.grade(posed.vertices, distance, self._area, posed.joints, some.type, tolerance))
        return torch.cat(grades)

    def promise(self, proposed: Grasps, progress: Progress | None = None) -> torch.Tensor:
        """(N,) the grade that proposals have before a fit, by the skin that is near the surface; as `grade`."""
        return self.grade(proposed, JUDGE.near, progress)

    def marked(self, grasps: Grasps) -> Grasps:
        """The grasps with their grade as the measure `intent`."""
        return grasps.with_measure("intent", self.grade(grasps))
