"""GRASPS.npz: posed hands and their parameters in one file, read and written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from core.files import load_arrays, save_arrays
from core.grasps.batch import Grasps
from core.grasps.posed import pose_hands
from core.units import UNITS

if TYPE_CHECKING:
    from pathlib import Path

    from core.hand import HandModel
    from core.objects import GraspObject

#: the parameters' arrays, and how many numbers a grasp has of each
WIDTHS: Final = {"global_orient": 3, "hand_pose": 45, "transl": 3, "betas": 10}


@dataclass(frozen=True)
class StoredGrasps:
    """What a file of grasps holds.

    Attributes:
        grasps: as the file has them; their `transl` is in the file's own frame, see `translation`.
        translation: (N, 3) float64 metres, MANO's translation in the frame of the mesh.
        unit: of the mesh's numbers.
    """

    grasps: Grasps
    translation: np.ndarray
    unit: str

    def on(self, obj: GraspObject) -> Grasps:
        """The grasps in the frame of the prepared mesh."""
        return replace(self.grasps, transl=torch.from_numpy(self.translation - obj.centroid).float())


def write_grasps(path: Path, hand: HandModel, obj: GraspObject, grasps: Grasps, unit: str) -> None:
    """Writes grasps and their posed hands as GRASPS.npz, whole or not at all.

    The parameters are those of MANO in the mesh's own frame, in metres: the layer gives the file's vertices from them.

    Args:
        path: of the file.
        hand: the hand, of the grasps' side.
        obj: the object.
        grasps: in the object's frame.
        unit: of the mesh's numbers, one of `core.units.UNITS`.
    """
    posed = pose_hands(hand, grasps, obj, 1 / UNITS[unit])
    parameters = {name: value.cpu().numpy() for name, value in grasps.parameters().items()}
    parameters["transl"] = (parameters["transl"].astype(np.float64) + obj.centroid).astype(np.float32)
    save_arrays(path, {
        "vertices": posed.vertices.astype(np.float32), "joints": posed.joints.astype(np.float32),
        "faces": hand.faces.cpu().numpy().astype(np.int32), **parameters,
        # Version 0.1.0 had the object's here: a program written for its files adds it, and is right with ours too.
        "centroid": np.zeros(3),
        "score": grasps.score.cpu().numpy(), "type": np.array(grasps.type, dtype=str),
        "method": np.array(grasps.method), "seed": np.array(str(grasps.seed)), "hand": np.array(grasps.hand),
        "unit": np.array(unit),
    })


def read_grasps(path: Path, hand: str | None = None, unit: str | None = None) -> StoredGrasps:
    """The grasps of a file that this program or another wrote, in the mesh's own frame.

    Args:
        path: of the file.
        hand: "right" or "left", used where the file does not say which; None: right.
        unit: of the mesh's numbers, used where the file does not say it; None: metres.

    Raises:
        ValueError: the file holds something else, or is of another hand or unit; the sentence says what.
    """
    arrays = _arrays_of(path)
    missing = [name for name in WIDTHS if name not in arrays]
    if missing:
        raise ValueError(f"{path.name} holds no {' and no '.join(missing)}: it is not a file of grasps.")
    numbers = {name: _numbers(path, name, arrays[name]) for name in WIDTHS}
    count = max(len(np.atleast_1d(values)) for values in numbers.values())
    for name, width in WIDTHS.items():
        if numbers[name].shape != (count, width):
            raise ValueError(f"{path.name}: {name} is {numbers[name].shape}, not {(count, width)}, one row a grasp: "
                             f"it is not a file of grasps of MANO's form{_hint(name, numbers[name])}.")
    score = _numbers(path, "score", arrays.get("score", np.zeros(count)))
    centroid = _numbers(path, "centroid", arrays.get("centroid", np.zeros(3)))
    types = _words(path, "type", arrays["type"]) if "type" in arrays else ("",) * count
    if score.shape != (count,) or len(types) != count or centroid.shape != (3,):
        raise ValueError(f"{path.name} holds {count} grasps, but its score, type or centroid are not of as many: "
                         "generate it again.")
    said = {name: _words(path, name, arrays[name]) for name in ("hand", "unit", "method", "seed") if name in arrays}
    for name, given in (("hand", hand), ("unit", unit)):
        if name in said and given not in (None, *said[name]):
            raise ValueError(f"{path.name} says that its {name} is {said[name][0]}, not {given}: leave --{name} out.")
    side, measured_in = (said.get(name, (given or usual,))[0]
                         for name, given, usual in (("hand", hand, "right"), ("unit", unit, "m")))
    for name, value, known in (("hand", side, ("right", "left")), ("unit", measured_in, tuple(UNITS))):
        if value not in known:
            raise ValueError(f"{path.name} says that its {name} is '{value}': it is one of {', '.join(known)}.")
    seed = said.get("seed", ("0",))[0]
    tensors: dict[str, Any] = {name: torch.from_numpy(value).float() for name, value in numbers.items()}
    grasps = Grasps(**tensors, score=torch.from_numpy(score).float(), type=types, method=said.get("method", ("",))[0],
                    seed=int(seed) if seed.isdecimal() else 0, hand=side)
    return StoredGrasps(grasps, numbers["transl"] + centroid, measured_in)


def _arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays, or a sentence."""
    try:
        return load_arrays(path)
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}.") from error
    except ValueError as error:
        if isinstance(error.__cause__, IsADirectoryError):
            raise ValueError(f"{path} is a folder: name a file of grasps in it.") from error
        if isinstance(error.__cause__, PermissionError):
            raise ValueError(f"{path} may not be read: allow it, or copy the file elsewhere.") from error
        raise ValueError(f"{path.name} is not a file of grasps, or it is damaged: generate it again.") from error


def _numbers(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """An array as finite float64, or a sentence."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path.name}: {name} holds no numbers: it is not a file of grasps.")
    with np.errstate(over="ignore"):  # of longer types than double
        values = array.astype(np.float64)
    if not (np.abs(values) < 1e30).all():  # single precision, which hands are computed in, ends a little above
        raise ValueError(f"{path.name} holds numbers that are none (NaN or infinite).")
    return values


def _words(path: Path, name: str, array: np.ndarray) -> tuple[str, ...]:
    """The texts or whole numbers of an array, at least one unless it is a list, or a sentence."""
    if array.dtype.kind not in "USiu" or array.ndim > 1:
        raise ValueError(f"{path.name}: {name} holds no text: it is not a file of grasps.")
    words = np.atleast_1d(array).tolist()
    if not words and name != "type":
        raise ValueError(f"{path.name}: {name} is empty: it is not a file of grasps.")
    return tuple(word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in words)


def _hint(name: str, values: np.ndarray) -> str:
    """What was probably meant by a table of another width."""
    if name == "hand_pose" and values.ndim > 1 and 0 < values[0:1].size < 45:
        return ", whose pose is fifteen rotations of three numbers, not PCA components: save it with use_pca=False"
    return ""
