"""GRASPS.npz: posed hands and their parameters in one file, read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def write_grasps(path: Path, hand: HandModel, obj: GraspObject, grasps: Grasps, unit: str) -> None:
    """Writes grasps and their posed hands as GRASPS.npz, whole or not at all.

    Args:
        path: of the file.
        hand: the hand, of the grasps' side.
        obj: the object.
        grasps: in the object's frame; the file has both these parameters and the hands in the mesh's own frame.
        unit: of the mesh's numbers, one of `core.units.UNITS`.
    """
    posed = pose_hands(hand, grasps, obj, 1 / UNITS[unit])
    save_arrays(path, {
        "vertices": posed.vertices.astype(np.float32), "joints": posed.joints.astype(np.float32),
        "faces": hand.faces.cpu().numpy().astype(np.int32),
        **{name: value.cpu().numpy() for name, value in grasps.parameters().items()},
        "centroid": obj.centroid, "score": grasps.score.cpu().numpy(), "type": np.array(grasps.type, dtype=str),
        "method": np.array(grasps.method), "seed": np.array(str(grasps.seed)), "hand": np.array(grasps.hand),
        "unit": np.array(unit),
    })


def read_grasps(path: Path, hand: str | None = None, unit: str | None = None) -> tuple[Grasps, str]:
    """The grasps of a file that `generate` wrote, and the unit of their mesh.

    Args:
        path: of the file.
        hand: "right" or "left", used where the file does not say which; None: right.
        unit: of the mesh's numbers, used where the file does not say it; None: metres.

    Raises:
        ValueError: the file holds something else, or is of another hand or unit; the sentence says what.
    """
    try:
        arrays = load_arrays(path)
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}.") from error
    except ValueError as error:
        raise ValueError(f"{path.name} is not a file of grasps, or it is damaged: generate it again.") from error
    wanted = ("global_orient", "hand_pose", "transl", "betas")
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise ValueError(f"{path.name} holds no {' and no '.join(missing)}: it is not a file of grasps.")
    tensors: dict[str, Any] = {name: torch.from_numpy(np.asarray(arrays[name], np.float32)) for name in wanted}
    flat = [name for name, value in tensors.items() if value.ndim != 2]
    if flat:
        raise ValueError(f"{path.name}: {flat[0]} is no table of one row a grasp: it is not a file of grasps.")
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise ValueError(f"{path.name} holds numbers that are none (NaN or infinite).")
    for name, given in (("hand", hand), ("unit", unit)):
        if name in arrays and given not in (None, str(arrays[name])):
            raise ValueError(f"{path.name} says that its {name} is {arrays[name]}, not {given}: leave --{name} out.")
    count = len(tensors["transl"])
    score = np.asarray(arrays.get("score", np.zeros(count)), np.float32)
    seed = str(arrays.get("seed", "0"))
    grasps = Grasps(**tensors, score=torch.from_numpy(score), type=tuple(np.atleast_1d(arrays["type"]).tolist())
                    if "type" in arrays else (), method=str(arrays.get("method", "")),
                    seed=int(seed) if seed.isdigit() else 0, hand=str(arrays.get("hand", hand or "right")))
    return grasps, str(arrays.get("unit", unit or "m"))
