"""A surface of any number of triangles, made ready once so that its part near a hand is found fast.

What is finer than a colour needs is thinned out (a scan has millions of triangles), and what is left is sorted into
cells of space; large triangles into large cells.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .proximity import INSIDE, orientation, vertex_normals

CELL: Final = 0.5  # reaches: what lies within a cell of this size, and looks the same way, becomes one point
SPARSE: Final = 20000  # triangles: up to so many are taken as they are
CELLS: Final = 1 << 20  # along an axis


class NearSurface:
    """A surface made ready.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices.
        reach: how near is near, same unit.

    Attributes:
        sign: 1 where the faces look outward, else -1.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, reach: float) -> None:
        self._reach = reach
        if len(faces) > SPARSE:
            vertices, faces = thinned(vertices, faces, CELL * reach)
        self._vertices, self._faces = vertices, faces
        self.sign = orientation(vertices, faces)
        self._levels: list[tuple[float, np.ndarray, np.ndarray]] = []
        if len(self._faces) > SPARSE:
            self._sort()

    def near(self, points: np.ndarray) -> np.ndarray:
        """The triangles near points.

        Args:
            points: (N, 3).

        Returns:
            (T, 3, 3) all that come nearer than `INSIDE` reaches to one, and others; thinned out further where they are
            more than `SPARSE`.
        """
        if not self._levels:
            return self._close(self._vertices[self._faces], points)
        rows = [np.empty(0, np.int64)]
        for size, keys, order in self._levels:
            around = _around(points, size, self._low)
            first, last = np.searchsorted(keys, around, "left"), np.searchsorted(keys, around, "right")
            rows += [order[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True) if b > a]
        corners = self._close(self._vertices[self._faces[np.concatenate(rows)]].astype(np.float64), points)
        cell = CELL * self._reach
        while len(corners) > SPARSE:
            cell *= 1.5
            flat, faces = corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3)
            flat, faces = thinned(flat, faces, cell)
            corners = flat[faces]
        return corners

    def _close(self, corners: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Those of (M, 3, 3) triangles that may be nearer than `INSIDE` reaches to one of the points."""
        deep = INSIDE * self._reach
        low, high = corners.min(axis=1), corners.max(axis=1)
        near = (high >= points.min(axis=0) - deep).all(axis=1) & (low <= points.max(axis=0) + deep).all(axis=1)
        corners, low, high = corners[near], low[near], high[near]
        large = ((high - low) > self._reach).any(axis=1)
        return corners[large | among((low + high) / 2, points, deep + self._reach)]

    def _sort(self) -> None:
        """Puts each triangle into a cell at least twice as large as it is, and than the depth that counts."""
        corners = self._vertices[self._faces]
        self._low = self._vertices.min(axis=0).astype(np.float64)
        middle, extent = corners.mean(axis=1), np.ptp(corners, axis=1).max(axis=1)
        smallest = max(2 * INSIDE * self._reach, float(np.ptp(self._vertices, axis=0).max()) / (CELLS / 2))
        level = np.ceil(np.log2(np.maximum(2 * extent / smallest, 1.0))).astype(np.int64)
        self._vertices = self._vertices.astype(np.float32)
        for number in np.unique(level).tolist():
            rows, size = np.nonzero(level == number)[0], smallest * 2.0**number
            keys = _keys(np.floor((middle[rows] - self._low) / size).astype(np.int64))
            order = keys.argsort(kind="stable")
            self._levels.append((size, keys[order], rows[order].astype(np.int32)))


def thinned(vertices: np.ndarray, faces: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """A surface with its points merged that lie in one cell and look the same way.

    The two sides of a thin wall look apart and stay two.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices.
        cell: how large a cell is, same unit.

    Returns:
        vertices: (W, 3) the means of those merged.
        faces: (G, 3) indices; those that still have three corners, each once.
    """
    low = vertices.min(axis=0)
    cell = max(cell, float(np.ptp(vertices, axis=0).max()) / (CELLS / 2))
    normals = vertex_normals(vertices[faces], faces, len(vertices))
    axis = np.abs(normals).argmax(axis=1)
    side = 2 * axis + (normals[np.arange(len(normals)), axis] < 0)
    places = np.floor((vertices - low) / cell).astype(np.int64)
    keys = (_keys(places) << 3) + side
    _, label = np.unique(keys, return_inverse=True)
    label = label.ravel()
    count = np.bincount(label)
    points = np.stack([np.bincount(label, vertices[:, k]) / count for k in range(3)], axis=1)
    merged = label[faces]
    a, b, c = merged.T
    merged = merged[(a != b) & (b != c) & (c != a)]
    first = merged.argmin(axis=1)[:, None]
    merged = np.take_along_axis(merged, (first + np.arange(3)) % 3, axis=1)  # the same triangle has the same row
    if len(points) < CELLS:
        merged = merged[np.unique(_keys(merged), return_index=True)[1]]
    elif len(merged):
        rows = merged[np.lexsort(merged.T)]
        merged = rows[np.append(True, (rows[1:] != rows[:-1]).any(axis=1))]
    return points, merged


def among(places: np.ndarray, points: np.ndarray, size: float) -> np.ndarray:
    """Which places are near points.

    Args:
        places: (M, 3).
        points: (N, 3).
        size: how near is near, same unit.

    Returns:
        (M,) bool: True for all that are nearer than `size` to a point, and for some up to 3.5 times as far.
    """
    low = points.min(axis=0) - 2 * size
    inside = ((places >= low) & (places <= points.max(axis=0) + 2 * size)).all(axis=1)
    rows = np.nonzero(inside)[0]
    keys, around = _keys(np.floor((places[rows] - low) / size).astype(np.int64)), _around(points, size, low)
    found = np.zeros(len(places), bool)
    found[rows] = around[np.searchsorted(around, keys).clip(max=len(around) - 1)] == keys
    return found


def _around(points: np.ndarray, size: float, low: np.ndarray) -> np.ndarray:
    """The sorted keys of the cells that hold points, and of those about them."""
    held = np.unique(np.floor((points - low) / size).astype(np.int64), axis=0)
    about = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    every = (held[:, None] + about).reshape(-1, 3)
    return np.unique(_keys(every[((every >= 0) & (every < CELLS)).all(axis=1)]))


def _keys(places: np.ndarray) -> np.ndarray:
    """(N,) a number for each cell (N, 3), counted from 0."""
    return (places[:, 0] * CELLS + places[:, 1]) * CELLS + places[:, 2]
