"""Showing one candidate, and going back to the animation that was baked."""

from __future__ import annotations

import bpy

from . import contact
from .drivers import mute_drivers, pose_bones
from .hands import has_bone_keys, rigs, scene_of


def show(rig: bpy.types.Object, number: int) -> None:
    """Shows the candidate at place `number` (from 1), or the open hand at 0; baked keys stay as they are."""
    record = rig.grasp
    number = max(0, min(number, len(record.candidates)))
    wanted = record.candidates[number - 1].key if number else ""
    blocks = record.mesh.data.shape_keys.key_blocks
    for block in blocks[1:]:
        value = 1.0 if block.name == wanted else 0.0
        if block.value != value:
            block.value = value
    record.look = number
    if any(c.baked for c in record.candidates) or ((record.posing or record.looking) and has_bone_keys(rig)):
        record.look_frame = scene_of(rig).frame_float
        if not record.looking:
            record.looking = True
            mute_drivers(rig, False)
    elif record.posing:
        mute_drivers(rig, False)
    record.posing = False
    scene = scene_of(rig)
    if scene and scene.grasp.show_contact:
        contact.update(bpy.context, rig)


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
        keyed = [c for c in rig.grasp.candidates if c.own and c.baked]
        if keyed:  # the animator need not have keyed every bone: the others go back to where they stood
            pose_bones(rig, keyed[-1].channels)
