"""Pose correctives in MANO's form (linear in the joint rotations), fitted to a skinning that keeps its volume."""

from __future__ import annotations

import numpy as np


def fit_correctives(hand: dict[str, np.ndarray]) -> np.ndarray:
    """(V, 3, 135) correctives of a hand in MANO's arrays; none yet."""
    return np.zeros((len(hand["v_template"]), 3, 135), np.float16)
