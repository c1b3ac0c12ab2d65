"""Four objects to grasp, with nothing but numpy: a thin-walled mug, a box, a bowl, and a hammer with named parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

OBJECTS: Final = ("mug", "box", "bowl", "hammer")
HAMMER_PARTS: Final = ("handle", "head")


@dataclass(frozen=True)
class Mesh:
    """An object to grasp.

    Attributes:
        vertices: (V, 3) float64 metres.
        faces: (F, 3) int32 outward.
        part: (F,) int32 index into HAMMER_PARTS, empty where the object has no named parts.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))


def read_obj(path: Path) -> Mesh:
    """The vertices and faces of an OBJ file, polygons cut into fans."""
    vertices, faces = [], []
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            vertices.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            faces += [[corners[0], *corners[place : place + 2]] for place in range(1, len(corners) - 1)]
    return Mesh(np.array(vertices), np.array(faces, np.int32))


def write_obj(path: Path, mesh: Mesh, scale: float = 1.0) -> Path:
    """Writes a mesh, `scale` of the file's units a metre, every digit kept."""
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in (scale * mesh.vertices).tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


def box(size: Sequence[float], cells: int = 6) -> Mesh:
    """A box about the origin, each side cut into `cells` by `cells` squares."""
    ticks = np.linspace(-0.5, 0.5, cells + 1)
    u, v = (grid.ravel() for grid in np.meshgrid(ticks, ticks, indexing="ij"))
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    quads = np.stack([corner, corner + cells + 1, corner + cells + 2, corner + 1], axis=1)
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    for axis in range(3):
        for sign in (1, -1):
            side = np.empty((len(u), 3))
            side[:, axis], side[:, (axis + 1) % 3], side[:, (axis + 2) % 3] = 0.5 * sign, u, v
            faces.append((quads if sign > 0 else quads[:, ::-1]) + len(u) * len(vertices))
            vertices.append(side)
    points, place = np.unique(np.concatenate(vertices), axis=0, return_inverse=True)
    corners = place.reshape(-1)[np.concatenate(faces)]
    return Mesh(points * np.asarray(size), _triangles(corners))


def revolve(profile: np.ndarray, turns: int = 48) -> Mesh:
    """A closed surface around z, of (N, 2) radii and heights that begin and end on the axis, lowest first."""
    angle = 2 * np.pi * np.arange(turns) / turns
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    middle = profile[1:-1]
    points = np.concatenate([np.column_stack([radius * ring, np.full(turns, height)]) for radius, height in middle])
    ends = np.column_stack([np.zeros((2, 2)), profile[[0, -1], 1]])
    here = np.arange(turns)
    after = (here + 1) % turns
    quads = [np.stack([here, after, after + turns, here + turns], axis=1) + turns * row
             for row in range(len(middle) - 1)]
    low, high = len(points), len(points) + 1
    last = turns * (len(middle) - 1)
    caps = [np.stack([np.full(turns, low), after, here], axis=1),
            np.stack([np.full(turns, high), here + last, after + last], axis=1)]
    return Mesh(np.concatenate([points, ends]), np.concatenate([_triangles(np.concatenate(quads)), *caps]).astype("i4"))


def bowl() -> Mesh:
    """A bowl of 12 cm with a wall of 4 mm."""
    angle = np.linspace(0, 0.46 * np.pi, 12)
    outside = np.column_stack([0.060 * np.sin(angle), -0.045 * np.cos(angle)])
    inside = np.column_stack([0.056 * np.sin(angle), -0.041 * np.cos(angle)])
    return revolve(np.concatenate([outside, inside[::-1]]))


def hammer() -> Mesh:
    """A round handle of 24 cm along z through a block: two closed surfaces, with the names of HAMMER_PARTS."""
    angle = np.linspace(0, 0.5 * np.pi, 5)
    low = np.column_stack([0.014 * np.sin(angle), -0.12 - 0.014 * np.cos(angle)])
    handle = revolve(np.concatenate([low, [[0.014, z] for z in np.linspace(-0.09, 0.09, 8)], low[::-1] * [1, -1]]), 32)
    head = box((0.10, 0.034, 0.034))
    vertices = np.concatenate([handle.vertices, head.vertices + [0, 0, 0.105]])
    faces = np.concatenate([handle.faces, head.faces + len(handle.vertices)]).astype(np.int32)
    return Mesh(vertices, faces, np.repeat(np.arange(2, dtype=np.int32), [len(handle.faces), len(head.faces)]))


def objects_of(tree: Path) -> dict[str, Mesh]:
    """The four objects: the tree's own mug, and three made here."""
    mug = next(iter(sorted((tree / "scripts").glob("**/mug.obj"))), None)
    if mug is None:
        raise SystemExit(f"{tree} holds no mug.obj under scripts: is it a tree of this program?")
    return {"mug": read_obj(mug), "box": box((0.05, 0.07, 0.12)), "bowl": bowl(), "hammer": hammer()}


def _triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
