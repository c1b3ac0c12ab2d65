"""The paper protocol: the measures of the published tables, with the constants their code uses.

Numbers of different papers do not compare; these constants are those of GraspTTA's and FastGrasp's evaluation code
(penetration, contact), of the PyBullet simulation that all of them share, and of D-VQVAE's quality index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.metrics.simulation import displacement

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: metres: pitch of the voxels of the object's surface; from here on a hand touches
PITCH: Final = 0.005
TOUCH: Final = 0.005
GOOD_DEPTH: Final = 0.005
MOST_VOXELS: Final = 2_000_000
#: quality index = VOLUME x volume (cm3) + SHIFT x displacement (cm)
VOLUME, SHIFT = 0.301, 0.699


def paper_measures(obj: GraspObject, hand: HandModel, grasps: Grasps, simulate: bool = True,
                   tell: Callable[[float], object] | None = None) -> dict[str, torch.Tensor]:
    """Measures N grasps as the papers do; nothing is rejected.

    Args:
        obj: the object. hand: the hand. grasps: in the object's frame.
        simulate: whether PyBullet is run (most of the time).
        tell: called with the share that is done, after each grasp; ends the work by raising.

    Returns:
        volume_cm3 (N,) of the object's surface voxels of 5 mm whose centres the open-wrist hand encloses;
        depth_cm (N,) largest distance to the surface over hand vertices inside the object; contact (N,) bool, any
        hand vertex inside or within 5 mm; with `simulate` also displacement_cm (N,) and quality (N,). One is this
        project's: good (N,) bool, less than 5 mm deep, and thumb or palm and another part of the hand within 5 mm.
    """
    with torch.no_grad():
        posed = hand(**grasps.to(hand.v_template.device).parameters())
    skins = posed.vertices.cpu().double().numpy()
    faces, sealed = open_faces(hand), hand.faces.cpu().numpy()
    voxels = surface_voxels(obj)
    count = len(grasps)
    volume, depth, contact, moved = np.zeros(count), np.zeros(count), np.zeros(count, bool), np.zeros(count)
    good, part_of = np.zeros(count, bool), hand.parts.cpu().numpy()
    for row, skin in enumerate(skins):
        volume[row] = enclosed(voxels, skin, faces) * PITCH**3
        distance = obj.surface.signed(skin)[0]
        depth[row] = max(0.0, -distance.min(initial=0.0))
        contact[row] = (distance < TOUCH).any()
        touching = np.bincount(part_of[distance < TOUCH], minlength=6) > 0
        good[row] = depth[row] < GOOD_DEPTH and (touching[0] or touching[5]) and touching.sum() > 1
        if simulate:
            moved[row] = 100 * displacement(obj, skin, sealed)
        if tell is not None:
            tell((row + 1) / count)
    measures = {"volume_cm3": torch.from_numpy(volume * 1e6).float(), "depth_cm": torch.from_numpy(depth * 1e2).float(),
                "contact": torch.from_numpy(contact), "good": torch.from_numpy(good)}
    if simulate:
        shift = torch.from_numpy(moved).float()
        measures |= {"displacement_cm": shift, "quality": quality_index(measures["volume_cm3"], shift)}
    return measures


def quality_index(volume_cm3: torch.Tensor, displacement_cm: torch.Tensor) -> torch.Tensor:
    """D-VQVAE's index, less is better."""
    return VOLUME * volume_cm3 + SHIFT * displacement_cm


def open_faces(hand: HandModel) -> np.ndarray:
    """(F, 3) the hand's triangles without those that close its wrist, as MANO's mesh has them."""
    faces = hand.faces.cpu().numpy()
    cap = {tuple(sorted(face)) for face in hand.cap_faces.cpu().numpy().tolist()}
    return faces[[tuple(sorted(face)) not in cap for face in faces.tolist()]]


def surface_voxels(obj: GraspObject, pitch: float = PITCH) -> np.ndarray:
    """(M, 3) centres of the voxels that the object's surface passes through (trimesh's voxelisation, not filled).

    Raises:
        ValueError: the object is so large that they would fill the memory.
    """
    import trimesh

    if obj.area > MOST_VOXELS * pitch**2:
        raise ValueError(f"The object's surface has {obj.area:,.0f} m2, too much for voxels of {1000 * pitch:g} mm: "
                         "the unit of its mesh must be another (mm, cm or m).")
    mesh = trimesh.Trimesh(obj.surface.vertices, obj.surface.faces, process=False)
    return np.asarray(mesh.voxelized(pitch).points)


def enclosed(points: np.ndarray, skin: np.ndarray, faces: np.ndarray) -> int:
    """How many points (M, 3) lie inside a mesh that may be open, by trimesh's ray test as the papers have it."""
    import trimesh

    near = ((points >= skin.min(0)) & (points <= skin.max(0))).all(1)
    if not near.any():
        return 0
    mesh = trimesh.Trimesh(skin, faces, process=False)
    return int(mesh.ray.contains_points(points[near]).sum())
