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
    m = np.asarray(matrices, dtype=np.float64)
    diagonal = m.diagonal(axis1=1, axis2=2)
    best = np.argmax(np.column_stack([diagonal.sum(axis=1), diagonal]), axis=1)
    found = np.empty((len(m), 4))
    here = best == 0
    r = m[here]
    found[here] = np.stack([1 + diagonal[here].sum(axis=1), r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0],
                            r[:, 1, 0] - r[:, 0, 1]], axis=1)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        here = best == 1 + i
        r = m[here]
        values = (r[:, k, j] - r[:, j, k], 1 + r[:, i, i] - r[:, j, j] - r[:, k, k], r[:, i, j] + r[:, j, i],
                  r[:, i, k] + r[:, k, i])
        for column, value in zip((0, 1 + i, 1 + j, 1 + k), values, strict=True):
            found[here, column] = value
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(found[:, :1] < 0, -found, found)


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
