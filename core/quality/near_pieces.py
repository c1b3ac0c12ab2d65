"""The convex pieces of an object that a hand can touch: of a large and detailed one they are made where hands come.

What lies elsewhere touches no hand, and a metre of it costs ten times what a mug does. The surface's patches are
sorted into cells of space; a cell's patches become pieces when the first hand comes near it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from core.progress import Progress
from core.quality.convex_decomposition import (
    ConvexPieces,
    alone,
    convex_body,
    convex_pieces,
    flat_patches,
    kept_pieces,
    mass_properties,
    patch_hulls,
)

if TYPE_CHECKING:
    from pathlib import Path

    from core.objects import GraspObject


@dataclass(frozen=True)
class NearConfig:
    """Which objects are made into pieces near hands alone, and how near; all lengths in metres.

    Attributes:
        reach: longest side of the largest object that is always made into pieces as a whole.
        few: patches of a surface up to which a larger object is, too: a mug has 300.
        cell: side of a cell.
        margin: from a hand to a cell that is left out; an object is dropped before it has moved by that.
        kept: objects whose patches are remembered.
    """

    reach: float = 0.2
    few: int = 600
    cell: float = 0.06
    margin: float = 0.025
    kept: int = 4


NEAR: Final = NearConfig()


@dataclass(frozen=True)
class Cells:
    """The patches of a surface, sorted by where they are.

    Attributes:
        patches: for each of C cells the faces of its patches, as indices.
        names: of the cells, by their place.
        low: (C, 3) least corners of the boxes around the cells' patches, metres, object frame.
        high: (C, 3) largest corners.
        centre: (3,) centre of mass of the whole object, metres.
        inertia: (3, 3) of the whole object, m2.
        made: the pieces of cells that were asked for, by their number.
    """

    patches: list[list[np.ndarray]]
    names: list[str]
    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    inertia: np.ndarray
    made: dict[int, ConvexPieces] = field(default_factory=dict)

    def near(self, points: np.ndarray) -> list[int]:
        """The cells within `margin` of one of the points (P, 3); at least the nearest."""
        gap = np.maximum(self.low[:, None] - points, points - self.high[:, None]).clip(0.0)
        distance = np.linalg.norm(gap, axis=2).min(1)
        return np.flatnonzero(distance <= max(NEAR.margin, float(distance.min()))).tolist()


_CELLS: Final[OrderedDict[str, Cells | None]] = OrderedDict()


def pieces_near(obj: GraspObject, points: np.ndarray, cache: Path | str | None = None,
                progress: Progress | None = None) -> ConvexPieces:
    """The pieces of an object around points; all of them where it is small or its surface simple.

    Which cells are near, and so the pieces, depend on the object and the points alone.

    Args:
        obj: the object.
        points: (P, 3) of hands, metres, object frame.
        cache: as for `convex_pieces`.
        progress: told how far it is where pieces are made; None hears nothing.

    Returns:
        The pieces, with the mass properties of the whole object.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    cells = cells_of(obj, progress.sub(0.0, 0.2))
    if cells is None:
        return convex_pieces(obj, cache, progress)
    near = cells.near(points)
    for place, number in enumerate(near):
        if number not in cells.made:
            part = progress.sub(0.2 + 0.8 * place / len(near), 0.2 + 0.8 * (place + 1) / len(near))
            cells.made[number] = kept_pieces(f"{obj.digest}-{cells.names[number]}", cache, part,
                                             partial(_pieces_of, obj, cells, number))
    hulls = tuple(hull for number in near for hull in cells.made[number].hulls)
    return ConvexPieces(hulls, cells.centre, cells.inertia)


def cells_of(obj: GraspObject, progress: Progress | None = None) -> Cells | None:
    """The cells of a large object with a detailed surface; None where all is made into pieces at once.

    Args:
        obj: the object.
        progress: told how far it is; None hears nothing.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    if float(obj.extent.max()) <= NEAR.reach:
        return None
    with alone(progress or Progress()):
        if obj.digest not in _CELLS:
            _CELLS[obj.digest] = _sorted_into_cells(obj, progress or Progress())
            while len(_CELLS) > NEAR.kept:
                _CELLS.popitem(last=False)
        _CELLS.move_to_end(obj.digest)
        return _CELLS[obj.digest]


def _sorted_into_cells(obj: GraspObject, progress: Progress) -> Cells | None:
    progress(0.0)
    if convex_body(obj) is not None:
        return None
    patches = flat_patches(obj.surface.vertices, obj.surface.faces, obj.surface.face_normals, progress)
    if len(patches) <= NEAR.few:
        return None
    corners = obj.surface.vertices[obj.surface.faces]
    low, high = (np.stack([side(corners[patch], (0, 1)) for patch in patches]) for side in (np.min, np.max))
    cell, of_patch = np.unique(np.floor((low + high) / (2 * NEAR.cell)).astype(int), axis=0, return_inverse=True)
    rows = [np.flatnonzero(of_patch.reshape(-1) == number) for number in range(len(cell))]
    return Cells(
        [[patches[row] for row in mine] for mine in rows], ["_".join(map(str, place)) for place in cell.tolist()],
        np.stack([low[mine].min(0) for mine in rows]), np.stack([high[mine].max(0) for mine in rows]),
        *mass_properties(obj))


def _pieces_of(obj: GraspObject, cells: Cells, number: int, progress: Progress) -> ConvexPieces:
    """The pieces of one cell; another thread may have made them while this one waited."""
    if number in cells.made:
        return cells.made[number]
    return ConvexPieces(tuple(patch_hulls(obj, cells.patches[number], progress)), cells.centre, cells.inertia)
