"""Mesh files in: any format trimesh reads, as plain triangles in metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.objects.errors import ObjectError
from core.units import UNITS


def load_mesh(path: str | Path, unit: str = "m") -> tuple[np.ndarray, np.ndarray]:
    """Reads a mesh file as triangles.

    Polygons are triangulated; the parts of a scene are put together where its node transforms
    place them. Materials, normals and texture coordinates are dropped.

    Args:
        path: a mesh file (obj, ply, stl, glb, off, ...).
        unit: the unit of the file's numbers: m, dm, cm, mm, in or ft.

    Returns:
        Vertices (V, 3) float64 in metres and faces (F, 3) int64, in the file's own frame.

    Raises:
        ObjectError: the file is missing, unreadable, of an unknown format, or holds no triangle.
    """
    path = Path(path)
    if unit not in UNITS:
        raise ObjectError(f"Unknown unit '{unit}': use one of {', '.join(UNITS)}.")
    if path.is_dir():
        raise ObjectError(f"{path} is a folder: give the mesh file itself.")
    if not path.exists():
        raise ObjectError(f"There is no file {path}.")
    import trimesh

    known = sorted(trimesh.available_formats())
    extension = path.suffix.lower().lstrip(".")
    if extension not in known:
        described = f"'.{extension}' files" if extension else "a file without an extension"
        hint = " (it needs pycollada)" if extension == "dae" else ""
        raise ObjectError(f"{path.name}: cannot read {described}{hint}. Save the mesh as obj, ply, stl or glb.")
    try:
        scene = trimesh.load_scene(path, process=False)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except MemoryError:
        raise
    except Exception as error:
        raise ObjectError(f"{path.name} cannot be read as a mesh: {type(error).__name__}: {error}.") from error
    if not parts:
        raise ObjectError(f"{path.name} holds no faces: there is nothing to grasp.")
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    vertices = np.concatenate([np.asarray(part.vertices, dtype=np.float64) for part in parts])
    faces = np.concatenate(
        [np.asarray(part.faces, dtype=np.int64) + start for part, start in zip(parts, starts, strict=True)]
    )
    return vertices * UNITS[unit], faces
