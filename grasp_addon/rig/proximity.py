"""How near one surface is to another: signed closeness, and triangles cut fine enough to colour by it."""

from __future__ import annotations

from typing import Final

import numpy as np
from mathutils.bvhtree import BVHTree

INSIDE: Final = 4.0  # reaches: no deeper than this is a point held to be pressed in
STEP: Final = 0.75  # reaches: longest edge of the triangles that are cut fine
MOST: Final = 30000  # triangles


def closeness(points: np.ndarray, tree: BVHTree, sign: float, reach: float,
              normals: np.ndarray | None = None) -> np.ndarray:
    """How near points are to touching a surface.

    Args:
        points: (N, 3).
        tree: the surface, same frame.
        sign: 1 where its faces look outward, else -1.
        reach: from how far on the closeness is 0, same unit.
        normals: (N, 3) outward at the points: one that looks away touches nothing, e.g. a mug's inside behind its wall.

    Returns:
        (N,) 1 where a point touches or is pressed in, 0 from `reach` away.
    """
    found = [tree.find_nearest(point, INSIDE * reach) for point in points.tolist()]
    hits = [place for place, (on, *_) in enumerate(found) if on is not None]
    values = np.zeros(len(points))
    if hits:
        to = np.array([found[place][0] for place in hits]) - points[hits]
        distance = np.linalg.norm(to, axis=1)
        pressed_in = sign * (to * np.array([found[place][1] for place in hits])).sum(axis=1) > 0
        near = np.where(pressed_in, 1.0, 1.0 - distance / reach)
        if normals is not None:
            near[~pressed_in & ((to * normals[hits]).sum(axis=1) < -0.5 * distance)] = 0.0
        values[hits] = near
    return np.clip(values, 0.0, 1.0)


def orientation(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Which way the faces of a closed mesh look.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices.

    Returns:
        1.0 where they look outward, -1.0 where they look in.
    """
    a, b, c = (vertices - vertices.mean(axis=0))[faces].transpose(1, 0, 2)
    return -1.0 if np.einsum("ij,ij->", a, np.cross(b, c)) < 0 else 1.0


def subdivided_near(corners: np.ndarray, tree: BVHTree, reach: float) -> np.ndarray:
    """The parts of triangles near a surface, halved until their edges are short.

    Args:
        corners: (N, 3, 3) triangles.
        tree: the surface, same frame.
        reach: how near is near, same unit.

    Returns:
        (T, 3, 3) triangles with edges of at most `STEP` reaches, unless that took more than `MOST`.
    """
    done = []
    while len(corners):
        edges = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        middle = corners.mean(axis=1)
        radius = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1) + reach
        near = [tree.find_nearest(p, r)[0] is not None
                for p, r in zip(middle.tolist(), radius.tolist(), strict=True)]
        corners, edges = corners[near], edges[near]
        short = edges.max(axis=1, initial=0.0) <= STEP * reach
        done.append(corners[short])
        corners, edges = corners[~short], edges[~short]
        if sum(map(len, done)) + len(corners) > MOST:
            done.append(corners)
            break
        order = (edges.argmax(axis=1)[:, None] + np.arange(3)) % 3  # the longest edge is the first
        a, b, c = np.take_along_axis(corners, order[:, :, None], axis=1).transpose(1, 0, 2)
        half = (a + b) / 2
        corners = np.concatenate([np.stack([a, half, c], axis=1), np.stack([half, b, c], axis=1)])
    return np.concatenate(done) if done else np.empty((0, 3, 3))


def merged(corners: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles as a mesh in which equal points are one.

    Args:
        corners: (T, 3, 3) triangles.
        sign: 1 where they look outward, else -1.

    Returns:
        points: (V, 3).
        normals: (V, 3) outward.
        triangles: (T, 3) indices.
    """
    flat = np.ascontiguousarray(corners.reshape(-1, 3).astype(np.float32))
    _, first, place = np.unique(flat.view([("", np.float32)] * 3), return_index=True, return_inverse=True)
    triangles = place.reshape(-1, 3)
    return flat[first].astype(np.float64), sign * vertex_normals(corners, triangles, len(first)), triangles


def vertex_normals(corners: np.ndarray, triangles: np.ndarray, count: int) -> np.ndarray:
    """Unit normals of a mesh's points, by the areas of the triangles about them.

    Args:
        corners: (T, 3, 3) the triangles' corners.
        triangles: (T, 3) the points they are.
        count: how many points there are.

    Returns:
        (count, 3) to the side from which a triangle's corners run counter-clockwise.
    """
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack([np.bincount(triangles.ravel(), np.repeat(across[:, k], 3), count) for k in range(3)], axis=1)
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-30)
