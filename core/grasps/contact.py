"""Contact: which of a hand's skin touches an object, decided here for fit, intents and metrics alike.

The papers' protocol (`core.metrics.paper`) asks with a tolerance of its own.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import torch

from core.hand.tables import PARTS

Distance = TypeVar("Distance", torch.Tensor, np.ndarray)

#: metres from an object's surface within which skin is in contact with it
CONTACT_TOLERANCE: Final = 0.002


def touches(distance: Distance, tolerance: float = CONTACT_TOLERANCE) -> Distance:
    """Whether skin is in contact.

    Args:
        distance: any shape, signed metres from the object's surface, negative inside.
        tolerance: metres; skin nearer than this touches.

    Returns:
        Booleans of the same shape.
    """
    return distance < tolerance


def touching_parts(distance: torch.Tensor, parts: torch.Tensor,
                   tolerance: float = CONTACT_TOLERANCE) -> torch.Tensor:
    """The parts of N hands that are in contact.

    Args:
        distance: (N, V) signed metres of the hands' vertices from the object's surface.
        parts: (V,) the part of each vertex (`HandModel.parts`).
        tolerance: metres, as for `touches`.

    Returns:
        (N, 6) bool, in the order of `core.hand.tables.PARTS`.
    """
    near = touches(distance, tolerance)
    return torch.stack([(near & (parts == part)).any(1) for part in range(len(PARTS))], 1)


def in_contact(parts: torch.Tensor) -> torch.Tensor:
    """(N,) bool for parts in contact (N, 6): there are two or more, and one of them is the thumb or the palm."""
    return (parts.sum(1) >= 2) & (parts[:, PARTS.index("thumb")] | parts[:, PARTS.index("palm")])
