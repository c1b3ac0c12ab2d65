"""Measures against a given true grasp: joints and contact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject

TOUCH: Final = 0.002
POINTS: Final = 5000


def joint_error_mm(joints: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """MPJPE and R-MPJPE (wrist at the wrist), each (N,) millimetres, of joints (N, 21, 3) in metres."""
    plain = (joints - truth).norm(dim=-1).mean(-1)
    relative = ((joints - joints[:, :1]) - (truth - truth[:, :1])).norm(dim=-1).mean(-1)
    return 1000 * plain, 1000 * relative


def upsampled(vertices: np.ndarray, faces: np.ndarray, times: int = 2) -> np.ndarray:
    """The vertices (V, 3) and all midpoints of edges, `times` over."""
    for _ in range(times):
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        middle = len(vertices) + inverse.reshape(3, -1).T
        vertices = np.concatenate([vertices, vertices[unique].mean(1)])
        a, b, c = faces.T
        ab, bc, ca = middle.T
        faces = np.concatenate([np.stack(corners, 1) for corners in
                                ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return vertices


def touched(points: np.ndarray, skin: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(P,) bool: object points within 2 mm of the hand's skin, upsampled twice."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(upsampled(skin, faces)).query(points, distance_upper_bound=TOUCH)
    return distance <= TOUCH


def contact_scores(obj: GraspObject, hand: HandModel, skin: torch.Tensor, truth: torch.Tensor,
                   seed: int = 0) -> dict[str, torch.Tensor]:
    """Precision, recall and F1 (N,) of the object's points that hands (N, V, 3) touch, against true hands."""
    from core.objects.sampling import sample_surface

    points, _ = sample_surface(obj.surface.vertices, obj.surface.faces, POINTS, np.random.default_rng(seed))
    faces = hand.faces.cpu().numpy()
    rows = []
    for mine, right in zip(skin.cpu().double().numpy(), truth.cpu().double().numpy(), strict=True):
        one, two = touched(points, mine, faces), touched(points, right, faces)
        both = float((one & two).sum())
        precision, recall = both / max(1, one.sum()), both / max(1, two.sum())
        rows.append((precision, recall, 2 * precision * recall / max(1e-12, precision + recall)))
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 3)
    return {"precision": table[:, 0], "recall": table[:, 1], "f1": table[:, 2]}
