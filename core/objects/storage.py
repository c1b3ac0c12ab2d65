"""Prepared objects on disk, without pickle, for machines without the mesh libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from core.files import load_arrays, save_arrays
from core.objects.errors import ObjectError
from core.objects.grasp_object import GraspObject
from core.objects.grid import DistanceGrid
from core.objects.parts import Parts

TENSORS: Final = ("vertices", "faces", "points", "normals", "thickness")
PLAIN: Final = {"area": float, "volume": float, "watertight": bool, "shell": bool, "digest": str}


def save_object(obj: GraspObject, path: str | Path, packed: bool = True) -> None:
    """Writes a prepared object as npz, whole or not at all.

    Args:
        obj: the object.
        path: of the file.
        packed: compressed, which is smaller and slower.
    """
    arrays = {name: getattr(obj, name).cpu().numpy() for name in TENSORS}
    arrays |= {name: np.array(getattr(obj, name)) for name in PLAIN}
    arrays["centroid"] = obj.centroid
    arrays["grid_values"] = obj.grid.values.cpu().numpy()
    arrays["grid_origin"] = obj.grid.origin.cpu().numpy()
    arrays["grid_spacing"] = np.array(obj.grid.spacing)
    if obj.parts is not None:
        arrays |= {"part_names": np.array(obj.parts.names), "part_of_points": obj.parts.of_points.cpu().numpy(),
                   "part_types": np.array(obj.parts.types, dtype=str),
                   "part_up": np.array(obj.parts.up or (), dtype=float)}
    save_arrays(path, arrays, packed)


def load_object(path: str | Path) -> GraspObject:
    """Reads what `save_object` wrote; needs numpy and torch only (exact distances need libigl).

    Raises:
        ObjectError: the file is missing, damaged or something else.
    """
    path = Path(path)
    try:
        stored = load_arrays(path)
        tensors: dict[str, Any] = {name: torch.from_numpy(stored[name]) for name in TENSORS}
        plain: dict[str, Any] = {name: convert(stored[name].item()) for name, convert in PLAIN.items()}
        grid = DistanceGrid(
            torch.from_numpy(stored["grid_values"]), torch.from_numpy(stored["grid_origin"]),
            float(stored["grid_spacing"]))
        parts = None
        if "part_names" in stored:
            parts = Parts(tuple(stored["part_names"].tolist()), torch.from_numpy(stored["part_of_points"]),
                          tuple(stored["part_types"].tolist()),
                          # Objects stored by earlier versions say nothing of it.
                          tuple(stored["part_up"].tolist()) or None if "part_up" in stored else None)
        return GraspObject(**tensors, **plain, centroid=stored["centroid"], grid=grid, parts=parts)
    except FileNotFoundError as error:
        raise ObjectError(f"There is no file {path}.") from error
    except (KeyError, ValueError, TypeError) as error:
        raise ObjectError(f"{path.name} is not a prepared object, or it is damaged: prepare the mesh again.") from error
