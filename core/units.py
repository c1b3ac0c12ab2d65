"""Units of length, and the hand length that a scene's is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final


HAND_LENGTH: Final = 0.19  # metres: what a scene's hand length is compared with
