"""From a mesh to the prepared object: cleaned, centred, measured, and of a size that a hand can take."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import torch

from core.objects.clean import clean_mesh
from core.objects.errors import ObjectError
from core.objects.grasp_object import GraspObject
from core.objects.grid import build_grid, is_soup
from core.objects.memory import check_memory
from core.objects.mesh_query import ExactSurface
from core.objects.sampling import sample_surface, thickness
from core.objects.size import check_size
from core.progress import Progress

#: triangles beyond which a mesh would fill the memory
MOST_FACES: Final = 3_000_000
#: drawn on the surface
POINTS: Final = 4096


def prepare_object(
    vertices: np.ndarray,
    faces: np.ndarray,
    seed: int = 0,
    progress: Progress | None = None,
    any_size: bool = False,
) -> GraspObject:
    """Cleans, centres and measures a mesh.

    Args:
        vertices: (V, 3) metres, any frame.
        faces: (F, 3).
        seed: of the drawn points.
        progress: told what is being done; None hears nothing.
        any_size: accept objects that are too large or too small for a hand.

    Raises:
        ObjectTooLarge: see `check_graspable`.
        ObjectTooSmall: likewise.
        ObjectError: there is nothing to grasp; the sentence says why.
        core.progress.Stopped: `progress` was asked to stop.
    """
    if len(faces) > MOST_FACES:
        raise ObjectError(
            f"The object has {len(faces):,} triangles; the engine takes up to {MOST_FACES:,}. "
            "Add a Decimate modifier, or lower its subdivision, and try again.")
    check_memory(len(vertices), len(faces))
    progress = progress or Progress()
    progress(0.0, "Cleaning the object")
    mesh = clean_mesh(vertices, faces, progress.sub(0.0, 0.2, "Cleaning the object"))
    progress(0.2, "Sampling the surface")
    surface = ExactSurface(mesh.vertices, mesh.faces)
    rng = np.random.default_rng(seed)
    points, face = sample_surface(mesh.vertices, mesh.faces, POINTS, rng)
    normals = surface.face_normals[face]
    width = thickness(surface, points, normals, progress.sub(0.22, 0.3, "Sampling the surface"),
                      2 if is_soup(surface, mesh.pieces) else 8)
    corners = mesh.vertices[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = float(np.linalg.norm(cross, axis=1).sum() / 2)
    if not any_size:
        check_size(np.ptp(mesh.vertices, axis=0), width, area)
    progress(0.3, "Measuring distances")
    grid = build_grid(surface, thin=float(np.quantile(width, 0.1)), watertight=mesh.watertight,
                      progress=progress.sub(0.3, 0.95, "Measuring distances"), pieces=mesh.pieces)
    single = mesh.vertices.astype(np.float32)
    prepared = GraspObject(
        vertices=torch.from_numpy(single),
        faces=torch.from_numpy(mesh.faces),
        centroid=mesh.centroid,
        points=torch.from_numpy(points.astype(np.float32)),
        normals=torch.from_numpy(normals.astype(np.float32)),
        thickness=torch.from_numpy(width.astype(np.float32)),
        grid=grid,
        area=area,
        volume=float((corners[:, 0] * cross).sum() / 6),
        watertight=mesh.watertight,
        shell=mesh.shell,
        digest=hashlib.sha256(single.tobytes() + mesh.faces.tobytes()).hexdigest()[:16],
    )
    progress(1.0, "Object ready")
    return prepared


def check_graspable(obj: GraspObject) -> None:
    """Raises unless some place of a prepared object has a width between fingers' and a hand's.

    Raises:
        ObjectTooLarge: hardly any of its surface is narrower than a hand's span.
        ObjectTooSmall: all of it is smaller than fingertips can hold.
    """
    check_size(obj.extent.cpu().numpy(), obj.thickness.cpu().numpy(), obj.area)
