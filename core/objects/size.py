"""Whether an object is of a size that a hand can grasp somewhere."""

from __future__ import annotations

from typing import Final

import numpy as np

from core.objects.errors import ObjectTooLarge, ObjectTooSmall
from core.units import HAND_LENGTH

#: metres, the widest that a hand spans
WIDEST: Final = 0.11
#: metres, longest side of the smallest object that fingertips can hold
SMALLEST: Final = 0.004
#: metres, a width that every hand grasps well
PREFERRED: Final = 0.07
#: metres, longest side of the largest object looked at: of a larger one the drawn points say nothing near a hand
LARGEST: Final = 100.0
#: metres, likewise of a sheet, such as a ground or a drawing in another unit
LARGEST_SHEET: Final = 10.0
#: metres, wall of a sheet
THIN: Final = 0.002


def check_size(extent: np.ndarray, thickness: np.ndarray, area: float) -> None:
    """Raises unless some place of an object has a width between fingers' and a hand's.

    Args:
        extent: (3,) sides of its bounding box, metres.
        thickness: (N,) local widths at points drawn by area, metres.
        area: m2.

    Raises:
        ObjectTooLarge: hardly any of its surface is narrower than a hand's span.
        ObjectTooSmall: all of it is smaller than fingertips can hold.
    """
    largest = float(np.max(extent))
    if largest < SMALLEST:
        scale = PREFERRED / max(largest, 1e-9)
        raise ObjectTooSmall(
            f"The object is too small to grasp: {_length(largest)} across, {_hands(largest)}.",
            largest, scale,
        )
    sheet = float(np.quantile(thickness, 0.9)) <= THIN
    if largest > (LARGEST_SHEET if sheet else LARGEST):
        raise ObjectTooLarge(
            f"The object is too large to grasp: {'a sheet ' if sheet else ''}{_length(largest)} across, "
            f"{_hands(largest)}.",
            largest, 1.0 / largest,
        )
    # A ray along a normal can leave a closed shape through a crack; the box bounds the width too.
    width = np.minimum(thickness, np.linalg.norm(extent))
    narrow = float((width <= WIDEST).mean())
    enough = narrow * area >= 5e-4 and (narrow >= 0.25 or largest < 3 * HAND_LENGTH)
    if not enough and float(np.min(extent)) > WIDEST * 0.8:
        typical = float(np.median(width))
        raise ObjectTooLarge(
            f"The object is too large to grasp: {_length(largest)} across, {_hands(largest)}, and hardly a place "
            f"is narrower than {_length(WIDEST)}.",
            largest, PREFERRED / typical,
        )


def _length(metres: float) -> str:
    """A length in a unit that reads well."""
    if metres >= 1:
        return f"{metres:.3g} m"
    return f"{metres * 100:.3g} cm" if metres >= 0.01 else f"{metres * 1000:.2g} mm"


def _hands(metres: float) -> str:
    """A length in hand lengths."""
    hands = metres / HAND_LENGTH
    return f"{hands:.2g} hand lengths" if hands >= 0.1 else f"1/{1 / hands:.0f} of a hand length"
