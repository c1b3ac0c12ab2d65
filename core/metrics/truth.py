"""Measures against a given true grasp: joints and contact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

TOUCH: Final = 0.002
POINTS: Final = 5000


def truth_measures(obj: GraspObject, hand: HandModel, grasps: Grasps, truth: Grasps,
                   tell: Callable[[float], object] | None = None) -> dict[str, torch.Tensor]:
    """N grasps against as many true ones of the same hand and object, in order.

    Args:
        tell: called with the share that is done, after each grasp; ends the work by raising.

    Returns:
        mpjpe_mm and r_mpjpe_mm, contact_precision, contact_recall, contact_f1 and contact_object_f1, each (N,).
    """
    with torch.no_grad():
        posed, right = (hand(**some.to(hand.v_template.device).parameters()) for some in (grasps, truth))
    plain, relative = joint_error_mm(posed.joints.cpu(), right.joints.cpu())
    contact = contact_scores(obj, hand, posed.vertices, right.vertices, tell=tell)
    return {"mpjpe_mm": plain, "r_mpjpe_mm": relative, **{f"contact_{name}": value for name, value in contact.items()}}


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


def touching(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P,) bool: points (P, 3) within 2 mm of the nearest of `others` (Q, 3)."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(others).query(points, distance_upper_bound=TOUCH)
    return distance <= TOUCH


def contact_scores(obj: GraspObject, hand: HandModel, skin: torch.Tensor, truth: torch.Tensor,
                   seed: int = 0, tell: Callable[[float], object] | None = None) -> dict[str, torch.Tensor]:
    """Precision, recall and F1 (N,) of where hands (N, V, 3) are touched, against true hands (CHOIR, App. C.1).

    What is compared is the hand's contact: the vertices of its mesh, upsampled twice, that are within 2 mm of the
    object's points. `object_f1` is stricter and not the paper's: of the object's points that the hand touches, so that
    the right finger must be at the right place. All are 0 where nothing is touched in common, also where neither hand
    touches anything.
    """
    from core.objects.sampling import sample_surface

    points, _ = sample_surface(obj.surface.vertices, obj.surface.faces, POINTS, np.random.default_rng(seed))
    faces = hand.faces.cpu().numpy()
    rows = []
    for pair in zip(skin.cpu().double().numpy(), truth.cpu().double().numpy(), strict=True):
        mine, right = (upsampled(vertices, faces) for vertices in pair)
        of_hand = agreement(touching(mine, points), touching(right, points))
        rows.append((*of_hand, agreement(touching(points, mine), touching(points, right))[2]))
        if tell is not None:
            tell(len(rows) / len(skin))
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return dict(zip(("precision", "recall", "f1", "object_f1"), table.unbind(1), strict=True))


def agreement(mine: np.ndarray, right: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 of one binary map (P,) against another."""
    both = float((mine & right).sum())
    precision, recall = both / max(1, mine.sum()), both / max(1, right.sum())
    return precision, recall, 2 * precision * recall / max(1e-12, precision + recall)
