"""Edges, patches, winding and openings of triangle meshes."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from core.objects.mesh_query import AT_ONCE, ExactSurface, face_normals_areas
from core.progress import Progress

#: metres past a free edge where a surface that continues it is looked for
COVERED_STEP: Final = 0.001
#: an opening narrower than this share of its part's size is a hole in a solid (an eye socket, a bottle's neck)
OPENING_SHARE: Final = 0.25
#: open parts that are compared with the rest of the object; more are taken as they are
MOST_PARTS: Final = 200


def edge_table(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The undirected edges of triangles (F, 3).

    Returns:
        The edge (3F,) of each half edge (face 0's ab, bc, ca, face 1's ...), the number of half
        edges (E,) of each edge, and +1 or -1 (3F,): whether the half edge runs from its lower to its higher vertex.
    """
    start = faces.reshape(-1)
    end = np.roll(faces, -1, axis=1).reshape(-1)
    key = np.minimum(start, end) * (int(faces.max()) + 1) + np.maximum(start, end)
    _, edge, counts = np.unique(key, return_inverse=True, return_counts=True)
    return edge.reshape(-1), counts, np.where(start < end, 1, -1)


def _neighbours(faces: np.ndarray, manifold_only: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of half edges (P,), (P,) that share an edge, and whether both run the same way (P,)."""
    edge, counts, sign = edge_table(faces)
    order = np.argsort(edge, kind="stable")
    same = edge[order[1:]] == edge[order[:-1]]
    if manifold_only:
        same &= counts[edge[order[1:]]] == 2
    first, second = order[:-1][same], order[1:][same]
    return first, second, sign[first] == sign[second]


def face_components(faces: np.ndarray, manifold_only: bool = False) -> tuple[np.ndarray, int]:
    """The connected components of triangles.

    Args:
        faces: (F, 3).
        manifold_only: faces are connected only over edges of exactly two faces.

    Returns:
        (F,) the component of each face, and their number.
    """
    first, second, _ = _neighbours(faces, manifold_only)
    graph = coo_matrix((np.ones(len(first), np.int8), (first // 3, second // 3)), shape=(len(faces), len(faces)))
    count, labels = connected_components(graph, directed=False)
    return labels, count


def orient_consistently(faces: np.ndarray) -> np.ndarray:
    """Faces (F, 3) flipped so that neighbours over every edge of two faces agree, as far as the patch is orientable."""
    _, _, clash = _neighbours(faces, manifold_only=True)
    if not clash.any():
        return faces
    import igl

    return igl.bfs_orient(np.ascontiguousarray(faces))[0]


def orient_outward(vertices: np.ndarray, faces: np.ndarray, patches: np.ndarray,
                   progress: Progress | None = None) -> np.ndarray:
    """Orients each patch so that its normals point away from what it encloses.

    A closed patch by its volume; an open one towards the side from which more rays escape.

    Args:
        vertices: (V, 3).
        faces: (F, 3), consistent within each patch.
        patches: (F,) the patch of each face.
        progress: told how far it is; None hears nothing.

    Returns:
        (F, 3).

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    edge, counts, sign = edge_table(faces)
    balanced = np.bincount(edge, weights=sign, minlength=len(counts)) == 0
    closed_edge = (counts == 2) & balanced
    patch_count = int(patches.max()) + 1
    half_patch = np.repeat(patches, 3)
    closed = np.bincount(half_patch, weights=~closed_edge[edge], minlength=patch_count) == 0
    corners = vertices[faces]
    volume = np.bincount(
        patches,
        weights=np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])),
        minlength=patch_count,
    )
    flip = closed & (volume < 0)
    if not closed.all():
        progress(0.4)
        flip |= ~closed & (_escape_difference(vertices, faces, patches, ~closed, progress.sub(0.4, 1.0)) < 0)
    return np.where(flip[patches][:, None], faces[:, ::-1], faces)


def _escape_difference(vertices: np.ndarray, faces: np.ndarray, patches: np.ndarray, wanted: np.ndarray,
                       progress: Progress) -> np.ndarray:
    """(P,) share of rays that escape on the normals' side less that on the other, of patches `wanted` (P,); else 0."""
    rng = np.random.default_rng(0)
    normals, areas = face_normals_areas(vertices, faces)
    rows = np.flatnonzero(wanted[patches])
    order = rows[np.argsort(patches[rows], kind="stable")]
    starts = np.flatnonzero(np.r_[True, patches[order][1:] != patches[order][:-1]])
    ends = np.r_[starts[1:], len(order)]
    samples = int(np.clip(4096 // len(starts), 8, 256))
    cumulative = np.cumsum(areas[order])
    base = np.r_[0.0, cumulative][starts]
    span = cumulative[ends - 1] - base
    draw = base[:, None] + (np.arange(samples) + 0.5) / samples * span[:, None]
    chosen = order[np.minimum(np.searchsorted(cumulative, draw.ravel()), len(order) - 1)]
    weights = rng.dirichlet((1.0, 1.0, 1.0), len(chosen))
    points = (vertices[faces[chosen]] * weights[:, :, None]).sum(1)
    surface = ExactSurface(vertices, faces)
    size = float(np.ptp(vertices, axis=0).max())
    escaped = np.zeros((2, len(chosen)))
    rounds = 4
    for number in range(rounds):
        progress(number / rounds)
        directions = normals[chosen] + 0.98 * _unit(rng.normal(size=(len(chosen), 3)))
        directions = _unit(directions)
        for side, sign in enumerate((1.0, -1.0)):
            length, _ = surface.first_hit(points + sign * normals[chosen] * size * 1e-5, sign * directions)
            progress((number + 0.5) / rounds)
            escaped[side] += np.isinf(length)
    difference = (escaped[0] - escaped[1]) / rounds
    result = np.zeros(int(patches.max()) + 1)
    np.add.at(result, patches[chosen], difference / samples)
    return result


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30)


def open_components(vertices: np.ndarray, faces: np.ndarray, width: float,
                    progress: Progress | None = None) -> np.ndarray:
    """The faces of parts that have a wide opening: wider than `width` and a quarter of their size.

    The width of a loop of free edges is four times its area over its length (a circle's diameter, a
    slit's double width). A free edge that another surface continues (a separate lid) is not free.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3).
        width: metres.
        progress: told how far it is; None hears nothing.

    Returns:
        (F,) bool.

    Raises:
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    edge, counts, _ = edge_table(faces)
    free = np.flatnonzero(counts[edge] == 1)
    if not len(free):
        return np.zeros(len(faces), bool)
    face = free // 3
    start = faces.reshape(-1)[free]
    end = np.roll(faces, -1, axis=1).reshape(-1)[free]
    along = vertices[end] - vertices[start]
    length = np.linalg.norm(along, axis=1)
    past = _unit(np.cross(along, face_normals_areas(vertices, faces[face])[0]))
    beyond = (vertices[start] + vertices[end]) / 2 + COVERED_STEP * past
    progress(0.1)
    surface = ExactSurface(vertices, faces)
    covered = np.zeros(len(beyond), bool)
    for first in range(0, len(beyond), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        covered[some] = surface.closest(beyond[some])[0] < 0.6 * COVERED_STEP
        progress(0.1 + 0.3 * first / len(beyond))

    graph = coo_matrix((np.ones(len(start), np.int8), (start, end)), shape=(len(vertices), len(vertices)))
    _, of_vertex = connected_components(graph, directed=False)
    _, loop = np.unique(of_vertex[start], return_inverse=True)
    loop = loop.reshape(-1)
    loops = int(loop.max()) + 1
    perimeter = np.bincount(loop, weights=length, minlength=loops)
    summed = np.stack([np.bincount(loop, weights=vertices[start][:, i]) for i in range(3)], 1)
    centre = summed / np.bincount(loop)[:, None]
    cross = np.cross(vertices[start] - centre[loop], vertices[end] - centre[loop])
    area = np.linalg.norm(np.stack([np.bincount(loop, weights=cross[:, i]) for i in range(3)], 1), axis=1) / 2
    opening = 4 * area / np.maximum(perimeter, 1e-30)
    parts, part_count = face_components(faces)
    of_loop = np.zeros(loops, np.int64)
    of_loop[loop] = parts[face]
    wide = (opening > width) & (opening > OPENING_SHARE * _sizes(vertices, faces, parts, part_count)[of_loop])
    candidates = np.unique(of_loop[wide])
    normals, _ = face_normals_areas(vertices, faces)
    flat = _flat(normals, vertices, faces, parts, part_count)
    lows, highs = vertices[faces].min(1), vertices[faces].max(1)
    compared = np.union1d(candidates, parts[face[flat[parts[face]] & ~covered]])[:MOST_PARTS]
    for place, part in enumerate(compared):
        progress(0.4 + 0.6 * place / len(compared))
        rows = np.flatnonzero((parts[face] == part) & ~covered)
        middle = (vertices[start[rows]] + vertices[end[rows]]) / 2
        if len(rows):
            # Of the others those that are in reach at all.
            reached = (lows <= middle.max(0) + COVERED_STEP) & (highs >= middle.min(0) - COVERED_STEP)
            others = reached.all(1) & (parts != part)
            if others.any():
                covered[rows] = ExactSurface(vertices, faces[others]).closest(middle)[0] < 0.6 * COVERED_STEP
    uncovered = np.bincount(loop, weights=length * ~covered, minlength=loops) / np.maximum(perimeter, 1e-30)
    wide &= uncovered > 0.4
    is_open = np.zeros(part_count, bool)
    is_open[parts[face[wide[loop]]]] = True
    # A flat part encloses nothing, however small it is.
    free_length = np.bincount(parts[face], weights=length * ~covered, minlength=part_count)
    free_share = free_length / np.maximum(np.bincount(parts[face], weights=length, minlength=part_count), 1e-30)
    return (is_open | (flat & (free_share > 0.4)))[parts]


def _sizes(vertices: np.ndarray, faces: np.ndarray, parts: np.ndarray, count: int) -> np.ndarray:
    """(P,) the longest side of each part's bounding box."""
    low = np.full((count, 3), np.inf)
    high = np.full((count, 3), -np.inf)
    np.minimum.at(low, parts, vertices[faces].min(1))
    np.maximum.at(high, parts, vertices[faces].max(1))
    return (high - low).max(1)


def _flat(
    normals: np.ndarray, vertices: np.ndarray, faces: np.ndarray, parts: np.ndarray, count: int
) -> np.ndarray:
    """(P,) bool: the part's faces all have one normal or its opposite."""
    _, areas = face_normals_areas(vertices, faces)
    outer = np.einsum("fi,fj->fij", normals, normals) * areas[:, None, None]
    summed = np.stack(
        [np.bincount(parts, weights=outer[:, i, j], minlength=count) for i in range(3) for j in range(3)], 1
    ).reshape(count, 3, 3)
    total = np.bincount(parts, weights=areas, minlength=count)
    return np.linalg.eigvalsh(summed)[:, -1] > 0.98 * total


def thicken(
    vertices: np.ndarray, faces: np.ndarray, patches: np.ndarray, thickness: float
) -> tuple[np.ndarray, np.ndarray]:
    """A closed thin solid around a sheet: both sides at half the thickness, joined at free edges.

    Each patch gets vertices of its own, so that sheets that meet in one edge overlap instead of failing.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) of the sheet.
        patches: (F,) the patch of each face.
        thickness: metres.

    Returns:
        (W, 3) vertices and (G, 3) faces, outward.
    """
    key = np.repeat(patches, 3) * len(vertices) + faces.reshape(-1)
    own, local = np.unique(key, return_inverse=True)
    points = vertices[own % len(vertices)]
    faces = local.reshape(-1, 3)
    normals, _ = face_normals_areas(points, faces)
    corners = points[faces]
    ahead = _unit(np.roll(corners, -1, axis=1) - corners)
    behind = _unit(np.roll(corners, 1, axis=1) - corners)
    angle = np.arccos(np.clip((ahead * behind).sum(2), -1, 1))
    mean = np.zeros_like(points)
    np.add.at(mean, faces, normals[:, None] * angle[..., None])
    mean = _unit(mean)
    # At a crease the offset grows so that the walls keep their thickness, up to twice.
    lean = np.ones(len(points))
    np.minimum.at(lean, faces, np.einsum("fi,fki->fk", normals, mean[faces]))
    offset = mean * (thickness / 2 / np.clip(lean, 0.5, 1.0))[:, None]
    count = len(points)
    edge, counts, _ = edge_table(faces)
    free = np.flatnonzero(counts[edge] == 1)
    start = faces.reshape(-1)[free]
    end = np.roll(faces, -1, axis=1).reshape(-1)[free]
    back = faces[:, ::-1] + count
    wall = np.concatenate(
        [np.stack([end, start, start + count], 1), np.stack([end, start + count, end + count], 1)]
    )
    return np.concatenate([points + offset, points - offset]), np.concatenate([faces, back, wall])
