"""Which grasps are really different, once the object's own symmetry is taken away: the one test of "no two alike"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from core.quality.symmetry import Symmetry

#: metres of mean joint distance from which two grasps are different, as in the strict protocol
DIFFERENT: Final = 0.03


def distinct(order: Iterable[int], differ: Callable[[int, int], bool]) -> Iterator[int]:
    """Chooses greedily: yields, in order, each row that differs from all rows yielded before.

    Args:
        order: rows, best first.
        differ: whether two rows differ.
    """
    chosen: list[int] = []
    for row in order:
        if all(differ(row, other) for other in chosen):
            chosen.append(row)
            yield row


def different_grasps(joints: torch.Tensor, symmetry: Symmetry, apart: float = DIFFERENT) -> list[int]:
    """Rows of the grasps that differ from all rows before them, in order.

    Args:
        joints: (N, 21, 3) metres, object frame.
        symmetry: of the object: two grasps are compared under the best of its rotations.
        apart: mean joint distance in metres from which grasps are different.
    """
    points = joints.detach().cpu().double().numpy() - symmetry.centre
    return list(distinct(range(len(points)),
                         lambda row, other: joint_distance(points[row], points[other], symmetry) >= apart))


def most_different(joints: torch.Tensor, symmetry: Symmetry, apart: float = DIFFERENT,
                   value: torch.Tensor | None = None) -> list[int]:
    """Rows of a largest set of grasps of which every two differ; the strict protocol counts them.

    Unlike `different_grasps` it does not depend on the order: the largest independent set of the graph that joins
    what is alike, found exactly as an integer programme.

    Args:
        joints: (N, 21, 3) metres, object frame.
        symmetry: of the object.
        apart: mean joint distance in metres from which grasps are different.
        value: (N,) 0 to 100; among sets of the same size the one of the highest sum is taken.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    points = joints.detach().cpu().double().numpy() - symmetry.centre
    count = len(points)
    alike = [(i, j) for j in range(count) for i in range(j) if joint_distance(points[j], points[i], symmetry) < apart]
    if not alike:
        return list(range(count))
    row = np.repeat(np.arange(len(alike)), 2)
    pairs = coo_array((np.ones(2 * len(alike)), (row, np.array(alike).ravel())), shape=(len(alike), count))
    worth = np.ones(count) if value is None else 1 + value.double().cpu().numpy() / (101 * count)
    found = milp(-worth, integrality=np.ones(count), bounds=Bounds(0, 1), constraints=LinearConstraint(pairs, ub=1))
    return np.flatnonzero(found.x > 0.5).tolist()


def joint_distance(first: np.ndarray, second: np.ndarray, symmetry: Symmetry) -> float:
    """Mean distance of the joints of two hands under the best rotation of the object, metres.

    Args:
        first: (21, 3) joints, metres, about the symmetry's centre.
        second: (21, 3) likewise.
        symmetry: of the object.
    """
    rotations = symmetry.rotations
    if symmetry.kind == "sphere":
        rotations = _best_rotation(first, second)[None]
    turned = first @ rotations.transpose(0, 2, 1)
    return float(np.linalg.norm(turned - second, axis=-1).mean(-1).min())


def _best_rotation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about the origin that brings `first` onto `second` (Kabsch)."""
    left, _, right = np.linalg.svd(first.T @ second)
    sign = np.sign(np.linalg.det(right.T @ left.T))
    return right.T @ np.diag([1.0, 1.0, sign]) @ left.T
