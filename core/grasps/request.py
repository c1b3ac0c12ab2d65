"""What a request for grasps holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject


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
        approach: (3,) unit direction in which the hand approaches, object frame.
        fitted: the grasps will be fitted to the surface (`core.fitting.fit`).
        keep: which of `core.hand.tables.PARTS` of the first hand of `start` are kept, while the others are drawn anew
            where that hand is ("keep the thumb, try other fingers"); only of methods that hold parts.
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
    keep: tuple[bool, ...] | None = None

    @property
    def shape(self) -> torch.Tensor:
        """(10,) the hand's shape, zeros where none is given."""
        return torch.zeros(10) if self.betas is None else self.betas
