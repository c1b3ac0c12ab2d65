"""What tests of an object's convex pieces share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull


@pytest.fixture(scope="session")
def uncovered():
    """A function: distance of points (P, 3) outside the union of the pieces' hulls, at least."""
    def distance(pieces, points):
        best = np.full(len(points), np.inf)
        for hull in pieces.hulls:
            planes = ConvexHull(hull).equations
            best = np.minimum(best, (points @ planes[:, :3].T + planes[:, 3]).max(1))
        return best
    return distance
