"""The paper protocol: the measures of the published tables, with the constants their code uses.

Numbers of different papers do not compare; these constants are those of GraspTTA's and FastGrasp's evaluation code
(penetration, contact), of the PyBullet simulation that all of them share, and of D-VQVAE's quality index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.grasps.contact import in_contact, touches, touching_parts
from core.metrics.simulation import displacement
from core.progress import Progress

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class PaperConfig:
    """Constants of the papers' evaluation code.

    Attributes:
        pitch: metres, side of the voxels of the object's surface (GraspTTA, FastGrasp).
        contact: metres from the surface within which a hand touches it (GraspTTA, FastGrasp).
        good_depth: metres that a good grasp is less deep than; this project's own.
        most_voxels: of an object's surface; more would fill the memory. This project's own.
        volume_weight: of the common volume in cm3, in the quality index (D-VQVAE).
        displacement_weight: of the simulation displacement in cm, likewise (D-VQVAE).
    """

    pitch: float = 0.005
    contact: float = 0.005
    good_depth: float = 0.005
    most_voxels: int = 2_000_000
    volume_weight: float = 0.301
    displacement_weight: float = 0.699


CONFIG: Final = PaperConfig()


def paper_measures(obj: GraspObject, hand: HandModel, grasps: Grasps, simulate: bool = True,
                   progress: Progress | None = None) -> dict[str, torch.Tensor]:
    """Measures N grasps as the papers do; nothing is rejected.

    Args:
        obj: the object.
        hand: the hand.
        grasps: in the object's frame.
        simulate: whether PyBullet is run (most of the time).
        progress: told after each grasp; None hears nothing.

    Returns:
        Name to (N,) values:

        - volume_cm3: of the object's surface voxels of 5 mm whose centres the open-wrist hand encloses.
        - depth_cm: the largest distance to the surface over hand vertices inside the object.
        - contact: bool, any hand vertex is inside or within 5 mm.
        - good: bool, less than 5 mm deep, and thumb or palm and another part of the hand within 5 mm; this project's.
        - displacement_cm and quality: with `simulate`, see `displacement` and `quality_index`.

    Raises:
        ValueError: the object is so large that its voxels would fill the memory.
        ImportError: PyBullet is to be run and is not installed.
        core.progress.Stopped: `progress` was asked to stop.
    """
    progress = progress or Progress()
    with torch.no_grad():
        posed = hand(**grasps.to(hand.v_template.device).parameters())
    faces, sealed = open_faces(hand), hand.faces.cpu().numpy()
    voxels, part_of = surface_voxels(obj), hand.parts.cpu()
    count = len(grasps)
    volume, depth, contact, moved = np.zeros(count), np.zeros(count), np.zeros(count, bool), np.zeros(count)
    parts = torch.zeros(count, 6, dtype=torch.bool)
    for row, vertices in enumerate(posed.vertices.cpu().double().numpy()):
        volume[row] = enclosed(voxels, vertices, faces) * CONFIG.pitch**3
        distance = obj.surface.signed(vertices)[0]
        depth[row] = max(0.0, -distance.min(initial=0.0))
        contact[row] = touches(distance, CONFIG.contact).any()
        parts[row] = touching_parts(torch.from_numpy(distance)[None], part_of, CONFIG.contact)[0]
        if simulate:
            moved[row] = 100 * displacement(obj, vertices, sealed)
        progress((row + 1) / count)
    good = torch.from_numpy(depth < CONFIG.good_depth) & in_contact(parts)
    measures = {"volume_cm3": torch.from_numpy(volume * 1e6).float(), "depth_cm": torch.from_numpy(depth * 1e2).float(),
                "contact": torch.from_numpy(contact), "good": good}
    if simulate:
        displacement_cm = torch.from_numpy(moved).float()
        measures |= {"displacement_cm": displacement_cm,
                     "quality": quality_index(measures["volume_cm3"], displacement_cm)}
    return measures


def quality_index(volume_cm3: torch.Tensor, displacement_cm: torch.Tensor) -> torch.Tensor:
    """D-VQVAE's quality index (N,) of common volumes (N,) and displacements (N,); less is better."""
    return CONFIG.volume_weight * volume_cm3 + CONFIG.displacement_weight * displacement_cm


def open_faces(hand: HandModel) -> np.ndarray:
    """(F, 3) the hand's triangles without those that close its wrist: MANO's mesh is open there."""
    faces = hand.faces.cpu().numpy()
    cap = {tuple(sorted(face)) for face in hand.cap_faces.cpu().numpy().tolist()}
    return faces[[tuple(sorted(face)) not in cap for face in faces.tolist()]]


def surface_voxels(obj: GraspObject, pitch: float = CONFIG.pitch) -> np.ndarray:
    """The voxels that the object's surface passes through (trimesh's voxelisation, not filled).

    Args:
        obj: the object.
        pitch: metres, side of a voxel.

    Returns:
        (M, 3) their centres, object frame, metres.

    Raises:
        ValueError: the object is so large that they would fill the memory.
    """
    import trimesh

    if obj.area > CONFIG.most_voxels * pitch**2:
        raise ValueError(f"The object's surface has {obj.area:,.0f} m2, too much for voxels of {1000 * pitch:g} mm: "
                         "the unit of its mesh must be another (mm, cm or m).")
    mesh = trimesh.Trimesh(obj.surface.vertices, obj.surface.faces, process=False)
    return np.asarray(mesh.voxelized(pitch).points)


def enclosed(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> int:
    """How many points lie inside a mesh that may be open, by trimesh's ray test as the papers have it.

    Args:
        points: (M, 3).
        vertices: (V, 3) of the mesh, in the same frame and unit.
        faces: (F, 3).
    """
    import trimesh

    near = ((points >= vertices.min(0)) & (points <= vertices.max(0))).all(1)
    if not near.any():
        return 0
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    return int(mesh.ray.contains_points(points[near]).sum())
