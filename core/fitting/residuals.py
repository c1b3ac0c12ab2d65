"""Smooth penalties of a residual: each gives its value, its slope, and the weight of the residual's square.

The weight w is that of iteratively reweighted least squares, of which w x^2 / 2 has the penalty's slope at x, so that
w J'J is a positive Hessian. A penalty that is not smooth stalls a second-order method, so absolute values and maxima
have rounded corners.
"""

from __future__ import annotations

import numpy as np

#: value, slope and weight, of one shape
Penalty = tuple[np.ndarray, np.ndarray, np.ndarray]


def huber(x: np.ndarray) -> Penalty:
    """x^2 / 2 up to 1, linear beyond."""
    size = np.abs(x)
    return (np.where(size < 1, 0.5 * x * x, size - 0.5), np.clip(x, -1, 1), 1 / np.maximum(size, 1))


def smooth_abs(x: np.ndarray, width: float) -> Penalty:
    """|x| with a corner `width` wide: sqrt(x^2 + width^2) - width."""
    root = np.sqrt(x * x + width * width)
    return root - width, x / root, 1 / root


def hinge(x: np.ndarray, width: float) -> Penalty:
    """max(x, 0) with a corner from -width to width: (x + width)^2 / (4 width) there."""
    corner = np.abs(x) < width
    value = np.where(corner, (x + width) ** 2 / (4 * width), np.maximum(x, 0))
    slope = np.where(corner, (x + width) / (2 * width), x > 0)
    return value, slope, np.where(corner, 1 / (2 * width), slope / np.maximum(x, width))


def squared_hinge(x: np.ndarray) -> Penalty:
    """max(x, 0)^2."""
    over = np.maximum(x, 0)
    return over * over, 2 * over, np.where(x > 0, x.dtype.type(2), x.dtype.type(0))


def capped(penalty: Penalty, most: float) -> Penalty:
    """A penalty that grows no more where it has reached `most`."""
    value, slope, weight = penalty
    below = value < most
    return np.minimum(value, most), slope * below, weight * below


def weighted(scale: np.ndarray | float, *penalties: Penalty) -> Penalty:
    """The sum of penalties, times `scale`."""
    value, slope, weight = (sum(parts[1:], parts[0]) for parts in zip(*penalties, strict=True))
    return scale * value, scale * slope, scale * weight
