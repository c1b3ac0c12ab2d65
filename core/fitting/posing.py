"""Hands posed in NumPy, with the Jacobian of every point in closed form: any chain of joints, skinned linearly.

`HandModel` poses hands in PyTorch, for learning. A fit needs what a second-order method needs: how each point moves
with each unknown, without a graph of operations. With q_k the angle of link k about the axis a_k at the point o_k of
the hand at rest, G the turn of a link and x the place of its origin,

    G_k = G_parent(k) R(a_k, q_k),    x_k = x_parent(k) + G_parent(k) (o_k - o_parent(k))

a point p that bones carry with weights w moves with q_k as

    dp / dq_k = s_k(p) (G_k a_k) x (p - x_k),    s_k(p) = sum of w over the bones that q_k moves

which is exact where the bones that q_k moves carry all of p, and else leaves out that they carry it together with
others. The unknowns of a hand are the wrist's turn about a point c (3), that point's shift (3), and the angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: columns of the unknowns: the wrist's turn, its shift, then the joint angles
TURN, SHIFT, ANGLES = slice(0, 3), slice(3, 6), slice(6, None)
#: products of matrices of at most so many multiplications: for larger ones OpenBLAS starts threads, whose number would
#: then be in the last bits, and which would take the processor from other work
PRODUCT: Final = 2**18
#: hands whose correctives are computed in one product
HANDS: Final = 16


@dataclass(frozen=True)
class HandPoses:
    """B hands of one shape in the object's frame, float32.

    Attributes:
        rotation: (B, 3, 3) of the wrist.
        wrist: (B, 3) metres, the wrist joint.
        dofs: (B, D) joint angles, radians.
    """

    rotation: np.ndarray
    wrist: np.ndarray
    dofs: np.ndarray

    def __len__(self) -> int:
        return len(self.wrist)

    def __getitem__(self, rows: np.ndarray) -> HandPoses:
        return HandPoses(self.rotation[rows], self.wrist[rows], self.dofs[rows])

    def with_rows(self, rows: np.ndarray, others: HandPoses) -> HandPoses:
        """These poses, `others` in their place at `rows`."""
        rotation, wrist, dofs = self.rotation.copy(), self.wrist.copy(), self.dofs.copy()
        rotation[rows], wrist[rows], dofs[rows] = others.rotation, others.wrist, others.dofs
        return HandPoses(rotation, wrist, dofs)


@dataclass(frozen=True)
class Links:
    """Where the links of B posed chains are.

    Attributes:
        moves: (B, J, 3, 4) maps of the bones, from rest points relative to the wrist to posed ones, metres.
        axes: (B, D, 3) the axes of the angles as posed, unit.
        origins: (B, D, 3) points on those axes, metres.
    """

    moves: np.ndarray
    axes: np.ndarray
    origins: np.ndarray


class Chain:
    """Bones that hang at each other, each turned about fixed axes by joint angles.

    Args:
        parents: (J,) of each bone, -1 for the first; parents come before their children.
        joints: (J, 3) at rest relative to the first, metres.
        axes: (D, 3) unit axes of the angles at rest.
        turned: (D,) the bone that each angle turns; of one bone the first angle is applied last.

    Attributes:
        moved: (D, J) 1 where an angle moves a bone.
    """

    def __init__(self, parents: Sequence[int], joints: np.ndarray, axes: np.ndarray, turned: Sequence[int]) -> None:
        count = len(turned)
        self._parents, self._joints, self._axes = np.asarray(parents), np.asarray(joints, np.float32), axes
        parent, origin, level = np.zeros(count + 1, int), np.zeros((count + 1, 3), np.float32), np.zeros(count + 1, int)
        last, moved = np.zeros(len(joints), int), np.zeros((count, len(joints)), np.float32)
        for bone, above in enumerate(parents):
            link = last[above] if above >= 0 else 0
            if above >= 0:
                moved[:, bone] = moved[:, above]
            for angle in np.flatnonzero(np.asarray(turned) == bone):
                parent[angle + 1], origin[angle + 1], level[angle + 1] = link, joints[bone], level[link] + 1
                link, moved[angle, bone] = angle + 1, 1
            last[bone] = link
        self.moved = moved
        self._last, self._origin = last, origin
        self._levels = [(rows, parent[rows], origin[rows] - origin[parent[rows]])
                        for rows in (np.flatnonzero(level == depth) for depth in range(1, level.max() + 1))]
        self._cross = cross_matrix(np.asarray(axes, np.float32))
        self._square = self._cross @ self._cross

    def posed(self, poses: HandPoses) -> Links:
        """Forward kinematics of B hands."""
        count, angle = len(poses), poses.dofs[..., None, None]
        own = np.eye(3, dtype=np.float32) + np.sin(angle) * self._cross + (1 - np.cos(angle)) * self._square
        turn = np.empty((count, len(self._origin), 3, 3), np.float32)
        place = np.empty((count, len(self._origin), 3), np.float32)
        turn[:, 0], place[:, 0] = poses.rotation, poses.wrist
        for rows, parents, along in self._levels:
            above = turn[:, parents]
            turn[:, rows] = above @ own[:, rows - 1]
            place[:, rows] = place[:, parents] + (above @ along[..., None])[..., 0]
        offset = place - (turn @ self._origin[..., None])[..., 0]
        moves = np.concatenate((turn, offset[..., None]), -1)[:, self._last]
        return Links(moves, (turn[:, 1:] @ self._axes[..., None])[..., 0], place[:, 1:])

    def own_turns(self, moves: np.ndarray) -> np.ndarray:
        """(B, 9 (J - 1)) each bone's rotation against its parent's, less identity, of moves (B, J, 3, 4)."""
        turn = moves[..., :3]
        own = turn[:, self._parents[1:]].transpose(0, 1, 3, 2) @ turn[:, 1:]
        return (own - np.eye(3, dtype=np.float32)).reshape(len(moves), -1)

    def joints_under(self, moves: np.ndarray) -> np.ndarray:
        """(B, J, 3) the joints under moves (B, J, 3, 4), metres."""
        return (moves[..., :3] @ self._joints[..., None])[..., 0] + moves[..., 3]


class SkinnedPoints:
    """Points that bones carry.

    Args:
        chain: the bones.
        rest: (P, 3) relative to the wrist, metres.
        weights: (P, J) of skinning.
        normals: (P, 3) outward at rest, unit; None where none are asked for.
        correctives: (9 (J - 1), 3 P) metres by which rest points move with the bones' own turns; None for none.

    Attributes:
        carried: (P, D) share of each point that each angle moves.
    """

    def __init__(self, chain: Chain, rest: np.ndarray, weights: np.ndarray, normals: np.ndarray | None = None,
                 correctives: np.ndarray | None = None) -> None:
        self._chain, self._rest, self._weights = chain, np.asarray(rest, np.float32), np.asarray(weights, np.float32)
        self._normals = normals
        self._correctives = None if correctives is None else _blocks(correctives, HANDS)
        one = np.concatenate((self._rest, np.ones_like(self._rest[:, :1])), 1)
        self._rows = self._products(one)
        self._turned = [] if normals is None else self._products(np.asarray(normals, np.float32))
        self.carried = np.einsum("pj,dj->pd", self._weights, chain.moved)

    def __len__(self) -> int:
        return len(self._rest)

    def _products(self, values: np.ndarray) -> list[np.ndarray]:
        """Products of the weights and values (P, K) at rest, as blocks of a matrix (J K, P)."""
        return _blocks((self._weights[:, :, None] * values[:, None]).reshape(len(values), -1).T, 3)

    def posed(self, moves: np.ndarray) -> np.ndarray:
        """(B, P, 3) the points under moves (B, J, 3, 4) of the bones, metres."""
        points = _blended(moves, self._rows)
        if self._correctives is None:
            return points
        turn = (self._weights @ moves[..., :3].reshape(*moves.shape[:2], 9)).reshape(*points.shape[:2], 3, 3)
        return points + (turn @ self._offsets(moves)[..., None])[..., 0]

    def normals(self, moves: np.ndarray) -> np.ndarray:
        """(B, P, 3) unit normals, turned with the bones."""
        return unit(_blended(moves[..., :3], self._turned))

    def chosen(self, rows: np.ndarray, moves: np.ndarray) -> ChosenPoints:
        """Some points of each hand, their correctives as they are under the moves.

        Args:
            rows: (B, K) of the points.
            moves: (B, J, 3, 4) of the bones.
        """
        if self._normals is None:
            raise ValueError("these points have no normals")
        rest = self._rest[rows]
        if self._correctives is not None:
            rest = rest + np.take_along_axis(self._offsets(moves), rows[..., None], 1)
        return ChosenPoints(rest, self._weights[rows], self._normals[rows])

    def _offsets(self, moves: np.ndarray) -> np.ndarray:
        """(B, P, 3) metres by which the correctives move the rest points."""
        turns = self._chain.own_turns(moves)
        parts = [np.concatenate([turns[first : first + HANDS] @ block for block in self._correctives or ()], 1)
                 for first in range(0, len(turns), HANDS)]
        return np.concatenate(parts).reshape(len(moves), -1, 3)


@dataclass(frozen=True)
class ChosenPoints:
    """K points of each of B hands that bones carry.

    Attributes:
        rest: (B, K, 3) relative to the wrist, metres.
        weights: (B, K, J) of skinning.
        rest_normals: (B, K, 3) outward at rest, unit.
    """

    rest: np.ndarray
    weights: np.ndarray
    rest_normals: np.ndarray

    def posed(self, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, K, 3) points and (B, K, 3) normals, of nearly unit length, under moves (B, J, 3, 4)."""
        blend = (self.weights @ moves.reshape(*moves.shape[:2], 12)).reshape(*self.rest.shape[:2], 3, 4)
        point, normal = self.rest[:, :, None], self.rest_normals[:, :, None]
        return ((blend[..., :3] * point).sum(-1) + blend[..., 3]), (blend[..., :3] * normal).sum(-1)


def slopes_along(points: np.ndarray, directions: np.ndarray, carried: np.ndarray, links: Links,
                 centre: np.ndarray) -> np.ndarray:
    """How points move along directions with the unknowns of their hand.

    Args:
        points: (B, K, 3) metres.
        directions: (B, K, 3).
        carried: (B or 1, K, D) share of each point that each angle moves.
        links: of the hands.
        centre: (B, 3) the point that the wrist turns about, metres.

    Returns:
        (B, K, 6 + D) cm for a radian of turn, for a cm of shift and for a radian of each angle.
    """
    torque = cross(points, directions)
    screw = np.concatenate((links.axes, cross(links.origins, links.axes)), -1)
    angles = carried * (np.concatenate((torque, directions), -1) @ screw.transpose(0, 2, 1))
    turn = torque - cross(np.broadcast_to(centre[:, None], directions.shape), directions)
    return np.concatenate((100 * turn, directions, 100 * angles), -1)


def moved_by(poses: HandPoses, step: np.ndarray, pivot: np.ndarray) -> HandPoses:
    """The poses after a step (B, 6 + D) of the unknowns.

    Args:
        poses: B hands.
        step: radians of turn, cm of shift, radians of the angles.
        pivot: (3,) the point that the wrist turns about, from the wrist at rest, metres.
    """
    rotation = rotations(step[:, TURN]) @ poses.rotation
    centre = poses.rotation @ pivot + poses.wrist + step[:, SHIFT] / 100
    return HandPoses(rotation, (centre - rotation @ pivot).astype(np.float32), poses.dofs + step[:, ANGLES])


def _blocks(matrix: np.ndarray, rows: int) -> list[np.ndarray]:
    """A matrix (K, N) in blocks of columns, of which the product with one of `rows` rows is within `PRODUCT`."""
    width = max(1, PRODUCT // (rows * len(matrix)))
    return [np.ascontiguousarray(matrix[:, first : first + width]) for first in range(0, matrix.shape[1], width)]


def _blended(moves: np.ndarray, blocks: list[np.ndarray]) -> np.ndarray:
    """(B, P, 3) linear blend skinning of moves (B, J, 3, K) and products (J K, P) in blocks, hand by hand."""
    flat = moves.transpose(0, 2, 1, 3).reshape(len(moves), 3, -1)
    return np.concatenate([flat @ rows for rows in blocks], -1).transpose(0, 2, 1)


def rotations(vectors: np.ndarray) -> np.ndarray:
    """(B, 3, 3) float32 rotation matrices of axis-angle vectors (B, 3), by Rodrigues' formula."""
    angle = np.sqrt((vectors * vectors).sum(-1, keepdims=True) + 1e-16)
    turn, angle = cross_matrix(vectors / angle), angle[..., None]
    matrix = np.eye(3) + np.sin(angle) * turn + (1 - np.cos(angle)) * (turn @ turn)
    return matrix.astype(np.float32)


def cross_matrix(vectors: np.ndarray) -> np.ndarray:
    """(..., 3, 3) matrices K of vectors r (..., 3), such that K w = r x w."""
    matrix = np.zeros((*vectors.shape, 3), vectors.dtype)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    matrix[..., 0, 1], matrix[..., 0, 2], matrix[..., 1, 2] = -z, y, -x
    matrix[..., 1, 0], matrix[..., 2, 0], matrix[..., 2, 1] = z, -y, x
    return matrix


def cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(..., 3) cross products; np.cross takes several times as long."""
    x, y, z = one[..., 0], one[..., 1], one[..., 2]
    u, v, w = other[..., 0], other[..., 1], other[..., 2]
    return np.stack((y * w - z * v, z * u - x * w, x * v - y * u), -1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) vectors of unit length."""
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-9)
