"""What every generator takes and gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.grasps.request import GraspRequest, Progress


class Generator(Protocol):
    """A grasp generator, on the device it was put on."""

    name: str

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Grasps:
        """Grasps for the request, batched; everything random is drawn from `rng`."""
