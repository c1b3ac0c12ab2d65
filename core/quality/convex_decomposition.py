"""An object as convex pieces that lie on its surface, for physics; kept in a cache folder.

Measured on the project's objects, general convex decompositions are too coarse for a fingertip: on a bowl with a wall
of 0.9 mm, vhacdx fills 25 mm of the cavity with 32 hulls, and coacd thickens the wall by 5 mm with 32 hulls (17 s)
and by 2 mm with 128 (58 s). What touches is only the surface, so here the surface is cut into nearly flat patches,
each as deep as half the wall under it, at most `DEEPEST`.
"""

from __future__ import annotations

import contextlib
import threading
import zipfile
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.files import save_arrays, user_cache

if TYPE_CHECKING:
    from scipy.spatial import ConvexHull

    from core.objects import GraspObject

#: height of a patch over its plane, metres: the hulls fill no hollow deeper than this
FLAT: Final = 0.0015
#: cosine between a patch's plane and its triangles
FACING: Final = 0.8
DEEPEST: Final = 0.005
#: a patch that lies inside another's body by this is left out
COVERED: Final = 0.0003
THINNEST: Final = 0.00025
_SPREADS: Final = {
    1: np.full((1, 3), 1 / 3),
    **{n: np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n for n in (3, 8)},
}
VERSION: Final = 2
_CUTTING: Final = threading.Lock()


@dataclass(frozen=True)
class Pieces:
    """Convex bodies that together have an object's surface, and the solid's mass properties for one kilogram.

    Attributes:
        hulls: each (P, 3) corners of a convex body, metres, object frame.
        centre: (3,) centre of mass. inertia: (3, 3) about it, m2.
    """

    hulls: tuple[np.ndarray, ...]
    centre: np.ndarray
    inertia: np.ndarray


def convex_pieces(obj: GraspObject, cache: Path | str | None = None) -> Pieces:
    """The pieces of `obj`, from the cache where they are there.

    Args:
        obj: the object.
        cache: a folder; None is the user's cache folder. A folder that cannot be written to is done without.
    """
    folder = user_cache("pieces") if cache is None else Path(cache)
    path = folder / f"{obj.digest}-{VERSION}.npz"
    kept = _read(path)
    if kept is None:
        with _CUTTING:  # hands that are tested side by side wait for one set of pieces
            kept = _read(path)
            if kept is None:
                kept = cut(obj)
                _write(path, kept)
    return kept


def cut(obj: GraspObject) -> Pieces:
    """The pieces of `obj`, made anew: one hull where the object is convex, patches of its surface elsewhere."""
    vertices, faces = obj.surface.vertices, obj.surface.faces
    centre, inertia = mass_properties(obj)
    whole = _hull(vertices)
    if whole is not None and _bulge(obj, vertices[whole.simplices]) <= FLAT:
        return Pieces((vertices[whole.vertices],), centre, inertia)
    normals = obj.surface.face_normals
    middles = vertices[faces].mean(1)
    depth, _ = obj.surface.first_hit(middles - 1e-6 * normals, -normals)
    depth = np.clip(depth / 2, THINNEST, DEEPEST)
    hulls: list[np.ndarray] = []
    planes, lows, highs = [], [], []
    waiting = flat_patches(vertices, faces, normals)
    waiting.sort(key=len)
    while waiting:
        patch = waiting.pop()
        top = vertices[np.unique(faces[patch])]
        low, high = (np.array(sides).reshape(-1, 3) for sides in (lows, highs))
        around = (low <= top.min(0) + COVERED) & (high >= top.max(0) - COVERED)
        if any((top @ planes[k][:, :3].T + planes[k][:, 3]).max() < COVERED for k in np.nonzero(around.all(1))[0]):
            continue
        normal = _plane_normal(vertices, faces[patch])
        flat = top - np.outer((top - top.mean(0)) @ normal, normal)
        if len(patch) > 1 and _spans_a_hollow(obj, flat, normal):
            waiting += _halves(patch, middles)
            continue
        corners = np.concatenate([top, top - np.quantile(depth[patch], 0.1) * normal])
        hull = _hull(corners)
        if hull is not None:
            hulls.append(corners[hull.vertices])
            planes.append(hull.equations)
            lows.append(corners.min(0))
            highs.append(corners.max(0))
    return Pieces(tuple(merge(obj, hulls)), centre, inertia)


def merge(obj: GraspObject, hulls: list[np.ndarray]) -> list[np.ndarray]:
    """Joins convex bodies (P, 3) of `obj` as long as their common hull stays within `FLAT` of the solid.

    Small neighbours first. Fewer bodies make the physics faster; a solid without hollows becomes one.
    """
    bodies = dict(enumerate(hulls))
    boxes = {name: (hull.min(0), hull.max(0)) for name, hull in bodies.items()}
    waiting: list[tuple[float, int, int]] = []

    def meet(name: int) -> None:
        """Queues those pairs with `name` that touch, and between whose corners there is no hollow."""
        others = np.array([other for other in bodies if other != name], int)
        if not len(others):
            return
        low, high = boxes[name]
        lows = np.array([boxes[other][0] for other in others])
        highs = np.array([boxes[other][1] for other in others])
        others = others[((lows <= high + 0.0005) & (highs >= low - 0.0005)).all(1)]
        others = others[others < name] if name < len(hulls) else others
        if not len(others):
            return
        mine = _few(bodies[name])
        between = [((mine[:, None] + _few(bodies[other])[None]) / 2).reshape(-1, 3) for other in others.tolist()]
        rough = _rough(obj, np.concatenate(between))
        highest = np.maximum.reduceat(rough, np.cumsum([0, *map(len, between[:-1])]))
        for other in others[highest <= FLAT + obj.grid.spacing].tolist():
            size = np.linalg.norm(np.maximum(high, boxes[other][1]) - np.minimum(low, boxes[other][0]))
            heappush(waiting, (float(size), name, other))

    for name in list(bodies):
        meet(name)
    fresh = len(hulls)
    while waiting:
        _, one, other = heappop(waiting)
        if one not in bodies or other not in bodies:
            continue
        points = np.concatenate([bodies[one], bodies[other]])
        hull = _hull(points)
        if hull is None or _bulge(obj, points[hull.simplices]) > FLAT:
            continue
        del bodies[one], bodies[other]
        bodies[fresh] = points[hull.vertices]
        boxes[fresh] = (bodies[fresh].min(0), bodies[fresh].max(0))
        meet(fresh)
        fresh += 1
    return list(bodies.values())


def _few(points: np.ndarray, most: int = 8) -> np.ndarray:
    return points[:: -(-len(points) // most)]


def _rough(obj: GraspObject, points: np.ndarray) -> np.ndarray:
    """Signed distance (P,) of points (P, 3), by the grid."""
    return obj.grid.query(torch.from_numpy(points).float())[0].cpu().numpy()


def _spans_a_hollow(obj: GraspObject, flat: np.ndarray, normal: np.ndarray) -> bool:
    """Whether the convex hull of points in a plane goes over places that are off the surface (a ring, an L)."""
    from scipy.spatial import ConvexHull, QhullError

    across = np.linalg.svd(normal[None])[2][1:]
    try:
        border = flat[ConvexHull(flat @ across.T).vertices]
    except (QhullError, ValueError):
        return False
    middle = border.mean(0)
    edges = np.concatenate([border, (border + np.roll(border, 1, 0)) / 2])
    points = np.concatenate([middle + share * (edges - middle) for share in (0.0, 0.33, 0.67, 1.0)])
    return bool(obj.surface.closest(points)[0].max() > FLAT + 0.0005)


def _halves(patch: np.ndarray, middles: np.ndarray) -> list[np.ndarray]:
    """Faces parted across their longest direction."""
    places = middles[patch] - middles[patch].mean(0)
    along = places @ np.linalg.svd(places, full_matrices=False)[2][0]
    upper = along > np.median(along)
    if not upper.any():
        upper[len(upper) // 2:] = True
    return [patch[upper], patch[~upper]]


def flat_patches(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> list[np.ndarray]:
    """Faces (F, 3) parted into connected patches, each within `FLAT` of a plane; a list of face indices.

    Patches grow from the largest free face to the nearest neighbours first, so that they become round.
    """
    import igl

    neighbours, _ = igl.triangle_triangle_adjacency(faces)
    corners = vertices[faces]
    middles = corners.mean(1)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    free = area > 1e-16
    weighted = normals * area[:, None]
    for _ in range(2):
        weighted = weighted + np.where(neighbours[..., None] >= 0, weighted[neighbours], 0.0).sum(1)
    calm = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-30)
    patches = []
    for seed in np.argsort(-area, kind="stable"):
        if not free[seed]:
            continue
        normal = calm[seed]
        heights = (corners - middles[seed]) @ normal
        low, high = heights.min(1), heights.max(1)
        may = (calm @ normal > FACING) & (high - low < FLAT)
        bottom, top = low[seed], high[seed]
        patch, waiting, seen = [], [(0.0, int(seed))], {int(seed)}
        while waiting:
            _, face = heappop(waiting)
            lower, higher = min(bottom, low[face]), max(top, high[face])
            if higher - lower > FLAT and patch:
                continue
            bottom, top = lower, higher
            patch.append(face)
            free[face] = False
            for other in neighbours[face]:
                if other >= 0 and other not in seen and free[other] and may[other]:
                    seen.add(int(other))
                    heappush(waiting, (float(np.square(middles[other] - middles[seed]).sum()), int(other)))
        patches.append(np.array(patch))
    return patches


def mass_properties(obj: GraspObject) -> tuple[np.ndarray, np.ndarray]:
    """Centre of mass (3,) and inertia (3, 3) of one kilogram of the solid, of uniform density.

    A surface that encloses nothing (or is inside out in part) is taken as a sheet.
    """
    triangles = obj.surface.vertices[obj.surface.faces]
    sixfold = np.einsum("fi,fi->f", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2]))
    weights, corners = sixfold, np.concatenate([triangles, np.zeros_like(triangles[:, :1])], 1)
    factor = 20
    if sixfold.sum() <= 0 or not _is_possible(*_moments(weights, corners, factor)):
        crossed = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        weights, corners, factor = np.linalg.norm(crossed, axis=1), triangles, 12
    return _moments(weights, corners, factor)


def _moments(weights: np.ndarray, corners: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Of simplices (N, K, 3) with masses in proportion to `weights`; second moments have the denominator `factor`."""
    share = weights / weights.sum()
    centre = share @ corners.mean(1)
    moved = corners - centre
    total = moved.sum(1)
    second = (np.einsum("n,nki,nkj->ij", share, moved, moved) + np.einsum("n,ni,nj->ij", share, total, total)) / factor
    return centre, np.trace(second) * np.eye(3) - second


def _is_possible(centre: np.ndarray, inertia: np.ndarray) -> bool:
    values = np.linalg.eigvalsh(inertia)
    return bool(np.isfinite(centre).all() and values[0] > 0 and values[0] + values[1] >= values[2])


def _plane_normal(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    total = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).sum(0)
    return total / max(np.linalg.norm(total), 1e-30)


def _hull(points: np.ndarray) -> ConvexHull | None:
    """The convex hull of points (P, 3); None where they span no volume."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return ConvexHull(points)
    except (QhullError, ValueError):
        return None


def _bulge(obj: GraspObject, triangles: np.ndarray) -> float:
    """The largest distance of a hull's triangles (T, 3, 3) outside the object, metres; 0 stands for at most `FLAT`."""
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, 1), axis=2).max(1)
    points = np.concatenate([
        (_SPREADS[parts] @ triangles[rows]).reshape(-1, 3)
        for parts, rows in ((1, longest < 0.004), (3, (longest >= 0.004) & (longest < 0.02)), (8, longest >= 0.02))])
    rough = _rough(obj, points)
    if rough.max() > FLAT + obj.grid.spacing:
        return float(rough.max())
    doubtful = points[rough > FLAT - obj.grid.spacing]
    distance = obj.surface.closest(doubtful)[0]
    far = distance > FLAT
    return float(distance[far][~obj.surface.inside(doubtful[far])].max(initial=0.0))


def _read(path: Path) -> Pieces | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            hulls = np.split(archive["corners"].astype(np.float64), archive["ends"][:-1])
            return Pieces(tuple(hulls), archive["centre"], archive["inertia"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, pieces: Pieces) -> None:
    with contextlib.suppress(OSError):  # made again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {
            "corners": np.concatenate(pieces.hulls), "ends": np.cumsum([len(hull) for hull in pieces.hulls]),
            "centre": pieces.centre, "inertia": pieces.inertia})
