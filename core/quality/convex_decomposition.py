"""An object as convex pieces that lie on its surface, for physics; kept in a cache folder.

General convex decompositions (V-HACD, CoACD) are too coarse for a fingertip on a thin wall. Only the surface touches,
so the surface is decomposed into nearly flat patches, each as deep as half the wall under it, up to a limit.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.files import load_arrays, save_arrays, user_cache
from core.objects.cache import make_room
from core.objects.mesh_query import face_normals_areas
from core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy.spatial import ConvexHull

    from core.objects import GraspObject

@dataclass(frozen=True)
class PatchConfig:
    """How a surface is decomposed; all lengths in metres.

    Attributes:
        flatness: height of a patch over its plane; the hulls fill no hollow deeper than this.
        min_cosine: between a patch's normal and those of its triangles.
        min_depth: of a patch's hull under the surface.
        max_depth: of a patch's hull under the surface, where the wall is thicker than twice that.
        covered: a patch that lies inside another's hull by this is left out.
        min_area: m2 of a triangle below which it is left out.
        margin: gap within which hulls are neighbours; slack of the test for hollows under a patch.
    """

    flatness: float = 0.0015
    min_cosine: float = 0.8
    min_depth: float = 0.00025
    max_depth: float = 0.005
    covered: float = 0.0003
    min_area: float = 0.5e-16
    margin: float = 0.0005


CONFIG: Final = PatchConfig()
#: barycentric coordinates of the points that a triangle is tested at, by how many steps an edge is divided into
_LATTICES: Final = {
    1: np.full((1, 3), 1 / 3),
    **{n: np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n for n in (3, 8)},
}
#: part of a cache file's name: to be raised when the pieces of the same object change
VERSION: Final = 2
#: pairs of bodies that are tried to be joined, at most: a mug takes 500, a wavy ring of twenty centimetres 3,000
MOST_JOINED: Final = 2000
#: bytes that the folder of pieces may hold: of some thousand objects
MOST_BYTES: Final = 1 << 28
#: points of a hull of which the exact distance is asked for before that of its others
FIRST_ASKED: Final = 48
_LOCK: Final = threading.Lock()


@dataclass(frozen=True)
class ConvexPieces:
    """Convex bodies that together have an object's surface, and the solid's mass properties for one kilogram.

    Attributes:
        hulls: each (P, 3) corners of a convex body, metres, object frame.
        centre: (3,) centre of mass, metres, object frame.
        inertia: (3, 3) about the centre of mass, m2.
    """

    hulls: tuple[np.ndarray, ...]
    centre: np.ndarray
    inertia: np.ndarray


def convex_pieces(obj: GraspObject, cache: Path | str | None = None,
                  progress: Progress | None = None) -> ConvexPieces:
    """The pieces of `obj`, from the cache where it has them.

    Args:
        obj: the object.
        cache: a folder; None is the user's cache folder. A folder that cannot be written to is not used.
        progress: told how far it is where the pieces are made; None hears nothing.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    return kept_pieces(obj.digest, cache, progress or Progress(), lambda heard: decompose(obj, heard))


def kept_pieces(name: str, cache: Path | str | None, progress: Progress,
                make: Callable[[Progress], ConvexPieces]) -> ConvexPieces:
    """The pieces of that name from the cache, or what `make` makes of them, which is kept there.

    Args:
        name: that stands for the object, or for the object and the part of it that these are the pieces of.
        cache: as for `convex_pieces`.
        progress: heard while waiting, and handed to `make`.
        make: makes the pieces; hands that are tested in parallel wait for one of them to have done so.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    folder = user_cache("pieces") if cache is None else Path(cache)
    path = folder / f"{name}-{VERSION}.npz"
    pieces = _read(path)
    if pieces is None:
        with alone(progress):
            pieces = _read(path)
            if pieces is None:
                pieces = make(progress)
                _write(path, pieces)
    return pieces


@contextlib.contextmanager
def alone(progress: Progress) -> Iterator[None]:
    """Pieces are made by one thread at a time; the others wait, and hear of a stop."""
    while not _LOCK.acquire(timeout=0.1):
        progress(0.0)
    try:
        yield
    finally:
        _LOCK.release()


def decompose(obj: GraspObject, progress: Progress | None = None) -> ConvexPieces:
    """The pieces of `obj`, not from the cache: one hull where it is convex, patches of its surface elsewhere.

    Args:
        obj: the object.
        progress: told how far it is; None hears nothing.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    centre, inertia = mass_properties(obj)
    body = convex_body(obj)
    if body is not None:
        return ConvexPieces((body,), centre, inertia)
    patches = flat_patches(obj.surface.vertices, obj.surface.faces, obj.surface.face_normals, progress.sub(0.0, 0.2))
    return ConvexPieces(tuple(patch_hulls(obj, patches, progress.sub(0.2, 1.0))), centre, inertia)


def convex_body(obj: GraspObject) -> np.ndarray | None:
    """The corners (P, 3) of an object that is convex, but for `flatness`; None of another."""
    vertices = obj.surface.vertices
    whole = _hull(vertices)
    return None if whole is None or _sticks_out(obj, vertices[whole.simplices]) else vertices[whole.vertices]


def patch_hulls(obj: GraspObject, patches: list[np.ndarray], progress: Progress) -> list[np.ndarray]:
    """Convex bodies (P, 3) of patches of an object's surface, joined where that fills no hollow.

    Args:
        obj: the object.
        patches: the faces of each, as indices.
        progress: told how far it is.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    vertices, faces, normals = obj.surface.vertices, obj.surface.faces, obj.surface.face_normals
    centroids, depth = np.zeros((len(faces), 3)), np.zeros(len(faces))
    used = np.concatenate(patches)
    centroids[used] = vertices[faces[used]].mean(1)
    depth[used], _ = obj.surface.first_hit(centroids[used] - 1e-6 * normals[used], -normals[used])
    depth = np.clip(depth / 2, CONFIG.min_depth, CONFIG.max_depth)
    hulls: list[np.ndarray] = []
    planes: list[np.ndarray] = []
    lows, highs = np.empty((0, 3)), np.empty((0, 3))  # of the hulls, and room for more
    waiting = sorted(patches, key=len)
    while waiting:
        progress(0.0)
        patch = waiting.pop()
        top = vertices[np.unique(faces[patch])]
        low, high = lows[: len(hulls)], highs[: len(hulls)]
        around = (low <= top.min(0) + CONFIG.covered) & (high >= top.max(0) - CONFIG.covered)
        if any((top @ planes[k][:, :3].T + planes[k][:, 3]).max() < CONFIG.covered
               for k in np.nonzero(around.all(1))[0]):
            continue
        normal = _plane_normal(vertices, faces[patch])
        flat = top - np.outer((top - top.mean(0)) @ normal, normal)
        if len(patch) > 1 and _spans_a_hollow(obj, flat, normal):
            waiting += _halves(patch, centroids)
            continue
        corners = np.concatenate([top, top - np.quantile(depth[patch], 0.1) * normal])
        hull = _hull(corners)
        if hull is not None:
            if len(hulls) == len(lows):
                room = np.empty((len(lows) + 64, 3))
                lows, highs = np.concatenate([lows, room]), np.concatenate([highs, room])
            lows[len(hulls)], highs[len(hulls)] = corners.min(0), corners.max(0)
            hulls.append(corners[hull.vertices])
            planes.append(hull.equations)
    return merge_hulls(obj, hulls, progress)


def merge_hulls(obj: GraspObject, hulls: list[np.ndarray], progress: Progress | None = None) -> list[np.ndarray]:
    """Joins convex bodies (P, 3) of `obj` as long as their common hull stays within `flatness` of the solid.

    Small neighbours first. Fewer bodies make the physics faster; a solid without hollows becomes one. Of a large and
    rough surface not all are tried: what is not joined is as right, and costs the physics a little more.

    Args:
        obj: the object.
        hulls: each (P, 3) corners of a convex body.
        progress: told how far it is; None hears nothing.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    bodies = dict(enumerate(hulls))
    # Each joining takes one name more.
    lows, highs, there = np.zeros((2 * len(hulls), 3)), np.zeros((2 * len(hulls), 3)), np.zeros(2 * len(hulls), bool)
    for name, body in bodies.items():
        lows[name], highs[name], there[name] = body.min(0), body.max(0), True
    waiting: list[tuple[float, int, int]] = []

    def queue_neighbours(name: int) -> None:
        """Queues the bodies that `name` touches, where there is no hollow between the corners of the two."""
        low, high = lows[name], highs[name]
        meets = there & ((lows <= high + CONFIG.margin) & (highs >= low - CONFIG.margin)).all(1)
        others = np.flatnonzero(meets)
        others = others[others != name]
        others = others[others < name] if name < len(hulls) else others
        if not len(others):
            return
        corners = _subsample(bodies[name])
        # A few of the points between two tell of most hollows: the rest is looked at where they tell of none.
        for some in (slice(None, None, 13), slice(None)):
            between = [((corners[:, None] + _subsample(bodies[other])[None]) / 2).reshape(-1, 3)[some]
                       for other in others.tolist()]
            outside = _grid_distance(obj, np.concatenate(between))
            highest = np.maximum.reduceat(outside, np.cumsum([0, *map(len, between[:-1])]))
            others = others[highest <= CONFIG.flatness + obj.grid.spacing]
            if not len(others):
                return
        for other in others.tolist():
            size = np.linalg.norm(np.maximum(high, highs[other]) - np.minimum(low, lows[other]))
            heappush(waiting, (float(size), name, other))

    for name in list(bodies):
        if name % 64 == 0:
            progress(0.0)
        queue_neighbours(name)
    newest = len(hulls)
    tried = 0
    while waiting and tried < MOST_JOINED:
        _, one, other = heappop(waiting)
        if one not in bodies or other not in bodies:
            continue
        if tried % 16 == 0:
            progress(tried / MOST_JOINED)
        tried += 1
        points = np.concatenate([bodies[one], bodies[other]])
        hull = _hull(points)
        if hull is None or _sticks_out(obj, points[hull.simplices]):
            continue
        del bodies[one], bodies[other]
        there[[one, other]] = False
        bodies[newest] = points[hull.vertices]
        lows[newest], highs[newest], there[newest] = bodies[newest].min(0), bodies[newest].max(0), True
        queue_neighbours(newest)
        newest += 1
    return list(bodies.values())


def _subsample(points: np.ndarray, most: int = 8) -> np.ndarray:
    """At most `most` of the points (P, 3), evenly through their order."""
    return points[:: -(-len(points) // most)]


def _grid_distance(obj: GraspObject, points: np.ndarray) -> np.ndarray:
    """Signed distance (P,) of points (P, 3), by the grid."""
    return obj.grid.query(torch.from_numpy(points).float())[0].cpu().numpy()


def _spans_a_hollow(obj: GraspObject, flat: np.ndarray, normal: np.ndarray) -> bool:
    """Whether the convex hull of points in a plane covers places that are off the surface (a ring, an L)."""
    from scipy.spatial import ConvexHull, QhullError

    across = np.linalg.svd(normal[None])[2][1:]
    try:
        border = flat[ConvexHull(flat @ across.T).vertices]
    except (QhullError, ValueError):
        return False
    middle = border.mean(0)
    edges = np.concatenate([border, (border + np.roll(border, 1, 0)) / 2])
    points = np.concatenate([middle + share * (edges - middle) for share in (0.0, 0.33, 0.67, 1.0)])
    return bool(obj.surface.closest(points)[0].max() > CONFIG.flatness + CONFIG.margin)


def _halves(patch: np.ndarray, centroids: np.ndarray) -> list[np.ndarray]:
    """The faces `patch` (P,) split across their longest direction; centroids (F, 3)."""
    offsets = centroids[patch] - centroids[patch].mean(0)
    along = offsets @ np.linalg.svd(offsets, full_matrices=False)[2][0]
    upper = along > np.median(along)
    if not upper.any():
        upper[len(upper) // 2:] = True
    return [patch[upper], patch[~upper]]


def flat_patches(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray,
                 progress: Progress | None = None) -> list[np.ndarray]:
    """Connected patches of a surface, each within `flatness` of a plane.

    Patches grow from the largest free face to the nearest neighbours first, so that they become round.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3).
        normals: (F, 3) unit normals of the faces.
        progress: told how far it is; None hears nothing.

    Returns:
        The faces of each patch, as indices.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    import igl

    progress = progress or Progress()

    neighbours, _ = igl.triangle_triangle_adjacency(faces)
    corners = vertices[faces]
    middles = corners.mean(1)
    _, area = face_normals_areas(vertices, faces)
    weighted = normals * area[:, None]
    for _ in range(2):
        weighted = weighted + np.where(neighbours[..., None] >= 0, weighted[neighbours], 0.0).sum(1)
    smooth = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-30)
    surface = _Faces(corners.tolist(), middles.tolist(), smooth.tolist(), neighbours.tolist(),
                     (area > CONFIG.min_area).tolist())
    patches = []
    for done, seed in enumerate(np.argsort(-area, kind="stable").tolist()):
        if done % 64 == 0:
            progress(done / len(faces))
        if surface.free[seed]:
            patches.append(np.array(surface.grow(seed)))
    return patches


@dataclass
class _Faces:
    """A surface as lists: patches are small, and of a large surface each looks at the faces near by alone.

    Attributes:
        corners: F triangles of three points.
        middles: F points.
        smooth: F unit normals, each a mean with its neighbours'.
        neighbours: F times three faces, -1 for none.
        free: F, in no patch yet.
    """

    corners: list[list[list[float]]]
    middles: list[list[float]]
    smooth: list[list[float]]
    neighbours: list[list[int]]
    free: list[bool]

    def grow(self, seed: int) -> list[int]:
        """The faces of the patch around a face, which are free no more."""
        nx, ny, nz = self.smooth[seed]
        sx, sy, sz = self.middles[seed]

        def heights(face: int) -> tuple[float, float]:
            found = [(x - sx) * nx + (y - sy) * ny + (z - sz) * nz for x, y, z in self.corners[face]]
            return min(found), max(found)

        bottom, top = heights(seed)
        patch: list[int] = []
        waiting, queued = [(0.0, seed)], {seed}
        while waiting:
            _, face = heappop(waiting)
            low, high = heights(face)
            lower, higher = min(bottom, low), max(top, high)
            if higher - lower > CONFIG.flatness and patch:
                continue
            bottom, top = lower, higher
            patch.append(face)
            self.free[face] = False
            for other in self.neighbours[face]:
                if other < 0 or other in queued or not self.free[other]:
                    continue
                ox, oy, oz = self.smooth[other]
                if ox * nx + oy * ny + oz * nz <= CONFIG.min_cosine:
                    continue
                low, high = heights(other)
                if high - low >= CONFIG.flatness:
                    continue
                queued.add(other)
                x, y, z = self.middles[other]
                heappush(waiting, ((x - sx) ** 2 + (y - sy) ** 2 + (z - sz) ** 2, other))
        return patch


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
    """Centre (3,) and inertia (3, 3) of simplices (N, K, 3) with masses in proportion to `weights` (N,).

    `factor` is the denominator of a simplex's second moments: 20 for tetrahedra, 12 for triangles.
    """
    share = weights / weights.sum()
    centre = share @ corners.mean(1)
    moved = corners - centre
    total = moved.sum(1)
    second = (np.einsum("n,nki,nkj->ij", share, moved, moved) + np.einsum("n,ni,nj->ij", share, total, total)) / factor
    return centre, np.trace(second) * np.eye(3) - second


def _is_possible(centre: np.ndarray, inertia: np.ndarray) -> bool:
    """Whether a solid may have this centre and inertia: finite, positive, and within the triangle inequality."""
    values = np.linalg.eigvalsh(inertia)
    return bool(np.isfinite(centre).all() and values[0] > 0 and values[0] + values[1] >= values[2])


def _plane_normal(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(3,) the area-weighted mean normal of faces."""
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


def _sticks_out(obj: GraspObject, triangles: np.ndarray) -> bool:
    """Whether a hull's triangles (T, 3, 3) are outside the object by more than `flatness` somewhere."""
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, 1), axis=2).max(1)
    points = np.concatenate([
        (_LATTICES[parts] @ triangles[rows]).reshape(-1, 3)
        for parts, rows in ((1, longest < 0.004), (3, (longest >= 0.004) & (longest < 0.02)), (8, longest >= 0.02))])
    # Most hulls that stick out do so far: a few of the points tell it.
    if _grid_distance(obj, points[::7]).max() > CONFIG.flatness + obj.grid.spacing:
        return True
    near = _grid_distance(obj, points)
    if near.max() > CONFIG.flatness + obj.grid.spacing:
        return True
    rows = np.flatnonzero(near > CONFIG.flatness - obj.grid.spacing)
    rows = rows[np.argsort(-near[rows], kind="stable")]
    # Where the grid's cells are large it tells little, but it tells which to ask for first.
    for some in (rows[:FIRST_ASKED], rows[FIRST_ASKED:]):
        doubtful = points[some]
        far = doubtful[obj.surface.closest(doubtful)[0] > CONFIG.flatness]
        if not obj.surface.inside(far).all():
            return True
    return False


def _read(path: Path) -> ConvexPieces | None:
    try:
        stored = load_arrays(path)
        corners, ends = stored["corners"].astype(np.float64), stored["ends"]
        centre, inertia = stored["centre"], stored["inertia"]
        sound = (corners.ndim == 2 and corners.shape[1] == 3 and ends.ndim == 1 and ends.dtype.kind == "i"
                 and ends.size and ends[-1] == len(corners) and (np.diff(ends, prepend=0) > 3).all()
                 and centre.shape == (3,) and inertia.shape == (3, 3)
                 and all(np.isfinite(values).all() for values in (corners, centre, inertia)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not sound:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used now
    return ConvexPieces(tuple(np.split(corners, ends[:-1])), centre, inertia)


def _write(path: Path, pieces: ConvexPieces) -> None:
    with contextlib.suppress(OSError):  # made again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {
            "corners": np.concatenate([*pieces.hulls, np.zeros((0, 3))]),
            "ends": np.cumsum([len(hull) for hull in pieces.hulls], dtype=int),
            "centre": pieces.centre, "inertia": pieces.inertia})
        make_room(path.parent, MOST_BYTES)
