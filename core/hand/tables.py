"""Tables that belong to a hand and are computed from it: parts, pads, anchors and inner spheres.

Everything is found from the hand's own skin, weights and joints, so the same code serves the embedded hand
and the user's MANO. All inputs are a right hand's (a left one is mirrored first); metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

FIRST = (13, 1, 4, 10, 7)  # first joint of thumb, index, middle, ring, little
SPHERES = 11  # in each finger, and in the palm


@dataclass(frozen=True)
class HandTables:
    """See `build_tables`; numpy, indices int64.

    Attributes:
        tips: (5,). parts: (V,). regions: six index arrays. anchor_faces: (32, 3). anchor_weights: (32, 3).
        sphere_regressor: (66, V) rows summing to 1 that give the rest centres. sphere_radii: (66,).
        sphere_parts: (66,). sphere_weights: (66, 16).
    """

    tips: np.ndarray
    parts: np.ndarray
    regions: tuple[np.ndarray, ...]
    anchor_faces: np.ndarray
    anchor_weights: np.ndarray
    sphere_regressor: np.ndarray
    sphere_radii: np.ndarray
    sphere_parts: np.ndarray
    sphere_weights: np.ndarray


def build_tables(
    vertices: np.ndarray,
    faces: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
    frames: np.ndarray,
    tips: np.ndarray,
    cap: np.ndarray,
) -> HandTables:
    """All tables of a right hand at rest.

    Args:
        vertices: (V, 3). faces: (F, 3) closed, outward. weights: (V, 16). joints: (16, 3).
        frames: (15, 3, 3) rows b, u, l of `articulation.joint_frames`. tips: (5,) from `find_tips`.
        cap: vertices of the faces that close the wrist; never in a region.
    """
    normals = vertex_normals(vertices, faces)
    shares = np.stack([weights[:, first : first + 3].sum(1) for first in FIRST] + [weights[:, 0]], 1)
    parts = shares.argmax(1)
    regions = (
        *(_pad(vertices, normals, weights, joints, frames, f, tips[f]) for f in range(5)),
        np.setdiff1d(_palm_pad(vertices, normals, weights, joints), cap),
    )
    corners, barycentric = _anchors(vertices, faces, joints, frames, tips, regions[5], parts)
    regressor, radii, sphere_parts, blend = _spheres(vertices, faces, weights, joints, tips, parts)
    return HandTables(tips, parts, regions, corners, barycentric, regressor, radii, sphere_parts, blend)


def find_tips(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(5,) the vertex of each distal part that lies farthest along its finger, thumb to little."""
    tips = []
    for first in FIRST:
        mine = np.flatnonzero(weights[:, first + 2] > 0.5)
        along = (vertices[mine] - joints[first + 2]) @ (joints[first + 2] - joints[first + 1])
        tips.append(mine[along.argmax()])
    return np.array(tips, dtype=np.int64)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) area-weighted unit normals."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    normal = np.zeros_like(vertices)
    across = np.cross(b - a, c - a)
    for corner in range(3):
        np.add.at(normal, faces[:, corner], across)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def _pad(vertices, normals, weights, joints, frames, finger: int, tip: int) -> np.ndarray:  # noqa: ANN001
    """The volar skin of one fingertip."""
    joint = FIRST[finger] + 2
    volar = -frames[joint - 1, 1]
    bone = vertices[tip] - joints[joint]
    along = (vertices - joints[joint]) @ bone / (bone @ bone)
    return np.flatnonzero((weights[:, joint] > 0.5) & (along > 0.25) & (normals @ volar > 0.15)).astype(np.int64)


def _palm_pad(vertices, normals, weights, joints) -> np.ndarray:  # noqa: ANN001
    """The hollow of the palm: volar skin of the palm's outer two thirds."""
    knuckle = joints[4] - joints[0]
    along = (vertices - joints[0]) @ knuckle / (knuckle @ knuckle)
    chosen = (normals[:, 1] < -0.55) & (weights[:, 0] > 0.55) & (along > 0.3) & (along < 1.05)
    return np.flatnonzero(chosen).astype(np.int64)


def _cast(origin: np.ndarray, direction: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[int, np.ndarray]:
    """The face that a ray from inside leaves through last and the barycentric weights of the place."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    e1, e2, s = b - a, c - a, origin - a
    p = np.cross(direction, e2)
    det = (e1 * p).sum(1)
    det = np.where(np.abs(det) < 1e-15, 1e-15, det)
    u = (s * p).sum(1) / det
    q = np.cross(s, e1)
    v = (q @ direction) / det
    t = (e2 * q).sum(1) / det
    outward = (np.cross(e1, e2) @ direction) > 0
    hit = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (t > 1e-6) & outward
    if not hit.any():
        face = int(np.linalg.norm(vertices[faces].mean(1) - (origin + 0.01 * direction), axis=1).argmin())
        return face, np.full(3, 1 / 3)
    face = int(np.where(hit, t, np.inf).argmin())
    return face, np.array([1 - u[face] - v[face], u[face], v[face]]).clip(0, 1)


def _anchors(vertices, faces, joints, frames, tips, palm, parts):  # noqa: ANN001, ANN202
    corners, weights = [], []

    def keep(face: int, barycentric: np.ndarray) -> None:
        corners.append(faces[face])
        weights.append(barycentric / barycentric.sum())

    for finger, first in enumerate(FIRST):
        ends = [*joints[first : first + 3], vertices[tips[finger]]]
        u = frames[first, 1]
        for k in range(2):
            keep(*_cast((ends[k] + ends[k + 1]) / 2, -u, vertices, faces))
        _, u, across = frames[first + 1]
        middle = ends[2] + 0.55 * (ends[3] - ends[2])
        middle -= u * ((middle - ends[2]) @ u)
        for angle in np.deg2rad([0.0, 50.0, -50.0]):
            keep(*_cast(middle, -u * np.cos(angle) + across * np.sin(angle), vertices, faces))
    mine = palm if len(palm) >= 7 else np.flatnonzero(parts == 5)
    chosen = [mine[np.linalg.norm(vertices[mine] - vertices[mine].mean(0), axis=1).argmin()]]
    while len(chosen) < 7:
        gap = np.linalg.norm(vertices[mine][:, None] - vertices[chosen], axis=-1).min(1)
        chosen.append(mine[gap.argmax()])
    for vertex in chosen:
        face = int(np.flatnonzero((faces == vertex).any(1))[0])
        keep(face, (faces[face] == vertex).astype(float))
    return np.array(corners, dtype=np.int64), np.array(weights)


def _surface(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Points on the skin: vertices, face centres and edge middles."""
    corner = vertices[faces]
    return np.concatenate([vertices, corner.mean(1), (corner + np.roll(corner, 1, 1)).reshape(-1, 3) / 2])


def _centre_in_flesh(points: np.ndarray, tree: cKDTree, axis: np.ndarray, reach: float) -> np.ndarray:
    """Moves points sideways (never along `axis`) to where the nearest skin is farthest."""
    side = np.cross(axis, [0.3, 1.0, 0.2])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    start = points.copy()
    for step in (0.0016, 0.0008, 0.0004, 0.0002):
        for _ in range(6):
            moves = np.stack([points + step * d for d in (0 * side, side, -side, other, -other)])
            depth = tree.query(moves)[0]
            depth[np.linalg.norm(moves - start, axis=-1) > reach] = -1
            points = moves[depth.argmax(0), np.arange(len(points))]
    return points


def _spheres(vertices, faces, weights, joints, tips, parts):  # noqa: ANN001, ANN202
    tree = cKDTree(_surface(vertices, faces))
    skin = cKDTree(vertices)
    centres, owners, blends = [], [], []
    for finger, first in enumerate(FIRST):
        ends = np.stack([*joints[first : first + 3], vertices[tips[finger]]])
        lengths = np.linalg.norm(np.diff(ends, axis=0), axis=1)
        marks = np.concatenate([[0], np.cumsum(lengths)])
        places = np.linspace(0.12 * marks[-1], marks[-1] - 0.0065, SPHERES)
        bone = np.clip(np.searchsorted(marks, places) - 1, 0, 2)
        share = (places - marks[bone]) / lengths[bone]
        points = ends[bone] + share[:, None] * (ends[bone + 1] - ends[bone])
        for k in range(3):
            axis = (ends[k + 1] - ends[k]) / lengths[k]
            points[bone == k] = _centre_in_flesh(points[bone == k], tree, axis, 0.006)
        blend = np.zeros((SPHERES, 16))
        for i in range(SPHERES):
            near = skin.query(points[i], k=16)[1]
            near = near[parts[near] == finger] if (parts[near] == finger).sum() >= 4 else near
            blend[i] = weights[near].mean(0)
        centres.append(points)
        blends.append(blend)
        owners += [finger] * SPHERES
    knuckle = joints[4] - joints[0]
    ends = np.array([joints[1], joints[4], joints[10], joints[7]])
    palm = [joints[0] + s * (end - joints[0]) for s in (0.5, 0.85) for end in ends]
    thumb, next_thumb = joints[13], joints[14]
    palm += [joints[0] + 0.22 * knuckle, joints[0] + 0.55 * (thumb - joints[0]), 0.45 * thumb + 0.55 * next_thumb]
    palm = _centre_in_flesh(np.array(palm), tree, knuckle / np.linalg.norm(knuckle), 0.008)
    centres.append(palm)
    near = skin.query(palm, k=24)[1]
    blends.append(weights[near].mean(1))
    owners += [5] * SPHERES
    points = np.concatenate(centres)
    radii = _distance_to_skin(points, vertices, faces)
    return _regress(vertices, points), radii, np.array(owners, dtype=np.int64), np.concatenate(blends)


def _distance_to_skin(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(P,) exact distances to the nearest triangle: to its plane where the foot lies inside, else to its edges."""
    corner = vertices[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-15)
    nearest = []
    for point in points:
        best, inside = np.inf, np.ones(len(faces), bool)
        for k in range(3):
            start, edge = corner[:, k], corner[:, (k + 1) % 3] - corner[:, k]
            offset = point - start
            share = ((offset * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-18)).clip(0, 1)
            best = min(best, np.linalg.norm(offset - share[:, None] * edge, axis=1).min())
            inside &= (np.cross(edge, offset) * normal).sum(1) >= 0
        height = np.abs(((point - corner[:, 0]) * normal).sum(1))
        nearest.append(min(best, height[inside].min() if inside.any() else np.inf))
    return np.array(nearest)


def _regress(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, V) rows summing to 1 that give each point from the skin around it, as evenly as can be."""
    rows = np.zeros((len(points), len(vertices)))
    for i, near in enumerate(cKDTree(vertices).query(points, k=40)[1]):
        local = np.vstack([(vertices[near] - points[i]).T * 100, np.ones(len(near))])
        rows[i, near] = 1 / len(near) + np.linalg.pinv(local) @ (np.array([0, 0, 0, 1.0]) - local.mean(1))
    return rows


FINGERS = ("thumb", "index", "middle", "ring", "little")


PARTS = (*FINGERS, "palm")
