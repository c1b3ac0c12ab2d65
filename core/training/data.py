"""The training grasps as batches: windows of object surface and hand codes, in jittered heading frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.dataset.training_grasps import TYPE_NAMES, load_training, split_of, training_object
from core.files import digest_of, save_arrays
from core.fitting.representation import represent, turned_gaussians
from core.generators.conditioning import TYPE_CONDITIONS
from core.generators.local_cloud import POINTS, place_features, window_cloud
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
from core.rotations import axis_angle_to_matrix
from core.training.noise import PAPER, perturbed

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.hand_parameters import HandNormalizer
    from core.hand import HandModel

#: radians: training frames are turned about their normal by so much, as the scorer's rolls are not exact
JITTER: Final = 0.2
#: metres: and their origins lie so far along the surface from where they should, as its points are not exact
SHIFT: Final = 0.006
#: uniform places of each object that the scorer tells from grasped ones
OTHERS: Final = 160
SPLITS: Final = ("train", "shape", "family")


@dataclass(frozen=True)
class TrainingData:
    """All splits of the training grasps, with what a network sees of their objects.

    Attributes:
        points, normals: (M, P, 3) half precision, of the objects, their own frames, metres.
        grasps: N of them, object frames. object, kind, intent, split: (N,) indices into the objects, `TYPE_CONDITIONS`,
            `INTENTS` and `SPLITS`. frames: their heading frames.
        contacts: (N, 32, 9) contact Gaussians (CHOIR, Eq. 7), objects' axes, half precision.
        features: (N, 195) `place_features` of the frames, half precision. others: (M, OTHERS, 195) of uniform places.
        names: of the objects.
    """

    points: torch.Tensor
    normals: torch.Tensor
    grasps: Grasps
    object: torch.Tensor
    kind: torch.Tensor
    intent: torch.Tensor
    split: torch.Tensor
    frames: Frames
    contacts: torch.Tensor
    features: torch.Tensor
    others: torch.Tensor
    names: tuple[str, ...]

    def rows(self, split: str) -> torch.Tensor:
        """(n,) rows of one split."""
        return (self.split == SPLITS.index(split)).nonzero()[:, 0]

    def to(self, device: torch.device | str) -> TrainingData:
        return TrainingData(*(
            value if isinstance(value, tuple) else value.to(device)
            for value in (getattr(self, name) for name in self.__dataclass_fields__)))

    def jittered(self, rows: torch.Tensor, rng: torch.Generator) -> Frames:
        """The heading frames of `rows`, moved a little along the surface and turned a little about the normal."""
        axes = self.frames.axes[rows]
        angle = JITTER * torch.randn(len(rows), generator=rng).to(axes)
        turn = axis_angle_to_matrix(torch.stack([0 * angle, 0 * angle, angle], 1))
        along = SHIFT * torch.randn(len(rows), 2, generator=rng).to(axes)
        shift = torch.cat([along, torch.zeros_like(along[:, :1])], 1)
        return Frames(self.frames.origin[rows] + (axes @ shift[..., None])[..., 0], axes @ turn)

    def batch(self, rows: torch.Tensor, hand: HandModel, code: HandNormalizer, rng: torch.Generator,
              points: int = POINTS, object_frame: bool = False, noisy: float = 0.0) -> dict[str, torch.Tensor]:
        """What a generator's loss takes.

        Args:
            rows: (n,) of the grasps. points: of the window.
            object_frame: the papers' frame instead, the object's own under a random rotation.
            noisy: the share of rows that are hands to be refined: true ones under the paper's noise, and everything as
                seen from the heading frame of the noisy hand, since nobody knows the true one's.

        Returns:
            window (n, points, 6), as the network sees it, positions over `WINDOW`; code (n, 61); betas (n, 10);
            contacts (n, 32, 9), contact Gaussians; kind, intent (n,).
            With `noisy` also given (n,) bool, which rows those are, and noisy (n, 61), the codes of their noisy hands.
        """
        frames = self.jittered(rows, rng)
        if object_frame:
            frames = object_frames(len(rows), rng).to(self.points.device)
        reach = math.inf if object_frame else LOCAL_RADIUS
        of = self.object[rows]
        refined = {}
        if noisy:
            given = torch.rand(len(rows), generator=rng) < noisy
            rough = perturbed(hand, self.grasps[rows], PAPER, rng)
            frames = self.frames_around(of, hand, rough, frames, given)
            refined = {"given": given.to(rows.device), "noisy": code.encode(hand, rough, frames).detach()}
        return refined | {
            "window": window_cloud(self.points[of].float(), self.normals[of].float(), frames, points, rng, reach),
            "code": code.encode(hand, self.grasps[rows], frames).detach(), "betas": self.grasps.betas[rows],
            "contacts": turned_gaussians(self.contacts[rows].float(), frames.axes),
            "kind": self.kind[rows], "intent": self.intent[rows],
        }

    def frames_around(self, of: torch.Tensor, hand: HandModel, grasps: Grasps, others: Frames,
                      given: torch.Tensor) -> Frames:
        """The heading frames of n grasps of objects `of` (n,) where `given` (n,), elsewhere those of `others`."""
        with torch.no_grad():
            joints = hand(**grasps.parameters()).joints
        origin, axes = others.origin.clone(), others.axes.clone()
        for row in given.nonzero()[:, 0].tolist():
            cloud = Cloud(self.points[of[row]].float(), self.normals[of[row]].float())
            found = frames_of_joints(cloud, joints[row, None])
            origin[row], axes[row] = found.origin[0], found.axes[0]
        return Frames(origin, axes)

    def place_batch(self, rows: torch.Tensor, rng: torch.Generator, count: int = 16) -> dict[str, torch.Tensor]:
        """What the scorer's loss takes."""
        pick = torch.randint(OTHERS, (len(rows), count), generator=rng).to(rows.device)
        other = self.others[self.object[rows][:, None], pick].float()
        return {"features": self.features[rows].float(), "other": other, "kind": self.kind[rows],
                "intent": self.intent[rows]}


def load_training_data(training: str | Path, path: str | Path, hand: HandModel, cache: str | Path | None = None,
                 tell: Callable[[int, int], object] = lambda done, total: None, points: int = 4096) -> TrainingData:
    """The windows of the file `training`, kept at `path`; made anew where that file has changed.

    Making them needs the mesh libraries; reading them needs torch and numpy only.
    """
    path = Path(path)
    stamp = digest_of(training)
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["stamp"]) == stamp and "contacts" in stored:
                return _read(stored)
    save_arrays(path, {"stamp": np.array(stamp), **_make(training, hand, cache, tell, points)})
    with np.load(path, allow_pickle=False) as stored:
        return _read(stored)


def _make(training: str | Path, hand: HandModel, cache: str | Path | None, tell: Callable[[int, int], object],
          count: int) -> dict[str, np.ndarray]:
    data = load_training(training)
    numbers = np.unique(data.object)
    columns: dict[str, list[np.ndarray]] = {}

    def put(name: str, value: torch.Tensor | np.ndarray, kind: type = np.float32) -> None:
        columns.setdefault(name, []).append(np.asarray(value).astype(kind))

    rng = torch.Generator().manual_seed(0)
    for done, number in enumerate(numbers):
        tell(done, len(numbers))
        mine = data[data.object == number]
        name = data.objects[number]
        obj = training_object(name, cache)
        grasps = mine.grasps(hand)
        frames = frames_of_grasps(obj, hand, grasps)
        put("points", obj.points[None, :count], np.float16)
        put("normals", obj.normals[None, :count], np.float16)
        put("object", np.full(len(mine), done), np.int32)
        put("kind", [TYPE_CONDITIONS.index(TYPE_NAMES[index]) for index in mine.type], np.int32)
        put("intent", mine.intent, np.int32)
        put("split", [SPLITS.index(split_of(name))] * len(mine), np.int32)
        put("origin", frames.origin)
        put("axes", frames.axes)
        put("contacts", represent(obj, hand, grasps).gaussians.numpy(), np.float16)
        put("features", place_features(obj, frames), np.float16)
        others = random_frames(obj, OTHERS // 2, 2, rng)
        put("others", place_features(obj, others)[None], np.float16)
        for field in TENSORS:
            put(field, getattr(grasps, field))
    return {name: np.concatenate(parts) for name, parts in columns.items()} | {
        "names": np.array([data.objects[number] for number in numbers])}


def _read(stored: np.lib.npyio.NpzFile) -> TrainingData:
    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(stored[name])

    kind = tensor("kind").long()
    types = tuple(TYPE_CONDITIONS[index] for index in kind.tolist())
    grasps = Grasps(**{name: tensor(name) for name in TENSORS}, type=types, method="training")
    if stored["features"].shape[1] != FEATURES:
        raise ValueError("these windows were made by another version: delete the file, it is made anew")
    return TrainingData(tensor("points"), tensor("normals"), grasps, tensor("object").long(), kind,
                        tensor("intent").long(), tensor("split").long(), Frames(tensor("origin"), tensor("axes")),
                        tensor("contacts"), tensor("features"), tensor("others"), tuple(stored["names"].tolist()))
