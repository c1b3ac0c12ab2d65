"""Finger bones that go through an object's surface: what a thin wall hides from every depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from core.objects import GraspObject

#: (15, 2) joints of the contract's 21 (16 of MANO, then tips thumb to little): knuckle to tip of every finger
BONES: Final = (
    (1, 2), (2, 3), (3, 17),
    (4, 5), (5, 6), (6, 18),
    (7, 8), (8, 9), (9, 20),
    (10, 11), (11, 12), (12, 19),
    (13, 14), (14, 15), (15, 16),
)  # fmt: skip
#: (5, 2) the palm: wrist to every knuckle; through a wall it is as wrong, but the protocol counts fingers alone
PALM: Final = ((0, 1), (0, 4), (0, 7), (0, 10), (0, 13))
#: metres before the tip at which its bone ends: the tip is a point of the skin, the bone lies under it, and a fingertip
#: that presses head-on is no crossing
TIP_DEPTH: Final = 0.002
#: first keypoint that is a tip; those before it are MANO's joints
FIRST_TIP: Final = 16


def bones_crossing(obj: GraspObject, joints: torch.Tensor, palm: bool = False, exact: bool = True) -> torch.Tensor:
    """How many of a hand's fifteen finger bones cross the object's surface or lie inside the object.

    Bones are the straight lines between consecutive joints of each finger, the last one ending `TIP_DEPTH` before
    the tip; each is tested against the triangles themselves (libigl), so a wall of any thinness counts.

    Args:
        obj: the object.
        joints: (N, 21, 3) metres, object frame.
        palm: the five lines from the wrist to the knuckles count as well.
        exact: whether a bone that crosses nothing lies inside is asked of the surface, not of its grid, in a tenth of
            the time: for a search through many hands.

    Returns:
        (N,) int64, 0 to 15, or to 20.
    """
    points = joints.detach().cpu().double().numpy()
    pairs = np.array((*BONES, *PALM) if palm else BONES)
    start, end = points[:, pairs[:, 0]], points[:, pairs[:, 1]].copy()
    along = end - start
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    last = (pairs[:, 1] >= FIRST_TIP)[None, :, None]
    end -= np.where(last, np.minimum(TIP_DEPTH / np.maximum(length, 1e-12), 0.5), 0.0) * along
    start, end = start.reshape(-1, 3), end.reshape(-1, 3)
    middle = (start + end) / 2
    inside = (obj.surface.inside(middle) if exact
              else (obj.grid.approximate_distance(torch.from_numpy(middle).float()) < 0).numpy())
    crossing = _crosses(obj, start, end) | _crosses(obj, end, start) | inside
    return torch.from_numpy(crossing.reshape(len(points), len(pairs)).sum(1).astype(np.int64))


def _crosses(obj: GraspObject, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(S,) bool: segments from `start` (S, 3) to `end` (S, 3) that meet the surface."""
    along = end - start
    length = np.linalg.norm(along, axis=1)
    reached, _ = obj.surface.first_hit(start, along / np.maximum(length, 1e-12)[:, None])
    return reached <= length
