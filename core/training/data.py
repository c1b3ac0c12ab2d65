"""The training grasps as batches: local clouds and hand parameters, in jittered heading frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from core.dataset.training_grasps import TYPE_NAMES, load_training, split_of, training_object
from core.files import digest_of, save_arrays
from core.fitting.representation import represent, turned_gaussians
from core.generators.conditioning import TYPE_CONDITIONS
from core.generators.local_cloud import POINTS, local_cloud, object_cloud, place_features
from core.generators.place_scorer import FEATURES
from core.grasps.batch import TENSORS, Grasps
from core.grasps.heading_frame import (
    LOCAL_RADIUS,
    Cloud,
    Frames,
    frames_of_grasps,
    frames_of_joints,
    object_frames,
    random_frames,
)
from core.progress import Progress
from core.rotations import axis_angle_to_matrix
from core.training.noise import PAPER, perturbed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from core.generators.hand_parameters import HandNormalizer
    from core.generators.training_config import Batch
    from core.hand import HandModel


@dataclass(frozen=True)
class DataConfig:
    """How the training grasps are varied and stored. Chosen here.

    Attributes:
        turn: radians, standard deviation by which frames are turned about their normal, as the scorer's rolls are not
            exact.
        shift: metres, standard deviation by which their origins lie along the surface from where they should, as its
            points are not exact.
        points: of each object that are stored.
        negatives: uniform places of each object that the scorer tells from grasped ones.
        negatives_drawn: of those, for each grasp of a batch.
    """

    turn: float = 0.2
    shift: float = 0.006
    points: int = 4096
    negatives: int = 160
    negatives_drawn: int = 16


DATA: Final = DataConfig()
SPLITS: Final = ("train", "shape", "family")


@dataclass(frozen=True)
class TrainingData:
    """All splits of the training grasps, with what a network sees of their objects.

    Attributes:
        points: (M, P, 3) of the M objects, their own frames, metres, half precision.
        normals: (M, P, 3) outward, unit, half precision.
        grasps: N grasps, object frames.
        object: (N,) index into the objects.
        grasp_type: (N,) index into `TYPE_CONDITIONS`.
        intent: (N,) index into `INTENTS`.
        split: (N,) index into `SPLITS`.
        frames: the N heading frames.
        contacts: (N, 32, 9) contact Gaussians (CHOIR, Eq. 7), objects' axes, metres, half precision.
        features: (N, 195) `place_features` of the frames, half precision.
        negatives: (M, 160, 195) of uniform places, half precision.
        names: of the objects, as `core.dataset.training_grasps.TrainingGrasps.objects`.
    """

    points: torch.Tensor
    normals: torch.Tensor
    grasps: Grasps
    object: torch.Tensor
    grasp_type: torch.Tensor
    intent: torch.Tensor
    split: torch.Tensor
    frames: Frames
    contacts: torch.Tensor
    features: torch.Tensor
    negatives: torch.Tensor
    names: tuple[str, ...]

    def rows(self, split: str) -> torch.Tensor:
        """(n,) rows of one split."""
        return (self.split == SPLITS.index(split)).nonzero()[:, 0]

    def to(self, device: torch.device | str) -> TrainingData:
        """The same on a device."""
        moved: dict[str, Any] = {field.name: getattr(self, field.name).to(device) for field in fields(self)
                                 if field.name != "names"}
        return replace(self, **moved)

    def jittered(self, rows: torch.Tensor, rng: torch.Generator) -> Frames:
        """The heading frames of `rows`, moved a little along the surface and turned a little about the normal."""
        axes = self.frames.axes[rows]
        angle = DATA.turn * torch.randn(len(rows), generator=rng).to(axes)
        turn = axis_angle_to_matrix(torch.stack([0 * angle, 0 * angle, angle], 1))
        along = DATA.shift * torch.randn(len(rows), 2, generator=rng).to(axes)
        shift = torch.cat([along, torch.zeros_like(along[:, :1])], 1)
        return Frames(self.frames.origin[rows] + (axes @ shift[..., None])[..., 0], axes @ turn)

    def batch(self, rows: torch.Tensor, hand: HandModel, normalizer: HandNormalizer, rng: torch.Generator,
              points: int = POINTS, object_frame: bool = False, noisy_share: float = 0.0,
              object_points: int = 0) -> Batch:
        """What a generator's loss takes.

        Args:
            rows: (n,) of the grasps.
            hand: the right hand.
            normalizer: of the hand parameters.
            rng: of the frames, the clouds and the noise.
            points: of the local cloud.
            object_frame: the papers' frame instead, the object's own under a random rotation.
            noisy_share: of rows that are hands to be refined: true ones under the paper's noise, and everything as seen
                from the heading frame of the noisy hand, since nobody knows the true one's.
            object_points: of the whole object's cloud.

        Returns:
            `cloud` (n, points, 6), as `LocalPointCloud.scaled`; `params` (n, 61); `betas` (n, 10); `contacts`
            (n, 32, 9), contact Gaussians; `grasp_type` and `intent` (n,). With `noisy_share` also `given` (n,) bool,
            which rows those are, and `noisy` (n, 61), the parameters of noisy hands; with `object_points` also `object`
            (n, object_points, 6), as `object_cloud`.
        """
        frames = self.jittered(rows, rng)
        if object_frame:
            frames = object_frames(len(rows), rng).to(self.points.device)
        radius = math.inf if object_frame else LOCAL_RADIUS
        objects = self.object[rows]
        noisy: Batch = {}
        if noisy_share:
            given = torch.rand(len(rows), generator=rng) < noisy_share
            hands = perturbed(hand, self.grasps[rows], PAPER, rng)
            frames = self.frames_around(objects, hand, hands, frames, given)
            noisy = {"given": given.to(rows.device), "noisy": normalizer.encode(hand, hands, frames).detach()}
        surface, normals = self.points[objects].float(), self.normals[objects].float()
        whole: Batch = {}
        if object_points:
            whole = {"object": object_cloud(surface, normals, frames, object_points, rng)}
        return noisy | whole | {
            "cloud": local_cloud(surface, normals, frames, points, rng, radius),
            "params": normalizer.encode(hand, self.grasps[rows], frames).detach(), "betas": self.grasps.betas[rows],
            "contacts": turned_gaussians(self.contacts[rows].float(), frames.axes),
            "grasp_type": self.grasp_type[rows], "intent": self.intent[rows],
        }

    def frames_around(self, objects: torch.Tensor, hand: HandModel, grasps: Grasps, others: Frames,
                      given: torch.Tensor) -> Frames:
        """The heading frames of some grasps, and other frames elsewhere.

        Args:
            objects: (n,) index of each grasp's object.
            hand: the right hand.
            grasps: n grasps.
            others: n frames.
            given: (n,) bool, where the frame is the grasp's.
        """
        with torch.no_grad():
            joints = hand(**grasps.parameters()).joints
        origin, axes = others.origin.clone(), others.axes.clone()
        for row in given.nonzero()[:, 0].tolist():
            cloud = Cloud(self.points[objects[row]].float(), self.normals[objects[row]].float())
            found = frames_of_joints(cloud, joints[row, None])
            origin[row], axes[row] = found.origin[0], found.axes[0]
        return Frames(origin, axes)

    def place_batch(self, rows: torch.Tensor, rng: torch.Generator) -> Batch:
        """What the scorer's loss takes (`PlaceScorer.loss`), for rows (n,) of the grasps."""
        pick = torch.randint(DATA.negatives, (len(rows), DATA.negatives_drawn), generator=rng).to(rows.device)
        negatives = self.negatives[self.object[rows][:, None], pick].float()
        return {"features": self.features[rows].float(), "negatives": negatives, "grasp_type": self.grasp_type[rows],
                "intent": self.intent[rows]}


def load_training_data(training: str | Path, path: str | Path, hand: HandModel, cache: str | Path | None = None,
                       progress: Progress | None = None) -> TrainingData:
    """The data of the file `training`, kept at `path`; made anew where that file has changed.

    Making it needs the mesh libraries; reading it needs torch and numpy only.

    Args:
        training: the file of training grasps.
        path: of what is kept.
        hand: the right hand.
        cache: a folder where prepared objects are kept.
        progress: told how far it is, where the data are made, before each object.

    Raises:
        ValueError: what is kept was made by another version.
    """
    path = Path(path)
    stamp = digest_of(training)
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["stamp"]) == stamp and "contacts" in stored:
                return _read(stored)
    save_arrays(path, {"stamp": np.array(stamp), **make_columns(training, hand, cache, progress or Progress())})
    with np.load(path, allow_pickle=False) as stored:
        return _read(stored)


def make_columns(training: str | Path, hand: HandModel, cache: str | Path | None,
                 progress: Progress) -> dict[str, np.ndarray]:
    """What `load_training_data` keeps, by the names that its files have had from the first."""
    data = load_training(training)
    numbers = np.unique(data.object)
    columns: dict[str, list[np.ndarray]] = {}

    def put(name: str, value: ArrayLike, dtype: DTypeLike = np.float32) -> None:
        columns.setdefault(name, []).append(np.asarray(value).astype(dtype))

    rng = torch.Generator().manual_seed(0)
    for done, number in enumerate(numbers):
        progress(done / len(numbers), "Reading the training grasps")
        mine = data[data.object == number]
        name = data.objects[number]
        obj = training_object(name, cache)
        grasps = mine.grasps(hand)
        frames = frames_of_grasps(obj, hand, grasps)
        put("points", obj.points[None, :DATA.points], np.float16)
        put("normals", obj.normals[None, :DATA.points], np.float16)
        put("object", np.full(len(mine), done), np.int32)
        put("kind", [TYPE_CONDITIONS.index(TYPE_NAMES[index]) for index in mine.type], np.int32)
        put("intent", mine.intent, np.int32)
        put("split", [SPLITS.index(split_of(name))] * len(mine), np.int32)
        put("origin", frames.origin)
        put("axes", frames.axes)
        put("contacts", represent(obj, hand, grasps).gaussians.numpy(), np.float16)
        put("features", place_features(obj, frames), np.float16)
        uniform = random_frames(obj, DATA.negatives // 2, 2, rng)
        put("others", place_features(obj, uniform)[None], np.float16)
        for field in TENSORS:
            put(field, getattr(grasps, field))
    return {name: np.concatenate(parts) for name, parts in columns.items()} | {
        "names": np.array([data.objects[number] for number in numbers])}


def _read(stored: np.lib.npyio.NpzFile) -> TrainingData:
    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(stored[name])

    grasp_type = tensor("kind").long()
    types = tuple(TYPE_CONDITIONS[index] for index in grasp_type.tolist())
    grasps = Grasps(tensor("global_orient"), tensor("hand_pose"), tensor("transl"), tensor("betas"), tensor("score"),
                    types, method="training")
    if stored["features"].shape[1] != FEATURES:
        raise ValueError("this training data was made by another version: delete the file, it is made anew")
    return TrainingData(tensor("points"), tensor("normals"), grasps, tensor("object").long(), grasp_type,
                        tensor("intent").long(), tensor("split").long(), Frames(tensor("origin"), tensor("axes")),
                        tensor("contacts"), tensor("features"), tensor("others"), tuple(stored["names"].tolist()))
