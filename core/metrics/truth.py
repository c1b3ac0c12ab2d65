"""Measures against a given true grasp: joints and contact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.grasps.contact import CONTACT_TOLERANCE, touches
from core.objects.sampling import sample_surface
from core.progress import Progress

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: drawn on the object's surface, as in CHOIR's App. C.1
POINTS: Final = 5000


def truth_measures(obj: GraspObject, hand: HandModel, grasps: Grasps, truth: Grasps,
                   progress: Progress | None = None) -> dict[str, torch.Tensor]:
    """N grasps against as many true ones of the same hand and object, in order.

    Args:
        obj: the object.
        hand: the hand.
        grasps: N, in the object's frame.
        truth: N, likewise.
        progress: told after each grasp; None hears nothing.

    Returns:
        mpjpe_mm and r_mpjpe_mm, contact_precision, contact_recall, contact_f1 and contact_object_f1, each (N,).
    """
    with torch.no_grad():
        posed, true = (hand(**some.to(hand.v_template.device).parameters()) for some in (grasps, truth))
    absolute, relative = joint_error_mm(posed.joints.cpu(), true.joints.cpu())
    contact = contact_scores(obj, hand, posed.vertices, true.vertices, progress=progress)
    return {"mpjpe_mm": absolute, "r_mpjpe_mm": relative,
            **{f"contact_{name}": value for name, value in contact.items()}}


def joint_error_mm(joints: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean per joint position errors.

    Args:
        joints: (N, 21, 3) metres.
        truth: (N, 21, 3) metres.

    Returns:
        MPJPE and R-MPJPE (relative to the wrist), each (N,) millimetres.
    """
    absolute = (joints - truth).norm(dim=-1).mean(-1)
    relative = ((joints - joints[:, :1]) - (truth - truth[:, :1])).norm(dim=-1).mean(-1)
    return 1000 * absolute, 1000 * relative


def upsampled(vertices: np.ndarray, faces: np.ndarray, times: int = 2) -> np.ndarray:
    """The vertices of a mesh after each triangle was split into four, `times` over.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        times: how often.

    Returns:
        (W, 3), the given ones first.
    """
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
    """(P,) bool: points (P, 3) in contact with the nearest of `others` (Q, 3), all in metres."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(others).query(points, distance_upper_bound=CONTACT_TOLERANCE)
    return touches(distance)


def contact_scores(obj: GraspObject, hand: HandModel, hand_vertices: torch.Tensor, truth: torch.Tensor,
                   seed: int = 0, progress: Progress | None = None) -> dict[str, torch.Tensor]:
    """Precision, recall and F1 of hands' contact maps, against those of true hands (CHOIR, App. C.1).

    What is compared is the hand's contact: the vertices of its mesh, upsampled twice, that are within 2 mm of the
    object's points. `object_f1` is stricter and not the paper's: of the object's points that the hand touches, so that
    the right finger must be at the right place. All are 0 where nothing is touched in common, also where neither hand
    touches anything.

    Args:
        obj: the object.
        hand: whose mesh it is.
        hand_vertices: (N, V, 3) object frame, metres.
        truth: (N, V, 3) likewise, of the true hands.
        seed: of the object's points.
        progress: told after each hand; None hears nothing.

    Returns:
        precision, recall, f1 and object_f1, each (N,).
    """
    progress = progress or Progress()
    points, _ = sample_surface(obj.surface.vertices, obj.surface.faces, POINTS, np.random.default_rng(seed))
    faces = hand.faces.cpu().numpy()
    rows = []
    for pair in zip(hand_vertices.cpu().double().numpy(), truth.cpu().double().numpy(), strict=True):
        predicted, true = (upsampled(vertices, faces) for vertices in pair)
        of_hand = agreement(touching(predicted, points), touching(true, points))
        rows.append((*of_hand, agreement(touching(points, predicted), touching(points, true))[2]))
        progress(len(rows) / len(hand_vertices))
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return dict(zip(("precision", "recall", "f1", "object_f1"), table.unbind(1), strict=True))


def agreement(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 of a binary map (P,) against the true one (P,)."""
    both = float((predicted & true).sum())
    precision, recall = both / max(1, predicted.sum()), both / max(1, true.sum())
    return precision, recall, 2 * precision * recall / max(1e-12, precision + recall)
