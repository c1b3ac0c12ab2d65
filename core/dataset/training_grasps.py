"""The training grasps: how they are stored, merged and read, and how their objects are built again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.dataset.shapes import LEVEL, make_shape, split
from core.files import save_arrays
from core.grasps.batch import Grasps
from core.grasps.intents import INTENTS, too_steep
from core.grasps.taxonomy import TYPES
from core.objects import load_mesh, load_object, prepare_object, save_object, with_parts
from core.rotations import matrix_to_axis_angle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.hand import HandModel
    from core.objects import GraspObject

#: grasp types by the index that the file knows them by
TYPE_NAMES: Final = tuple(grasp_type.name for grasp_type in TYPES)
#: The most that one type, and one family, may be of the whole.
MOST_OF_TYPE, MOST_OF_FAMILY = 0.20, 0.08
#: The columns: name -> (numpy type, width).
COLUMNS: Final = {
    "object": (np.uint16, 1), "rotation": (np.float16, 4), "transl": (np.float16, 3), "dofs": (np.float16, 21),
    "betas": (np.float16, 10), "type": (np.uint8, 1), "intent": (np.uint8, 1), "part": (np.int8, 1),
    "touching": (np.uint8, 1), "held_share": (np.float16, 1), "score": (np.float16, 1), "depth_mm": (np.float16, 1),
    "overlap_cm3": (np.float16, 1), "residual": (np.float16, 1),
}


@dataclass(frozen=True)
class TrainingGrasps:
    """N grasps over M objects; every array has N rows.

    Attributes:
        objects: M names, "family/seed" of `core.dataset.shapes`, or "mesh/FILE" of a user's folder.
        object: index into `objects`.
        rotation: (N, 4) quaternion wxyz of the wrist. Object frame: the object centred by its area centroid.
        transl: (N, 3) MANO's translation, metres, object frame.
        dofs: (N, 21) finger angles, radians, in the order of `HandModel.dof_names`.
        betas: (N, 10) hand shape.
        type: (N,) index into `TYPE_NAMES`.
        intent: (N,) index into `INTENTS`.
        part: (N,) index of the object's part that is touched most, -1 where parts are unknown.
        touching: (N,) a bit for each of the six hand parts within 2 mm (thumb first, palm last).
        held_share: (N,) share of the contact area on the object's held parts; by handover, on what is left free of
            them.
        score: (N,) 0 to 100.
        depth_mm: (N,) of the hand in the object.
        overlap_cm3: (N,) of the hand in the object.
        residual: (N,) of the wrench test.
        slices: names of the slices of work (`core.synthesis.production.Task`) that it was put together from.
    """

    objects: tuple[str, ...]
    object: np.ndarray
    rotation: np.ndarray
    transl: np.ndarray
    dofs: np.ndarray
    betas: np.ndarray
    type: np.ndarray
    intent: np.ndarray
    part: np.ndarray
    touching: np.ndarray
    held_share: np.ndarray
    score: np.ndarray
    depth_mm: np.ndarray
    overlap_cm3: np.ndarray
    residual: np.ndarray
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, (dtype, width) in COLUMNS.items():
            value = np.asarray(getattr(self, name)).astype(dtype)
            shape = (len(self.object), width) if width > 1 else (len(self.object),)
            if value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}, expected {shape}")
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.object)

    def __getitem__(self, rows: np.ndarray | slice) -> TrainingGrasps:
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    @property
    def families(self) -> np.ndarray:
        """(N,) the family's name of each grasp's object."""
        return np.array([name.split("/")[0] for name in self.objects], dtype=str)[self.object]

    def split(self, name: str) -> TrainingGrasps:
        """The grasps of one split: "train", "shape" or "family" (held-out shapes, held-out families)."""
        splits = np.array([split_of(entry) for entry in self.objects], dtype=str)
        return self[splits[self.object] == name]

    def grasps(self, hand: HandModel) -> Grasps:
        """The grasps in the form that generators and metrics take, single precision, of the right hand."""
        w, x, y, z = torch.nn.functional.normalize(torch.from_numpy(self.rotation.astype(np.float32)), dim=1).unbind(1)
        matrix = torch.stack([
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1).reshape(-1, 3, 3)
        dofs = torch.from_numpy(self.dofs.astype(np.float32))
        return Grasps(
            matrix_to_axis_angle(matrix), hand.pose_from_dofs(dofs), torch.from_numpy(self.transl.astype(np.float32)),
            torch.from_numpy(self.betas.astype(np.float32)), torch.from_numpy(self.score.astype(np.float32)),
            tuple(TYPE_NAMES[i] for i in self.type), method="training", hand="right")

    def save(self, path: str | Path) -> None:
        """Writes the grasps, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {"objects": np.array(self.objects, dtype=str), "slices": np.array(self.slices, dtype=str),
                           "types": np.array(TYPE_NAMES), "intents": np.array(INTENTS),
                           **{name: getattr(self, name) for name in COLUMNS}})


def load_training(path: str | Path) -> TrainingGrasps:
    """Reads what `save` wrote.

    Raises:
        ValueError: the file is of other types or intents than this program's, or damaged.
    """
    with np.load(path, allow_pickle=False) as stored:
        if tuple(stored["types"].tolist()) != TYPE_NAMES or tuple(stored["intents"].tolist()) != INTENTS:
            raise ValueError(f"{path} was made with other grasp types: make the training grasps again")
        return TrainingGrasps(tuple(stored["objects"].tolist()), **{name: stored[name] for name in COLUMNS},
                              slices=tuple(stored["slices"].tolist()) if "slices" in stored else ())


def split_of(name: str) -> str:
    """The split of an object's name, "family/seed"; a user's own meshes are trained on."""
    family, seed = name.split("/", 1)
    return split(family, int(seed)) if family != "mesh" else "train"


def merge(parts: Sequence[TrainingGrasps]) -> TrainingGrasps:
    """All grasps of all parts, over one list of objects."""
    objects = tuple(dict.fromkeys(name for part in parts for name in part.objects))
    number = {name: index for index, name in enumerate(objects)}
    columns = {name: [np.empty((0, width) if width > 1 else 0, dtype)] for name, (dtype, width) in COLUMNS.items()}
    for part in parts:
        table = np.array([number[name] for name in part.objects], dtype=np.uint16)
        for name in COLUMNS:
            columns[name].append(table[part.object] if name == "object" else getattr(part, name))
    slices = tuple(dict.fromkeys(name for part in parts for name in part.slices))
    return TrainingGrasps(objects, **{name: np.concatenate(pieces) for name, pieces in columns.items()}, slices=slices)


def balanced(grasps: TrainingGrasps) -> TrainingGrasps:
    """Without the lowest-scored of types and families that are more than their share of the whole."""
    keep = np.ones(len(grasps), bool)
    for _ in range(50):
        total = int(keep.sum())
        dropped = False
        for groups, most in ((grasps.type, MOST_OF_TYPE), (grasps.families, MOST_OF_FAMILY)):
            for group in np.unique(groups):
                rows = np.flatnonzero(keep & (groups == group))
                excess = len(rows) - int(most * total)
                if excess > 0 and len(np.unique(groups)) * most > 1:
                    keep[rows[np.argsort(grasps.score[rows], kind="stable")[:excess]]] = False
                    dropped = True
        if not dropped:
            break
    return grasps[keep]


def kept_level(grasps: TrainingGrasps, hand: HandModel) -> TrainingGrasps:
    """Without the grasps of somebody who uses a thing that is kept level, and holds it too steeply to.

    Slices are made by that rule; those of earlier versions were not.
    """
    asked = np.flatnonzero(np.isin(grasps.families, LEVEL) & (grasps.intent == INTENTS.index("use")))
    with torch.no_grad():
        joints = hand(**grasps[asked].grasps(hand).parameters()).joints
    # Half precision moves a hand by less than a degree.
    steep = too_steep(joints, torch.tensor([0.0, 0.0, 1.0])) > 0.01
    keep = np.ones(len(grasps), bool)
    keep[asked[steep.numpy()]] = False
    return grasps[keep]


def training_object(name: str, cache: str | Path | None = None, meshes: str | Path | None = None) -> GraspObject:
    """The prepared object behind a name of `TrainingGrasps.objects`.

    Args:
        name: "family/seed" or "mesh/FILE".
        cache: a folder where prepared objects are kept; needed where manifold3d or libigl is missing.
        meshes: the folder of "mesh/FILE".

    Raises:
        KeyError: there is no such family of shapes.
        ValueError: the mesh cannot be read or prepared.
    """
    stored = Path(cache, name.replace("/", "_") + ".npz") if cache else None
    family, seed = name.split("/", 1)
    if stored is not None and stored.exists():
        return _upright(load_object(stored), family)
    if family == "mesh":
        obj = prepare_object(*load_mesh(Path(meshes or ".", seed)))
    else:
        shape = make_shape(family, int(seed))
        obj = prepare_object(shape.vertices, shape.faces)
        obj = with_parts(obj, shape.vertices, shape.faces, shape.part, shape.names, shape.types)
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        save_object(obj, stored)
    return _upright(obj, family)


def _upright(obj: GraspObject, family: str) -> GraspObject:
    """The object, knowing its up where its family is one of things that are kept level."""
    if obj.parts is None or family not in LEVEL:
        return obj
    return replace(obj, parts=replace(obj.parts, up=(0.0, 0.0, 1.0)))
