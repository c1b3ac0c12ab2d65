"""Rotations and rigid transforms in numpy, float64."""

from __future__ import annotations

import numpy as np

from .errors import GraspError


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies an affine transform.

    Args:
        matrix: (4, 4) affine.
        points: (N, 3).

    Returns:
        (N, 3) the transformed points.
    """
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def matrices_from_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices of quaternions.

    Args:
        quaternions: (..., 4) wxyz, of any length but zero.

    Returns:
        (..., 3, 3) float64.
    """
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quaternions_from_matrices(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions of rotation matrices, by the largest of the four squares (Shepperd).

    Args:
        matrices: (N, 3, 3) rotations.

    Returns:
        (N, 4) wxyz with w >= 0.
    """
    result = np.empty((len(matrices), 4))
    for row, m in enumerate(np.asarray(matrices, dtype=np.float64)):
        squares = np.array([m[0, 0] + m[1, 1] + m[2, 2], m[0, 0], m[1, 1], m[2, 2]])
        best = int(np.argmax(squares))
        if best == 0:
            q = np.array([1 + squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
        else:
            i, j, k = best - 1, best % 3, (best + 1) % 3
            q = np.empty(4)
            q[0] = m[k, j] - m[j, k]
            q[1 + i] = 1 + m[i, i] - m[j, j] - m[k, k]
            q[1 + j] = m[i, j] + m[j, i]
            q[1 + k] = m[i, k] + m[k, i]
        q /= np.linalg.norm(q)
        result[row] = -q if q[0] < 0 else q
    return result


def nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """The orthogonal factors of the polar decomposition.

    Args:
        matrices: (N, 3, 3) of positive determinant.

    Returns:
        (N, 3, 3) rotations.
    """
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def split_stretch(world: np.ndarray, name: str = "The object") -> tuple[np.ndarray, np.ndarray]:
    """The polar decomposition M = (T R) S of a world matrix.

    Args:
        world: (4, 4) affine M.
        name: what has this matrix, for the error's sentence.

    Returns:
        frame: (4, 4) rigid T R.
        stretch: (4, 4) symmetric S in that frame; negative definite where M mirrors.

    Raises:
        GraspError: M is singular or not finite.
    """
    left, sizes, right = np.linalg.svd(world[:3, :3])
    if not np.isfinite(world).all() or sizes[2] <= 1e-9 * sizes[0]:
        raise GraspError(f"{name} is scaled to nothing in a direction: set its scale (and its parents') above 0.")
    sign = np.sign(np.linalg.det(left @ right))
    frame, stretch = np.eye(4), np.eye(4)
    frame[:3, :3], frame[:3, 3] = sign * (left @ right), world[:3, 3]
    stretch[:3, :3] = sign * (right.T * sizes) @ right
    return frame, stretch
