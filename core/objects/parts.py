"""Named parts of an object: handle, blade, mouth and the like, known at the points of its surface."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Parts:
    """The parts of a prepared object.

    Attributes:
        names: of the parts.
        of_points: (4096,) int64 index into `names` for each of `GraspObject.points`; -1 where none is named.
        types: grasp types with which the object is used, where somebody has said so.
        up: unit direction, object frame, that is up while it is used, where it has to be kept level.
    """

    names: tuple[str, ...]
    of_points: torch.Tensor
    types: tuple[str, ...] = ()
    up: tuple[float, float, float] | None = None

    def mask(self, names: set[str] | frozenset[str]) -> torch.Tensor:
        """(4096,) bool: the points that belong to any part called one of `names`."""
        wanted = torch.tensor([name in names for name in self.names] + [False])
        return wanted[self.of_points]
