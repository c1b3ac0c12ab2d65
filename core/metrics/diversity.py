"""How varied grasps are: entropy and cluster size of k-means clusters, as the papers report them, and neighbours."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

CLUSTERS: Final = 20
#: of k-means, whose mean is told: by one the entropy of the same grasps is off by .03 to .07, as much as methods differ
STARTS: Final = 16
FEATURES: Final = ("whitened_joints", "canonical_joints_cm", "parameters")


def features(name: str, joints: torch.Tensor, parameters: torch.Tensor | None = None) -> np.ndarray:
    """(N, D) what is clustered.

    Args:
        name: whitened_joints (FastGrasp: 21 joints, each coordinate divided by its deviation), canonical_joints_cm
            (HALO: wrist at the origin, palm turned to one frame, centimetres) or parameters (D-VQVAE, as they are).
        joints: (N, 21, 3) metres. parameters: (N, P), for the last.
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
    moved = joints - joints[:, :1]
    x = torch.nn.functional.normalize(moved[:, 4], dim=1)
    side = moved[:, 1] - moved[:, 7]
    z = torch.nn.functional.normalize(torch.linalg.cross(x, side), dim=1)
    frame = torch.stack([x, torch.linalg.cross(z, x), z], 1)
    return moved @ frame.transpose(1, 2)


def clustered(values: np.ndarray, seed: int = 0, clusters: int = CLUSTERS) -> tuple[float, float]:
    """Entropy (natural log, at most ln 20 = 2.996) and mean distance to the nearest of k-means' 20 centres.

    Args:
        values: (N, D) features of more grasps than clusters. seed: of the first centres.

    Raises:
        ValueError: there are no more grasps than clusters, where both figures say nothing but how many there are.
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
