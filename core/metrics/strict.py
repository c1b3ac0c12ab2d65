"""The strict protocol: what a grasp does to the true surface of the object, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.quality.bones import bones_crossing
from core.quality.hold import hold_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.objects.mesh_query import ExactSurface

#: metres: side of the cells that are counted, and of the blocks of cells that are looked at first
CELL: Final = 0.001
BLOCK: Final = 4
#: a part of the hand touches when a vertex of it is this near, metres
TOUCH: Final = 0.002
THUMB, PALM = 0, 5


def strict_measures(
    obj: GraspObject,
    hand: HandModel,
    grasps: Grasps,
    hold: bool = True,
    friction: float = 0.6,
    cache: Path | str | None = None,
    tell: Callable[[float], object] | None = None,
) -> dict[str, torch.Tensor]:
    """Measures N grasps by the strict protocol; nothing is rejected.

    Args:
        obj: the object, on the CPU. hand: the hand, sealed at the wrist. grasps: in the object's frame.
        hold: whether the hold test is run (most of the time), with which friction and folder of pieces.
        tell: called with the share that is done, after each grasp; ends the work by raising.

    Returns:
        volume_cm3 (N,) common volume of hand and object, counted in cubes of a millimetre; depth_mm (N,) largest
        distance to the surface over hand vertices inside the object; bones_crossing (N,) int64; parts (N, 6) bool,
        thumb to little and palm, which touch within 2 mm; contact (N,) bool, two parts or more and one of them thumb
        or palm; with `hold` also held (N,) bool and slip_cm (N,).
    """
    from core.objects.mesh_query import ExactSurface

    count = len(grasps)
    with torch.no_grad():
        posed = hand(**grasps.to(hand.v_template.device).parameters())
    vertices = posed.vertices.cpu().double().numpy()
    faces = hand.faces.cpu().numpy()
    part_of = hand.parts.cpu().numpy()
    volume, depth, parts = np.zeros(count), np.zeros(count), np.zeros((count, 6), bool)
    for index, skin in enumerate(vertices):
        distance = near_surface(obj, skin)
        depth[index] = max(0.0, -distance.min(initial=0.0))
        parts[index] = [(distance[part_of == part] <= TOUCH).any() for part in range(6)]
        volume[index] = common_volume(obj, ExactSurface(skin, faces))
        if tell is not None:
            tell((index + 1) / count * (0.5 if hold else 1.0))
    measures = {
        "volume_cm3": torch.from_numpy(volume * 1e6).float(),
        "depth_mm": torch.from_numpy(depth * 1e3).float(),
        "bones_crossing": bones_crossing(obj, posed.joints),
        "parts": torch.from_numpy(parts),
        "contact": in_contact(torch.from_numpy(parts)),
    }
    if hold:
        later = None if tell is None else lambda share: tell(0.5 + 0.5 * share)
        result = hold_test(obj, hand, grasps, friction=friction, cache=cache, progress=later)
        measures |= {"held": result.held, "slip_cm": result.slip_cm}
    return measures


def in_contact(parts: torch.Tensor) -> torch.Tensor:
    """(N,) bool for (N, 6) touching parts: two parts or more, and one of them the thumb or the palm."""
    return (parts.sum(1) >= 2) & (parts[:, THUMB] | parts[:, PALM])


def near_surface(obj: GraspObject, points: np.ndarray) -> np.ndarray:
    """Signed distance (P,) of points (P, 3): exact within `TOUCH` and inside; at least `TOUCH` elsewhere."""
    distance = np.full(len(points), np.inf)
    rows = np.nonzero(_could_be(obj, points, TOUCH))[0]
    distance[rows] = obj.surface.signed(points[rows])[0]
    return distance


def common_volume(obj: GraspObject, skin: ExactSurface) -> float:
    """Volume in m3 inside both the object and the closed surface `skin`: cell centres inside both, counted.

    Blocks of cells that are surely outside of one of the two are passed over; the rest is decided by the winding
    number of the true meshes.
    """
    low = np.maximum(obj.surface.vertices.min(0), skin.vertices.min(0))
    high = np.minimum(obj.surface.vertices.max(0), skin.vertices.max(0))
    if (low >= high).any():
        return 0.0
    side = BLOCK * CELL
    first, last = np.floor(low / side).astype(int), np.ceil(high / side).astype(int)
    axes = [np.arange(a, b) for a, b in zip(first, last)]
    blocks = (np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) + 0.5) * side
    reach = side * np.sqrt(3) / 2
    blocks = blocks[_could_be(obj, blocks, reach)]
    blocks = blocks[skin.signed(blocks)[0] <= reach]
    steps = (np.arange(BLOCK) + 0.5) * CELL - side / 2
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    cells = (blocks[:, None] + offsets).reshape(-1, 3)
    cells = cells[_could_be(obj, cells, 0.0)]
    cells = cells[skin.inside(cells)]
    return float(obj.surface.inside(cells).sum()) * CELL**3


def _could_be(obj: GraspObject, points: np.ndarray, reach: float) -> np.ndarray:
    """Which of points (P, 3) may be within `reach` of the solid: the grid errs by a cell's diagonal at most."""
    if not len(points):
        return np.zeros(0, bool)
    distance, _ = obj.grid.query(torch.from_numpy(points).float())
    return distance.cpu().numpy() <= reach + np.sqrt(3) * obj.grid.spacing
