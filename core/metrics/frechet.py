"""Frechet distances between sets of grasps, in joint-angle and in contact space.

JHOD reports a FID over renders, which needs an Inception network that is not among this project's weights. These are
the same distance between Gaussians, of features that describe the hand; they do not compare with a published FID. Like
that one they come out larger for few grasps: only sets of like size compare.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.files import digest_of, load_arrays, save_arrays, user_cache
from core.progress import Progress

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: metres: distances of the hand's anchors from the object are clamped to this
REACH: Final = 0.03
SPACES: Final = ("angles", "contact")
#: how training grasps may be held out
SPLITS: Final = ("shape", "family")
#: of the features; part of the cache files' names
VERSION: Final = 1


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the Gaussians of (N, D) and (M, D) features.

    Dowson and Landau, "The Frechet Distance between Multivariate Normal Distributions" (1982), equation 16. The trace
    of the root is that of (C1^(1/2) C2 C1^(1/2))^(1/2), which also exists where features do not vary.
    """
    difference = first.mean(0) - second.mean(0)
    c1, c2 = (np.atleast_2d(np.cov(values, rowvar=False)) for values in (first, second))
    values, axes = np.linalg.eigh(c1)
    root = axes * np.sqrt(np.maximum(values, 0)) @ axes.T
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c2 @ root), 0)).sum()
    return max(0.0, float(difference @ difference + np.trace(c1) + np.trace(c2) - 2 * common))


def angle_features(hand: HandModel, hand_pose: torch.Tensor) -> np.ndarray:
    """(N, 21) the joint angles, radians, of hand poses (N, 45)."""
    return hand.dofs_from_pose(hand_pose).detach().cpu().double().numpy()


def contact_features(obj: GraspObject, hand: HandModel, vertices: torch.Tensor) -> np.ndarray:
    """(N, 32) signed centimetres from the object's surface to the hands' anchors, clamped, of vertices (N, V, 3)."""
    distance, _ = obj.grid.query(hand.anchors(vertices.to(hand.v_template.device)).detach().cpu())
    return 100 * distance.clamp(-REACH, REACH).cpu().double().numpy()


def grasp_features(obj: GraspObject, hand: HandModel, grasps: Grasps) -> dict[str, np.ndarray]:
    """Both spaces' features of grasps of one object: angles (N, 21) in radians, contact (N, 32) in centimetres."""
    with torch.no_grad():
        vertices = hand(**grasps.to(hand.v_template.device).parameters()).vertices
    return {"angles": angle_features(hand, grasps.hand_pose), "contact": contact_features(obj, hand, vertices.cpu())}


def held_out_features(training: str | Path, split: str, hand: HandModel, folder: str | Path | None = None,
                      objects: str | Path | None = None, progress: Progress | None = None) -> dict[str, np.ndarray]:
    """The features of the training grasps that are held out, on their own objects.

    Args:
        training: the file of training grasps.
        split: one of `SPLITS`.
        hand: the right hand.
        folder: where the features are kept, by the content of file and hand; None is the user's cache folder.
        objects: a folder for prepared objects (`core.dataset.training_grasps.training_object`).
        progress: told after each object; None hears nothing.

    Returns:
        Space to features, as `grasp_features` gives them.

    Raises:
        ValueError: nothing is held out in that split.
    """
    folder = user_cache("frechet") if folder is None else Path(folder)
    path = folder / f"{digest_of(training)}-{hand.digest}-{split}-{VERSION}.npz"
    try:
        stored = load_arrays(path)
        return {space: stored[space] for space in SPACES}
    except (FileNotFoundError, ValueError, KeyError):
        pass  # none yet, or damaged
    from core.dataset.training_grasps import load_training, training_object

    held = load_training(training).split(split)
    numbers = np.unique(held.object)
    if not len(numbers):
        raise ValueError(f"{Path(training).name} holds no grasps that are held out by {split}.")
    progress = progress or Progress()
    found: list[dict[str, np.ndarray]] = []
    for number in numbers:
        obj = training_object(held.objects[number], objects)
        found.append(grasp_features(obj, hand, held[held.object == number].grasps(hand)))
        progress(len(found) / len(numbers))
    features = {space: np.concatenate([one[space] for one in found]) for space in SPACES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(path, features)
    except OSError:
        pass  # made again the next time
    return features


def frechet_distances(features: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    """Space to the distance (rad2 of angles, cm2 of contact) between two sets of grasps.

    A space is left out where either set has no more grasps than features, whose Gaussian would be flat.
    """
    return {space: frechet_distance(features[space], reference[space]) for space in SPACES
            if min(len(features[space]), len(reference[space])) > features[space].shape[1]}
