"""The parts of a hand, found again after an animator renamed, edited or deleted some; a sentence where one is gone."""

from __future__ import annotations

import re
from typing import Final

import bpy

from ..errors import GraspError
from ..naming import WRIST, bone_names

JOINT: Final = "grasp_joint"  # on each bone: its joint, so that it is known by another name, too
_KEY: Final = re.compile(r'key_blocks\["(.*)"\]\.value')


def joint_names(rig: bpy.types.Object) -> list[str]:
    """What the sixteen bones are called now; one that is gone has the name it was made with."""
    there = {bone[JOINT]: bone.name for bone in rig.data.bones if JOINT in bone}
    return [name if name in rig.data.bones else there.get(joint, name)
            for joint, name in enumerate(bone_names(rig.grasp.side))]


def pose_bones_of(rig: bpy.types.Object) -> list[bpy.types.PoseBone]:
    """The sixteen bones in MANO's joint order.

    Raises:
        GraspError: some were deleted.
    """
    names = joint_names(rig)
    gone = [name for name in names if name not in rig.pose.bones]
    if gone:
        raise GraspError(f"{rig.name} has no bone {', '.join(gone)} any more: undo the deletion, or generate grasps "
                         "again for a whole hand.", "")
    return [rig.pose.bones[name] for name in names]


def key_blocks(rig: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """The shape keys of the hand's mesh after the open hand's; none where they were cleared."""
    mesh = rig.grasp.mesh
    shape_keys = mesh.data.shape_keys if mesh and mesh.data else None
    return list(shape_keys.key_blocks)[1:] if shape_keys else []


def candidate_blocks(rig: bpy.types.Object) -> list[bpy.types.ShapeKey | None]:
    """The shape key of each candidate, renamed or not; None where it was deleted."""
    found = {block.name: block for block in key_blocks(rig)}
    candidates = rig.grasp.candidates
    names = [entry.key for entry in candidates]
    if any(name not in found for name in names):  # Blender renamed it in the drivers
        driving = _driving_keys(rig)
        if len(driving) == len(names):
            names = [name if name in found else now for name, now in zip(names, driving, strict=True)]
    return [found.get(name) for name in names]


def present_blocks(rig: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """The candidates' shape keys that are there; those that the animator added are not among them."""
    return [block for block in candidate_blocks(rig) if block]


def settle_names(rig: bpy.types.Object) -> None:
    """Notes what the candidates' shape keys are called now."""
    for entry, block in zip(rig.grasp.candidates, candidate_blocks(rig), strict=True):
        if block and entry.key != block.name:
            entry.key = block.name


def fault(rig: bpy.types.Object) -> str:
    """What keeps candidates from being shown and keyed on this hand, as a sentence; "" where nothing does."""
    mesh = rig.grasp.mesh
    if mesh is None or not mesh.users_scene:
        return f"The mesh of {rig.name} was deleted: undo that, or remove the hand and generate grasps again."
    if any(part.library or part.override_library for part in (rig, rig.data, mesh, mesh.data)):
        return (f"{rig.name} is linked from another file, and what is made on it here would be gone when this file is "
                "opened again: show and bake its grasps in the file it comes from, or make it local first (Object > "
                "Relations > Make Local > All).")
    try:
        pose_bones_of(rig)
    except GraspError as error:
        return str(error)
    if rig.grasp.candidates and not any(candidate_blocks(rig)):
        return (f"The shape keys of {mesh.name} were cleared, and with them the candidates: undo that, or generate "
                "grasps again.")
    return ""


def demand_whole(rig: bpy.types.Object) -> None:
    """Sees that candidates can be shown and keyed.

    Raises:
        GraspError: they cannot.
    """
    wrong = fault(rig)
    if wrong:
        raise GraspError(wrong, "")


def _driving_keys(rig: bpy.types.Object) -> list[str]:
    """The shape keys that pose the bones, in the candidates' order, by the names that Blender keeps up to date."""
    path = f'pose.bones["{bpy.utils.escape_identifier(joint_names(rig)[WRIST])}"].rotation_quaternion'
    paths = []
    for owner in (rig, rig.data):
        for driver in owner.animation_data.drivers if owner.animation_data else ():
            if driver.array_index == 0 and (owner is rig.data or driver.data_path == path):
                paths += [v.targets[0].data_path for v in driver.driver.variables]
    found = (_KEY.fullmatch(p) for p in paths)
    return [bpy.utils.unescape_identifier(match[1]) for match in found if match]
