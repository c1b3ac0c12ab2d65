"""Retrieval, the baseline that every learned generator must beat: the training grasp whose surroundings are most alike.

What the object is like around a place, in the heading frame, is compared with what it is like around the training
grasps; the nearest one's grasp is laid there as it is. Nothing is learned and nothing is fitted.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.dataset.training_grasps import TYPE_NAMES, load_training, training_object
from core.files import digest_of, load_arrays, save_arrays
from core.fitting.proposal import Proposal
from core.grasps.heading_frame import frames_of_grasps, into_frames, local_distances, out_of_frames, random_frames
from core.progress import Progress
from core.quality.diversity import distinct

if TYPE_CHECKING:
    from core.dataset.training_grasps import TrainingGrasps
    from core.grasps.request import GraspRequest
    from core.hand import HandModel

#: surface points that are compared, and turns about the normal at each, in even steps
POINTS, ROLLS = 256, 8
#: metres between two wrists that are both offered
WRISTS_APART: Final = 0.02
#: of the index
ARRAYS: Final = ("features", "rotation", "wrist", "hand_pose", "type")


class Retrieval:
    """Nearest neighbours over an index of the training grasps.

    Args:
        index: as `build_index` makes it.
    """

    name = "retrieval"

    def __init__(self, index: dict[str, np.ndarray]) -> None:
        self.features = torch.from_numpy(index["features"].astype(np.float32))
        self.rotation = torch.from_numpy(index["rotation"].astype(np.float32))
        self.wrist = torch.from_numpy(index["wrist"].astype(np.float32))
        self.hand_pose = torch.from_numpy(index["hand_pose"].astype(np.float32))
        self.type = index["type"]

    def sample(self, request: GraspRequest, rng: torch.Generator, progress: Progress) -> Proposal:
        """Grasps at the places that are most like one of the training's, the most alike first, scored by that."""
        progress(0.1, "Looking for places like known ones")
        frames = random_frames(request.object, POINTS, ROLLS, rng)
        here = local_distances(request.object, frames, self.features.shape[1])
        distance, nearest = [], []
        for chunk in here.split(256):
            best = torch.cdist(chunk, self.features).min(1)
            distance.append(best.values)
            nearest.append(best.indices)
        difference, rows = torch.cat(distance), torch.cat(nearest)
        betas = request.shape
        every = out_of_frames(request.hand, frames, self.rotation[rows], self.wrist[rows], self.hand_pose[rows],
                              betas.expand(len(rows), -1), self.name)

        def differ(row: int, other: int) -> bool:
            return bool((every.transl[row] - every.transl[other]).norm() > WRISTS_APART)

        chosen = list(islice(distinct(difference.argsort().tolist(), differ), request.count))
        kept = torch.tensor(chosen, dtype=torch.long)
        types = tuple(TYPE_NAMES[int(self.type[rows[row]])] for row in chosen)
        progress(1.0, "Done")
        return Proposal(replace(every[kept], score=-difference[kept], type=types))


def build_index(grasps: TrainingGrasps, hand: HandModel, cache: str | Path | None = None,
                progress: Progress | None = None) -> dict[str, np.ndarray]:
    """What the objects are like around training grasps, and the grasps, half precision.

    Args:
        grasps: of the training.
        hand: the right hand.
        cache: a folder where prepared objects are kept.
        progress: told how far it is, before each object.

    Returns:
        The arrays `ARRAYS`, N rows each.
    """
    progress = progress or Progress()
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    numbers = np.unique(grasps.object)
    for done, number in enumerate(numbers):
        progress(done / len(numbers), "Reading the training grasps")
        mine = grasps[grasps.object == number]
        obj = training_object(grasps.objects[number], cache)
        posed = mine.grasps(hand)
        frames = frames_of_grasps(obj, hand, posed)
        rotation, wrist = into_frames(hand, posed, frames)
        for name, value in (("features", local_distances(obj, frames)), ("rotation", rotation), ("wrist", wrist),
                            ("hand_pose", posed.hand_pose)):
            columns[name].append(value.detach().numpy().astype(np.float16))
        columns["type"].append(mine.type)
    return {name: np.concatenate(values) for name, values in columns.items()}


def load_index(training: str | Path, path: str | Path, hand: HandModel, cache: str | Path | None = None,
               progress: Progress | None = None) -> dict[str, np.ndarray]:
    """The index kept at `path`, or a new one of the training split of the file `training`, kept there.

    What is kept counts for the training file and the hand that it was made of, by their content.

    Args:
        training: the file of training grasps.
        path: of the index.
        hand: the right hand.
        cache: a folder where prepared objects are kept.
        progress: told how far it is, where the index is made.

    Returns:
        The arrays `ARRAYS`, N rows each.
    """
    path = Path(path)
    stamp = np.array(f"{digest_of(training)} {hand.digest}")
    try:
        stored = load_arrays(path)
        if stored["stamp"] == stamp:
            return {name: stored[name] for name in ARRAYS}
    except (FileNotFoundError, ValueError, KeyError):
        pass  # none yet, or damaged
    index = build_index(load_training(training).split("train"), hand, cache, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(path, {"stamp": stamp, **index})
    return index
