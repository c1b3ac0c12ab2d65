"""Showing one candidate, and going back to the animation that was baked."""

from __future__ import annotations

import bpy

from ..errors import GraspError
from . import contact
from .correctives import set_value, value_curve
from .drivers import CHANNELS, drive_bones, drivers, mute_drivers, pose_bones
from .hands import has_bone_keys, rigs, scene_of
from .parts import candidate_blocks, demand_whole, fault, pose_bones_of, present_blocks, settle_names
from .turns import give_modes_back, turn_by_quaternions


def show(rig: bpy.types.Object, number: int) -> list[str]:
    """Shows the candidate at place `number` (from 1), or the open hand at 0; baked keys stay as they are.

    Returns:
        the bones that were set to quaternions for it. Baking sets them back, and so do Back to Animation and Pose by
        Hand.

    Raises:
        GraspError: the hand, or this candidate's part of it, is gone.
    """
    demand_whole(rig)
    record = rig.grasp
    number = max(0, min(number, len(record.candidates)))
    wanted = candidate_blocks(rig)[number - 1] if number else None
    if number and wanted is None:
        raise GraspError(f"The shape key {record.candidates[number - 1].key} of {record.mesh.name} was deleted, and "
                         "with it this grasp: undo that, or show another.", "")
    settle_names(rig)
    if record.candidates and len(drivers(rig)) != CHANNELS:  # some were deleted: nothing would move those bones
        muted = any(d.mute for d in drivers(rig))
        drive_bones(rig)
        mute_drivers(rig, muted)
    record.look = number
    if any(c.baked for c in record.candidates) or ((record.posing or record.looking) and has_bone_keys(rig)):
        record.look_frame = scene_of(rig).frame_float
        if not record.looking:
            record.looking = True
            mute_drivers(rig, False)
    elif record.posing:
        mute_drivers(rig, False)
    record.posing = False
    turned = turn_by_quaternions(rig, pose_bones_of(rig))
    if record.looking:
        bpy.context.view_layer.update()  # the change of the drivers plays the keys: only after that the look stays
    for block in present_blocks(rig):
        set_value(rig, block, 1.0 if block == wanted else 0.0)
    scene = scene_of(rig)
    if scene and scene.grasp.show_contact:
        contact.update(bpy.context, rig)
    return turned


def shows(rig: bpy.types.Object, number: int) -> bool:
    """Whether the shape keys are as the candidate at place `number` needs them."""
    wanted = candidate_blocks(rig)[number - 1] if 0 < number <= len(rig.grasp.candidates) else None
    return all(block.value == (1.0 if block == wanted else 0.0) for block in present_blocks(rig))


def show_contacts(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """Shows where the hands of a scene touch, or shows it no more, as the scene's setting says."""
    for rig in rigs(scene):
        if scene.grasp.show_contact:
            contact.update(context, rig)
        else:
            contact.clear(rig)


def end_look(rig: bpy.types.Object) -> None:
    """Lets the baked keys play again."""
    if rig.grasp.looking:
        rig.grasp.looking = False
        rig.grasp.posing = not any(c.baked for c in rig.grasp.candidates)
        mute_drivers(rig, True)
        give_modes_back(rig)
        for block in present_blocks(rig):
            if value_curve(rig, block) is None:
                set_value(rig, block, 0.0)
        keyed = [c for c in rig.grasp.candidates if c.own and c.baked]
        # The animator need not have keyed every bone: the others go back to where they stood.
        if keyed and not fault(rig):
            pose_bones(rig, keyed[-1].channels)
