"""What every generator takes and gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from core.fitting.proposal import Proposal
    from core.generators.imagination import ImaginationRequest, Imagined
    from core.grasps.batch import Grasps
    from core.grasps.request import GraspRequest
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.progress import Progress


class Generator(Protocol):
    """A grasp generator, on the device it was put on.

    Attributes:
        name: the word used in requests.
    """

    name: str

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Proposal:
        """Proposes grasps.

        Args:
            request: object, hand, count and conditions.
            rng: everything random is drawn from it; on the processor.
            progress: told how far it is; may show grasps that are good already.

        Returns:
            Grasps in the object's frame, batched, and the field that they were predicted by, if any.

        Raises:
            LookupError: the object has no place for what is asked for; the sentence says why.
            core.progress.Stopped: the work was asked to stop.
        """


class RefiningGenerator(Generator, Protocol):
    """A generator that makes better hands of rough ones too (`core.registry.Method.refines`)."""

    def refine(self, obj: GraspObject, hand: HandModel, grasps: Grasps, rng: torch.Generator,
               progress: Progress) -> Proposal:
        """Refines noisy hands, keeping their shapes.

        Args:
            obj: the object.
            hand: of the grasps' side.
            grasps: N grasps in the object's frame.
            rng: everything random is drawn from it; on the processor.
            progress: told how far it is.

        Returns:
            N grasps in the object's frame, in the order given, and the field that they lie in.

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """


class ImaginingGenerator(Generator, Protocol):
    """A generator that makes objects with hands on them, too (`core.registry.Method.imagines`)."""

    def imagine(self, request: ImaginationRequest, rng: torch.Generator, progress: Progress) -> list[Imagined]:
        """Objects that nobody modelled, each with a hand on it.

        Args:
            request: how many, and of what kind.
            rng: everything random is drawn from it; on the processor.
            progress: told how far it is.

        Returns:
            At most as many as were asked for; fewer where too many of those that were drawn fit no hand.

        Raises:
            core.progress.Stopped: the work was asked to stop.
        """
