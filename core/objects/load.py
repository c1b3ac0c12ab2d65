"""Mesh files in: any format trimesh reads, as plain triangles in metres."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Final

import numpy as np

from core.objects.errors import ObjectError
from core.units import UNITS

#: what glTF files call the ways of packing a mesh that cannot be read, and their everyday names
COMPRESSIONS: Final = {
    "KHR_draco_mesh_compression": "Draco compression",
    "EXT_meshopt_compression": "meshopt compression",
    "KHR_meshopt_compression": "meshopt compression",
    "KHR_mesh_quantization": "quantised coordinates",
}


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
    if extension in ("glb", "gltf"):
        _check_compression(path)
    try:
        scene = trimesh.load_scene(path, process=False)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except MemoryError:
        raise
    except Exception as error:
        hint = " Save it as triangles, or as ASCII: binary PLY with polygons of several sizes cannot be read." * (
            extension == "ply")
        raise ObjectError(f"{path.name} cannot be read as a mesh: {type(error).__name__}: {error}.{hint}") from error
    if not parts:
        raise ObjectError(f"{path.name} holds no faces: there is nothing to grasp.")
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    vertices = np.concatenate([np.asarray(part.vertices, dtype=np.float64) for part in parts])
    faces = np.concatenate(
        [np.asarray(part.faces, dtype=np.int64) + start for part, start in zip(parts, starts, strict=True)]
    )
    return vertices * UNITS[unit], faces


def _check_compression(path: Path) -> None:
    """Raises where a glTF file's meshes are packed in a way that cannot be read; the sentence names it."""
    try:
        content = path.read_bytes()
        if content[:4] == b"glTF":
            content = content[20 : 20 + struct.unpack_from("<I", content, 12)[0]]
        required = json.loads(content)["extensionsRequired"]
        names = [name for key, name in COMPRESSIONS.items() if key in required]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, struct.error):
        return  # whatever else is wrong with it is told when it is read
    if names:
        raise ObjectError(f"{path.name} is saved with {' and '.join(names)}, which cannot be read. Save it again "
                          "without (in Blender's glTF export: Data, Compression off), or as obj, ply or stl.")
