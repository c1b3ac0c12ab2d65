"""Frechet distances between sets of grasps, in joint-angle and in contact space.

JHOD reports a FID over renders, which needs an Inception network that cannot be had here. These are the same distance
between Gaussians, of features that say what a hand does; they do not compare with a published FID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject

REACH = 0.03  # metres: an anchor farther than this from the object is away


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the Gaussians of (N, D) and (M, D) features.

    Dowson and Landau (1982), equation 16.
    """
    from scipy.linalg import sqrtm

    difference = first.mean(0) - second.mean(0)
    one, two = (np.atleast_2d(np.cov(values, rowvar=False)) for values in (first, second))
    root = sqrtm(one @ two)
    if not np.isfinite(root).all():  # singular: as FID's own code does
        eye = 1e-6 * np.eye(len(one))
        root = sqrtm((one + eye) @ (two + eye))
    return float(difference @ difference + np.trace(one + two - 2 * np.real(root)))


def angle_features(hand: HandModel, hand_pose: torch.Tensor) -> np.ndarray:
    """(N, 21) the finger angles in radians."""
    return hand.dofs_from_pose(hand_pose).detach().cpu().double().numpy()


def contact_features(obj: GraspObject, hand: HandModel, vertices: torch.Tensor) -> np.ndarray:
    """(N, 32) centimetres from the hand's anchors to the object's surface, at most 3, of vertices (N, V, 3)."""
    distance, _ = obj.grid.query(hand.anchors(vertices).detach())
    return 100 * distance.clamp(-REACH, REACH).cpu().double().numpy()
