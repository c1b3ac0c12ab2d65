"""The strict protocol: what a grasp does to the true surface of the object, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.grasps.contact import CONTACT_TOLERANCE, in_contact, touching_parts
from core.objects.mesh_query import ExactSurface
from core.progress import Progress
from core.quality.bones import bones_crossing
from core.quality.hold import hold_test

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: metres: side of the cells that are counted
CELL: Final = 0.001
#: cells along the side of the blocks that are tested first
BLOCK: Final = 4


def strict_measures(
    obj: GraspObject,
    hand: HandModel,
    grasps: Grasps,
    hold: bool = True,
    friction: float = 0.6,
    cache: Path | str | None = None,
    progress: Progress | None = None,
) -> dict[str, torch.Tensor]:
    """Measures N grasps by the strict protocol; nothing is rejected.

    Args:
        obj: the object, on the CPU.
        hand: the hand, closed at the wrist.
        grasps: in the object's frame.
        hold: whether the hold test is run (most of the time).
        friction: its coefficient.
        cache: folder of its convex pieces; None is the user's cache folder.
        progress: told after each grasp; None hears nothing.

    Returns:
        Name to (N,) values:

        - volume_cm3: common volume of hand and object, counted in cubes of a millimetre.
        - depth_mm: the largest distance to the surface over hand vertices inside the object.
        - bones_crossing: int64, see `core.quality.bones`.
        - parts: (N, 6) bool, the parts (`core.hand.tables.PARTS`) that are in contact (`core.grasps.contact`).
        - contact: bool, two parts or more are, and one of them is thumb or palm.
        - held: bool, and slip_cm: with `hold`, see `core.quality.hold`.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    surface_progress, hold_progress = progress.sub(0.0, 0.5 if hold else 1.0), progress.sub(0.5, 1.0)
    count = len(grasps)
    with torch.no_grad():
        posed = hand(**grasps.to(hand.v_template.device).parameters())
    faces, part_of = hand.faces.cpu().numpy(), hand.parts.cpu()
    volume, depth, parts = np.zeros(count), np.zeros(count), torch.zeros(count, 6, dtype=torch.bool)
    for row, vertices in enumerate(posed.vertices.cpu().double().numpy()):
        distance = near_surface(obj, vertices)
        depth[row] = max(0.0, -distance.min(initial=0.0))
        parts[row] = touching_parts(torch.from_numpy(distance)[None], part_of)[0]
        volume[row] = common_volume(obj, ExactSurface(vertices, faces))
        surface_progress((row + 1) / count)
    measures = {
        "volume_cm3": torch.from_numpy(volume * 1e6).float(),
        "depth_mm": torch.from_numpy(depth * 1e3).float(),
        "bones_crossing": bones_crossing(obj, posed.joints),
        "parts": parts,
        "contact": in_contact(parts),
    }
    if hold:
        result = hold_test(obj, hand, grasps, friction=friction, cache=cache, progress=hold_progress)
        measures |= {"held": result.held, "slip_cm": result.slip_cm}
    return measures


def near_surface(obj: GraspObject, points: np.ndarray) -> np.ndarray:
    """Signed distance of points, exact where it matters for contact and depth.

    Args:
        obj: the object.
        points: (P, 3) metres, object frame.

    Returns:
        (P,) metres, negative inside; exact within `CONTACT_TOLERANCE` and inside, inf where it is surely more.
    """
    distance = np.full(len(points), np.inf)
    rows = np.nonzero(_could_be(obj, points, CONTACT_TOLERANCE))[0]
    distance[rows] = obj.surface.signed(points[rows])[0]
    return distance


def common_volume(obj: GraspObject, hand_surface: ExactSurface) -> float:
    """The volume inside both the object and a closed surface: cells are counted whose centres are inside both.

    Blocks of cells that are surely outside of one of the two are passed over; the rest is decided by the winding
    number of the true meshes.

    Args:
        obj: the object.
        hand_surface: closed, in the object's frame, metres.

    Returns:
        m3.
    """
    low = np.maximum(obj.surface.vertices.min(0), hand_surface.vertices.min(0))
    high = np.minimum(obj.surface.vertices.max(0), hand_surface.vertices.max(0))
    if (low >= high).any():
        return 0.0
    side = BLOCK * CELL
    first, last = np.floor(low / side).astype(int), np.ceil(high / side).astype(int)
    axes = [np.arange(a, b) for a, b in zip(first, last)]
    blocks = (np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) + 0.5) * side
    reach = side * np.sqrt(3) / 2
    blocks = blocks[_could_be(obj, blocks, reach)]
    blocks = blocks[hand_surface.signed(blocks)[0] <= reach]
    steps = (np.arange(BLOCK) + 0.5) * CELL - side / 2
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    cells = (blocks[:, None] + offsets).reshape(-1, 3)
    cells = cells[_could_be(obj, cells, 0.0)]
    cells = cells[hand_surface.inside(cells)]
    return float(obj.surface.inside(cells).sum()) * CELL**3


def _could_be(obj: GraspObject, points: np.ndarray, reach: float) -> np.ndarray:
    """(P,) bool: points (P, 3) that may be within `reach` metres of the solid; the grid errs by a cell's diagonal."""
    if not len(points):
        return np.zeros(0, bool)
    distance, _ = obj.grid.query(torch.from_numpy(points).float())
    return distance.cpu().numpy() <= reach + np.sqrt(3) * obj.grid.spacing
