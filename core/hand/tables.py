"""Tables that belong to a hand and are computed from it: parts, contact regions, anchors and inner spheres.

Everything is found from the hand's own mesh, weights and joints, so the same code serves the embedded hand
and the user's MANO. All inputs are a right hand's (a left one is mirrored first); metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy.spatial import cKDTree

from core.hand.articulation import FIRST_JOINT
from core.hand.normals import vertex_normals

FINGERS: Final = tuple(FIRST_JOINT)  # thumb to little
PARTS: Final = (*FINGERS, "palm")
SPHERES: Final = 11  # in each part
_FIRST: Final = tuple(FIRST_JOINT.values())
_PALM: Final = PARTS.index("palm")


@dataclass(frozen=True)
class RestHand:
    """A right hand at rest; numpy, float64, metres.

    Attributes:
        vertices: (V, 3).
        faces: (F, 3) closed, outward.
        weights: (V, 16) of skinning.
        joints: (16, 3) in MANO's order.
        frames: (15, 3, 3) rows b, u, l of `articulation.joint_frames`.
        tips: (5,) vertices from `find_tips`.
        cap: vertices of the faces that close the wrist; never in a region.
    """

    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    joints: np.ndarray
    frames: np.ndarray
    tips: np.ndarray
    cap: np.ndarray

    def bone_ends(self, finger: int) -> np.ndarray:
        """(4, 3) the three joints of a finger and its tip."""
        first = _FIRST[finger]
        return np.stack([*self.joints[first : first + 3], self.vertices[self.tips[finger]]])


@dataclass(frozen=True)
class HandTables:
    """What `build_tables` finds; numpy, indices int64.

    Attributes:
        parts: (V,) the part of each vertex, an index into `PARTS`.
        regions: six arrays of vertices: the volar pads of the fingertips, and the palm's hollow.
        anchor_faces: (32, 3) corners of the triangle that each anchor is in.
        anchor_weights: (32, 3) barycentric weights of those.
        sphere_regressor: (66, V) rows summing to 1 that give the spheres' rest centres.
        sphere_radii: (66,) metres.
        sphere_parts: (66,) the part of each.
        sphere_weights: (66, 16) of skinning.
    """

    parts: np.ndarray
    regions: tuple[np.ndarray, ...]
    anchor_faces: np.ndarray
    anchor_weights: np.ndarray
    sphere_regressor: np.ndarray
    sphere_radii: np.ndarray
    sphere_parts: np.ndarray
    sphere_weights: np.ndarray


def build_tables(hand: RestHand) -> HandTables:
    """All tables of a right hand at rest."""
    normals = vertex_normals(torch.from_numpy(hand.vertices), torch.from_numpy(hand.faces.copy())).numpy()
    shares = np.stack([hand.weights[:, first : first + 3].sum(1) for first in _FIRST] + [hand.weights[:, 0]], 1)
    parts = shares.argmax(1)
    regions = (
        *(_fingertip_region(hand, normals, finger) for finger in range(5)),
        np.setdiff1d(_palm_region(hand, normals), hand.cap),
    )
    return HandTables(parts, regions, *_anchors(hand, regions[_PALM], parts), *_spheres(hand, parts))


def find_tips(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The fingertips: of each distal segment, the vertex that lies farthest along its finger.

    Args:
        vertices: (V, 3) at rest.
        weights: (V, 16) of skinning.
        joints: (16, 3) at rest, in MANO's order.

    Returns:
        (5,) vertices, thumb to little.
    """
    tips = []
    for first in _FIRST:
        segment = np.flatnonzero(weights[:, first + 2] > 0.5)
        along = (vertices[segment] - joints[first + 2]) @ (joints[first + 2] - joints[first + 1])
        tips.append(segment[along.argmax()])
    return np.array(tips, dtype=np.int64)


def _fingertip_region(hand: RestHand, normals: np.ndarray, finger: int) -> np.ndarray:
    """The volar skin of one fingertip, its vertices."""
    joint = _FIRST[finger] + 2
    volar = -hand.frames[joint - 1, 1]
    bone = hand.vertices[hand.tips[finger]] - hand.joints[joint]
    along = (hand.vertices - hand.joints[joint]) @ bone / (bone @ bone)
    return np.flatnonzero((hand.weights[:, joint] > 0.5) & (along > 0.25) & (normals @ volar > 0.15)).astype(np.int64)


def _palm_region(hand: RestHand, normals: np.ndarray) -> np.ndarray:
    """The hollow of the palm: volar skin of the palm's outer two thirds, its vertices."""
    joints = hand.joints
    knuckle = joints[4] - joints[0]
    along = (hand.vertices - joints[0]) @ knuckle / (knuckle @ knuckle)
    chosen = (normals[:, 1] < -0.55) & (hand.weights[:, 0] > 0.55) & (along > 0.3) & (along < 1.05)
    return np.flatnonzero(chosen).astype(np.int64)


def _cast(origin: np.ndarray, direction: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[int, np.ndarray]:
    """The first face that a ray from inside leaves through, and the barycentric weights of the point."""
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


def _anchors(hand: RestHand, palm: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (32, 3) of the anchors' triangles and their barycentric weights (32, 3): 25 on fingers, 7 on the palm."""
    vertices, faces = hand.vertices, hand.faces
    corners, weights = [], []

    def add(face: int, barycentric: np.ndarray) -> None:
        corners.append(faces[face])
        weights.append(barycentric / barycentric.sum())

    for finger, first in enumerate(_FIRST):
        ends = hand.bone_ends(finger)
        u = hand.frames[first, 1]
        for k in range(2):
            add(*_cast((ends[k] + ends[k + 1]) / 2, -u, vertices, faces))
        _, u, across = hand.frames[first + 1]
        middle = ends[2] + 0.55 * (ends[3] - ends[2])
        middle -= u * ((middle - ends[2]) @ u)
        for angle in np.deg2rad([0.0, 50.0, -50.0]):
            add(*_cast(middle, -u * np.cos(angle) + across * np.sin(angle), vertices, faces))
    candidates = palm if len(palm) >= 7 else np.flatnonzero(parts == _PALM)
    positions = vertices[candidates]
    chosen = [candidates[np.linalg.norm(positions - positions.mean(0), axis=1).argmin()]]
    while len(chosen) < 7:
        gap = np.linalg.norm(positions[:, None] - vertices[chosen], axis=-1).min(1)
        chosen.append(candidates[gap.argmax()])
    for vertex in chosen:
        face = int(np.flatnonzero((faces == vertex).any(1))[0])
        add(face, (faces[face] == vertex).astype(float))
    return np.array(corners, dtype=np.int64), np.array(weights)


def _mesh_points(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V + 4 F, 3) points on the mesh: vertices, face centres and edge midpoints."""
    corner = vertices[faces]
    return np.concatenate([vertices, corner.mean(1), (corner + np.roll(corner, 1, 1)).reshape(-1, 3) / 2])


def _centre_in_flesh(points: np.ndarray, tree: cKDTree, axis: np.ndarray, reach: float) -> np.ndarray:
    """(P, 3) points moved across `axis` (3,), at most `reach` metres, to where the nearest skin is farthest."""
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


def _spheres(hand: RestHand, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Regressor (66, V), radii (66,), parts (66,) and skinning weights (66, 16) of the inner spheres."""
    vertices, faces, weights, joints = hand.vertices, hand.faces, hand.weights, hand.joints
    mesh_tree, vertex_tree = cKDTree(_mesh_points(vertices, faces)), cKDTree(vertices)
    centres, sphere_parts, blends = [], [], []
    for finger in range(5):
        ends = hand.bone_ends(finger)
        lengths = np.linalg.norm(np.diff(ends, axis=0), axis=1)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        along = np.linspace(0.12 * starts[-1], starts[-1] - 0.0065, SPHERES)
        bone = np.clip(np.searchsorted(starts, along) - 1, 0, 2)
        share = (along - starts[bone]) / lengths[bone]
        points = ends[bone] + share[:, None] * (ends[bone + 1] - ends[bone])
        for k in range(3):
            axis = (ends[k + 1] - ends[k]) / lengths[k]
            points[bone == k] = _centre_in_flesh(points[bone == k], mesh_tree, axis, 0.006)
        blend = np.zeros((SPHERES, 16))
        for i in range(SPHERES):
            near = vertex_tree.query(points[i], k=16)[1]
            near = near[parts[near] == finger] if (parts[near] == finger).sum() >= 4 else near
            blend[i] = weights[near].mean(0)
        centres.append(points)
        blends.append(blend)
        sphere_parts += [finger] * SPHERES
    knuckle = joints[4] - joints[0]
    ends = np.array([joints[1], joints[4], joints[10], joints[7]])
    palm_points = [joints[0] + s * (end - joints[0]) for s in (0.5, 0.85) for end in ends]
    thumb, next_thumb = joints[13], joints[14]
    palm_points += [joints[0] + 0.22 * knuckle, joints[0] + 0.55 * (thumb - joints[0]),
                    0.45 * thumb + 0.55 * next_thumb]
    palm = _centre_in_flesh(np.array(palm_points), mesh_tree, knuckle / np.linalg.norm(knuckle), 0.008)
    centres.append(palm)
    near = vertex_tree.query(palm, k=24)[1]
    blends.append(weights[near].mean(1))
    sphere_parts += [_PALM] * SPHERES
    points = np.concatenate(centres)
    radii = _distance_to_skin(points, vertices, faces)
    return _regressor(vertices, points), radii, np.array(sphere_parts, dtype=np.int64), np.concatenate(blends)


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


def _regressor(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, V) rows summing to 1 that give each point from the skin around it, as evenly as can be."""
    rows = np.zeros((len(points), len(vertices)))
    for i, near in enumerate(cKDTree(vertices).query(points, k=40)[1]):
        local = np.vstack([(vertices[near] - points[i]).T * 100, np.ones(len(near))])
        rows[i, near] = 1 / len(near) + np.linalg.pinv(local) @ (np.array([0, 0, 0, 1.0]) - local.mean(1))
    return rows
