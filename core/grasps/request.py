"""What a request for grasps holds, and how work tells how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject


class Share:
    """A `Progress` that stands for a part of another's way."""

    def __init__(self, whole: Progress, begin: float, end: float) -> None:
        self.whole, self.begin, self.end = whole, begin, end

    def __call__(self, fraction: float, stage: str) -> bool:
        return self.whole(self.begin + (self.end - self.begin) * fraction, stage)

    def accepted(self, grasps: Grasps) -> None:
        """Nothing: proposals are not shown before they are fitted."""


@dataclass(frozen=True)
class GraspRequest:
    """One click of Generate Grasps.

    Attributes:
        object: what is to be grasped, prepared (centred, metres).
        hand: the hand model, of the side wanted.
        count: how many grasps are asked for, 1 to 64 from Blender.
        type: a type of `core.grasps.taxonomy`, or "any".
        intent: "any", "use", "hold", "handover" or "lift".
        betas: (10,) the animator's hand shape; zeros when None.
        start: grasps to start from, e.g. a hand the animator posed.
        place: (3,) a point on the object, object frame, metres, to grasp near.
        approach: (3,) unit direction in which the hand comes, object frame.
        fitted: the grasps are to be laid on the surface by the fit.
    """

    object: GraspObject
    hand: HandModel
    count: int
    type: str = "any"
    intent: str = "any"
    betas: torch.Tensor | None = None
    start: Grasps | None = None
    place: torch.Tensor | None = None
    approach: torch.Tensor | None = None
    fitted: bool = False

    @property
    def shape(self) -> torch.Tensor:
        """(10,) the hand's shape, zeros where none is given."""
        return torch.zeros(10) if self.betas is None else self.betas


class Progress(Protocol):
    """How a generator tells what it is doing, shows what it has, and learns that it should stop."""

    def __call__(self, fraction: float, stage: str) -> bool:
        """Report `fraction` (0..1) of the work done, in `stage` (a few words for the animator).

        Returns False when the work should stop: the generator then returns what it has.
        Called at least four times a second of work, so that a cancel takes effect at once; maybe from other threads
        than the one that asked for the work, but by one at a time.
        """

    def accepted(self, grasps: Grasps) -> None:
        """Grasps that are good already, to be shown before the rest is done."""
