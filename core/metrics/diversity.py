"""How diverse grasps are: entropy and cluster size of k-means clusters, as the papers report them, and neighbours."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

#: of k-means, as in the papers
CLUSTERS: Final = 20
#: runs of k-means that are averaged: a single run's entropy of the same grasps varies as much as methods differ
RUNS: Final = 16
FEATURES: Final = ("whitened_joints", "canonical_joints_cm", "parameters")


def features(name: str, joints: torch.Tensor, parameters: torch.Tensor | None = None) -> np.ndarray:
    """What is clustered.

    Args:
        name: whitened_joints (FastGrasp: 21 joints, each coordinate divided by its standard deviation),
            canonical_joints_cm (HALO: wrist at the origin, palm rotated to one frame, centimetres) or parameters
            (D-VQVAE, as they are).
        joints: (N, 21, 3) metres.
        parameters: (N, P), for the last.

    Returns:
        (N, D) float64.

    Raises:
        ValueError: there are no features of that name, or the parameters are missing.
    """
    if name == "whitened_joints":
        flat = joints.double().reshape(len(joints), -1).numpy()
        spread = flat.std(0)
        return flat / np.where(spread > 1e-12, spread, 1.0)
    if name == "canonical_joints_cm":
        return 100 * canonical(joints).double().reshape(len(joints), -1).numpy()
    if name == "parameters" and parameters is not None:
        return parameters.double().numpy()
    raise ValueError(f"features are one of {', '.join(FEATURES)}, not {name}")


def canonical(joints: torch.Tensor) -> torch.Tensor:
    """(N, 21, 3) joints with the wrist at the origin, the middle knuckle along x, the palm's plane in x and y."""
    relative = joints - joints[:, :1]
    x = torch.nn.functional.normalize(relative[:, 4], dim=1)
    side = relative[:, 1] - relative[:, 7]
    z = torch.nn.functional.normalize(torch.linalg.cross(x, side), dim=1)
    frame = torch.stack([x, torch.linalg.cross(z, x), z], 1)
    return relative @ frame.transpose(1, 2)


def clustered(values: np.ndarray, seed: int = 0, clusters: int = CLUSTERS) -> tuple[float, float]:
    """The papers' two measures of diversity, by one run of k-means.

    Args:
        values: (N, D) features of more grasps than clusters.
        seed: of the first centres (k-means++).
        clusters: how many there are.

    Returns:
        The entropy of the clusters' shares (natural logarithm: at most ln 20 = 2.996), and the mean distance to the
        nearest cluster's centre, in the features' unit.

    Raises:
        ValueError: there are no more grasps than clusters, where both values say nothing but how many there are.
    """
    from scipy.cluster.vq import kmeans2, vq

    count = len(values)
    if count <= clusters:
        raise ValueError(f"The entropy over {clusters} clusters needs more than {clusters} grasps, not {count}.")
    centres = np.unique(values, axis=0)
    if len(centres) > clusters:
        centres, _ = kmeans2(values, clusters, minit="++", seed=np.random.default_rng(seed), iter=50)
    label, distance = vq(values, centres)
    share = np.bincount(label) / count
    share = share[share > 0]
    return float(-(share * np.log(share)).sum()), float(distance.mean())


def nearest_neighbour_degrees(dofs: torch.Tensor) -> torch.Tensor:
    """(N,) root-mean-square angle in degrees from each posture (N, D radians) to the one most like it."""
    nearest = []
    for start in range(0, len(dofs), 2048):
        apart = torch.cdist(dofs[start : start + 2048], dofs)
        apart[:, start:].fill_diagonal_(torch.inf)
        nearest.append(apart.amin(1))
    return torch.rad2deg(torch.cat(nearest) / dofs.shape[1] ** 0.5) if nearest else torch.zeros(0)
