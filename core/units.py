"""Units of length, and the length of the hand."""

from __future__ import annotations

from typing import Final

#: unit to metres
UNITS: Final = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
#: metres from an adult's wrist to the middle fingertip, with which a scene's hand length is compared
HAND_LENGTH: Final = 0.19
