"""The names an animator meets: bones, datablocks and shape keys, with the .L/.R that flipping depends on."""

from __future__ import annotations

from typing import Final

WRIST: Final = 0

# MANO's joint order: wrist, then index, middle, little, ring and thumb, three joints each.
BONE_STEMS: Final = (
    "hand",
    *(f"f_{finger}.{segment:02d}" for finger in ("index", "middle", "pinky", "ring") for segment in (1, 2, 3)),
    *(f"thumb.{segment:02d}" for segment in (1, 2, 3)),
)
JOINT_COUNT: Final = len(BONE_STEMS)
PARENTS: Final = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
# The parts of a hand that are kept or drawn anew, in the engine's order, and what an animator reads for each.
PARTS: Final = {"thumb": "Thumb", "index": "Index", "middle": "Middle", "ring": "Ring", "little": "Little",
                "palm": "Palm"}
# The five tips follow the sixteen joints in the order thumb, index, middle, ring, little.
TIP_OF_LAST_JOINT: Final = {15: 16, 3: 17, 6: 18, 12: 19, 9: 20}
THUMB_JOINTS: Final = (13, 14, 15)

KEY_NAME_LIMIT: Final = 63
BASIS_KEY: Final = "Open Hand"


def suffix(side: str) -> str:
    """".R" or ".L" for "right" or "left"."""
    return ".L" if side == "left" else ".R"


def bone_names(side: str) -> tuple[str, ...]:
    """The sixteen bones in MANO's joint order, e.g. `hand.R`, `f_index.01.R`, `thumb.03.R`."""
    return tuple(stem + suffix(side) for stem in BONE_STEMS)


def key_name(number: int, grasp_type: str) -> str:
    """The shape key of candidate `number` (from 1), e.g. `03 Medium Wrap`, at most 63 characters."""
    title = readable(grasp_type)
    return f"{number:02d} {title}".strip()[:KEY_NAME_LIMIT]


def readable(identifier: str) -> str:
    """`medium_wrap` as `Medium Wrap`; what has capitals already stays as it is."""
    words = identifier.replace("_", " ").replace("-", " ")
    return words.title() if words == words.lower() else words
