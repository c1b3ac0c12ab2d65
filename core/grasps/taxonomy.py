"""The grasp types of Feix et al., "The GRASP Taxonomy of Human Grasp Types" (2016), that synthesis makes.

A type names the skin that should touch, the widths on which it is used, and the poses of the hand on ideal objects of
such widths: its templates, found by `scripts/build/templates.py` on cylinders, spheres, slabs and discs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch

TEMPLATES: Final = Path(__file__).with_name("templates.json")

#: contact weights of a grasp by the fingertips
TIPS: Final = {"thumb tip": 1.5, "index tip": 1.0, "middle tip": 1.0, "ring tip": 0.7, "little tip": 0.5}
#: contact weights of a grasp by the whole hand
WRAP: Final = {
    **TIPS, "palm": 1.0, "index mid": 0.7, "middle mid": 0.7, "ring mid": 0.7, "little mid": 0.5,
    "index prox": 0.5, "middle prox": 0.5, "ring prox": 0.5, "little prox": 0.3,
}


@dataclass(frozen=True)
class GraspType:
    """One type of the taxonomy.

    Attributes:
        name: the word used in requests and files.
        label: what an animator reads.
        feix: its number in the taxonomy.
        power: whether the palm or whole fingers hold (at least four hand parts in contact are asked for).
        ideal: the body it is calibrated on: cylinder, sphere, slab or disc.
        widths: (least, most) metres between the opposing sides, on which it is used.
        contact_weights: contact candidates (`core.fitting.hand_points`) that should touch, to their weights.
        dofs: 21 degrees, the posture from which the calibration starts.
        share: how often it is tried, relative to others.
        start_points: the kinds of points from which it is started: "surface", "rod" or "rim".
    """

    name: str
    label: str
    feix: int
    power: bool
    ideal: str
    widths: tuple[float, float]
    contact_weights: dict[str, float]
    dofs: tuple[float, ...]
    share: float = 1.0
    start_points: tuple[str, ...] = ("surface", "rod")


def posture(fingers: tuple[Any, ...], thumb: tuple[float, ...],
            spread: tuple[float, ...] = (0, 0, 0, 0)) -> tuple[float, ...]:
    """A posture in the order of `core.hand.articulation.DOF_NAMES`.

    Args:
        fingers: degrees of MCP, PIP and DIP, one triple for all four fingers or one for each, index to little.
        thumb: degrees of twist, spread, bend, MCP and IP.
        spread: degrees of the four fingers' spreads.

    Returns:
        21 degrees.
    """
    triples = fingers if isinstance(fingers[0], tuple) else (fingers,) * 4
    degrees: list[float] = []
    for (mcp, pip, dip), side in zip(triples, spread, strict=True):
        degrees += [mcp, side, pip, dip]
    return (*degrees, *thumb)


def _types() -> tuple[GraspType, ...]:
    fan = (10, 3, -4, -12)
    curled = (70, 70, 40)
    return (
        GraspType("large_diameter", "Large Diameter", 1, True, "cylinder", (0.055, 0.10), WRAP,
                  posture((27, 42, 34), (36, 54, 3, 8, 20), (4, 1, -2, -6))),
        GraspType("medium_wrap", "Medium Wrap", 3, True, "cylinder", (0.03, 0.06), WRAP,
                  posture((58, 46, 38), (34, 52, 6, 12, 28))),
        GraspType("small_diameter", "Small Diameter", 2, True, "cylinder", (0.012, 0.035), WRAP,
                  posture((75, 80, 50), (15, 40, 20, 15, 25))),
        GraspType("adducted_thumb", "Adducted Thumb", 4, True, "cylinder", (0.012, 0.035),
                  {**WRAP, "thumb tip": 1.0, "thumb prox": 0.5}, posture((75, 78, 48), (0, 15, 0, 5, 5)), 0.6),
        GraspType("index_extension", "Index Finger Extension", 17, True, "cylinder", (0.010, 0.032),
                  {"thumb tip": 1.5, "index tip": 1.0, "index mid": 0.5, "middle tip": 0.8, "ring tip": 0.8,
                   "little tip": 0.6, "middle mid": 0.6, "ring mid": 0.6, "little mid": 0.4, "palm": 0.8},
                  posture(((45, 18, 8), (75, 78, 48), (78, 80, 50), (80, 80, 50)), (20, 35, 15, 12, 20)), 0.6),
        GraspType("fixed_hook", "Fixed Hook", 15, True, "cylinder", (0.006, 0.035),
                  {"index mid": 1.0, "middle mid": 1.0, "ring mid": 1.0, "little mid": 0.7, "index tip": 0.8,
                   "middle tip": 0.8, "ring tip": 0.8, "little tip": 0.6, "index prox": 0.4, "middle prox": 0.4,
                   "palm": 0.5, "thumb tip": 0.4}, posture((45, 85, 50), (10, 30, 0, 5, 10)), 0.6, ("rod",)),
        GraspType("power_sphere", "Power Sphere", 11, True, "sphere", (0.045, 0.10), WRAP,
                  posture((44, 34, 26), (36, 54, 2, 8, 16), fan)),
        GraspType("power_disk", "Power Disk", 10, True, "disc", (0.05, 0.105), {**TIPS, "palm": 1.0},
                  posture((32, 42, 28), (31, 54, 1, 7, 8), fan), 0.8),
        GraspType("precision_disk", "Precision Disk", 12, False, "disc", (0.03, 0.10), TIPS,
                  posture((30, 38, 26), (32, 54, 2, 8, 12), fan), 0.8),
        GraspType("precision_sphere", "Precision Sphere", 13, False, "sphere", (0.03, 0.085), TIPS,
                  posture((38, 34, 24), (38, 54, 3, 6, 12), fan)),
        GraspType("prismatic_four", "Prismatic 4 Finger", 6, False, "cylinder", (0.0015, 0.07), TIPS,
                  posture((42, 36, 24), (45, 50, 2, 4, 10)), 1.0, ("surface", "rod", "rim")),
        GraspType("quadpod", "Quadpod", 27, False, "sphere", (0.004, 0.065),
                  {"thumb tip": 1.5, "index tip": 1.0, "middle tip": 1.0, "ring tip": 1.0},
                  posture(((38, 42, 28), (44, 42, 28), (50, 42, 28), (62, 60, 36)), (40, 52, 4, 8, 12)), 0.7,
                  ("surface", "rod", "rim")),
        GraspType("tripod", "Tripod", 14, False, "sphere", (0.002, 0.055),
                  {"thumb tip": 1.5, "index tip": 1.0, "middle tip": 1.0},
                  posture(((33, 45, 30), (48, 44, 30), curled, (75, 70, 40)), (40, 50, 6, 8, 14)), 0.8,
                  ("surface", "rod", "rim")),
        GraspType("palmar_pinch", "Palmar Pinch", 9, False, "slab", (0.001, 0.045),
                  {"thumb tip": 1.3, "index tip": 1.3},
                  posture(((60, 28, 18), (30, 42, 25), (26, 42, 25), (22, 42, 25)), (30, 42, 14, 17, 8)), 0.35,
                  ("surface", "rod", "rim")),
        GraspType("lateral", "Lateral", 16, False, "slab", (0.001, 0.028),
                  {"thumb tip": 1.5, "index side mid": 1.0, "index side tip": 0.7},
                  posture(((56, 72, 50), (75, 77, 50), (80, 77, 50), (80, 77, 50)), (0, 20, 22, 20, 20)), 0.5,
                  ("surface", "rod", "rim")),
        GraspType("parallel_extension", "Parallel Extension", 22, False, "slab", (0.004, 0.055),
                  {"thumb tip": 1.5, "index tip": 1.0, "middle tip": 1.0, "ring tip": 0.8, "little tip": 0.6,
                   "index mid": 0.5, "middle mid": 0.5, "ring mid": 0.4},
                  posture((62, 16, 10), (34, 54, 1, 10, 10)), 0.8, ("surface", "rim")),
        GraspType("extension", "Extension Type", 18, True, "slab", (0.001, 0.032),
                  {"thumb tip": 1.5, "thumb prox": 0.4, "index tip": 1.0, "middle tip": 1.0, "ring tip": 0.8,
                   "little tip": 0.6, "index mid": 0.6, "middle mid": 0.6, "ring mid": 0.5, "index prox": 0.3},
                  posture((48, 28, 14), (25, 48, 4, 10, 8)), 0.8, ("rim", "surface")),
        GraspType("writing_tripod", "Writing Tripod", 20, False, "cylinder", (0.005, 0.022),
                  {"thumb tip": 1.5, "index tip": 1.0, "middle side tip": 1.0, "middle side mid": 0.4},
                  posture(((40, 45, 25), (48, 58, 38), (62, 68, 42), (70, 70, 42)), (34, 46, 8, 14, 18)), 0.5,
                  ("rod",)),
    )


TYPES: Final = _types()
BY_NAME: Final = {grasp_type.name: grasp_type for grasp_type in TYPES}


@dataclass(frozen=True)
class Template:
    """A right hand's pose on an ideal body: everything in the hand's frame, its wrist at the origin, metres.

    Attributes:
        width: the body's width.
        dofs: (21,) radians.
        centre: (3,) the body's centre.
        facing: (3,) unit, from the centre to the side that the palm or the thumb holds.
        axis: (3,) unit, the body's long axis (the slab's long side, the disc's own axis is `facing`).
    """

    width: float
    dofs: torch.Tensor
    centre: torch.Tensor
    facing: torch.Tensor
    axis: torch.Tensor


@cache
def templates(name: str, side: str = "right") -> tuple[Template, ...]:
    """The calibrated templates of a type, by increasing width; a left hand's are mirrored across x."""
    mirror = torch.tensor([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    return tuple(
        Template(
            row["width"],
            torch.deg2rad(torch.tensor(row["dofs"], dtype=torch.float32)),
            *(torch.tensor(row[key], dtype=torch.float32) * mirror for key in ("centre", "facing", "axis")),
        )
        for row in json.loads(TEMPLATES.read_text())[name]
    )


def grasp_types() -> dict[str, str]:
    """Name to label of the grasp types a request may ask for."""
    return {grasp_type.name: grasp_type.label for grasp_type in TYPES}
