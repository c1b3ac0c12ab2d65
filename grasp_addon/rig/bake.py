"""Keys for the shown grasp at the current frame: on the bones, and on the shape keys so that the mesh stays right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..naming import WRIST
from .animation import fcurve, fcurves
from .drivers import mute_drivers
from .hands import shown_candidate
from .marks import marked
from .pose_reader import shown_channels

if TYPE_CHECKING:
    from mathutils import Quaternion


def bake(context: bpy.types.Context, rig: bpy.types.Object) -> int:
    """Keys the shown grasp and mutes the drivers.

    The animator's preferences hold: Only Insert Needed, the interpolation of new keys, the timeline's key type and
    Cycle-Aware Keying. An active keying set does not: with part of its channels a grasp is another pose. Auto-Key
    need not be on, for the button is the order to key.

    Returns:
        the frame.
    """
    scene, record = context.scene, rig.grasp
    frame = scene.frame_current
    shape_keys = record.mesh.data.shape_keys
    values = {block.name: block.value for block in shape_keys.key_blocks[1:]}
    pose = shown_channels(context, rig)
    mute_drivers(rig, True)
    record.looking = record.posing = False
    there = {point.co.x for data in (rig, shape_keys) for c in fcurves(data) for point in c.keyframe_points}
    keying = {"frame": frame, "options": keying_options(context), "keytype": scene.tool_settings.keyframe_type}
    for joint, (name, (rotation, location)) in enumerate(pose.items()):
        bone = rig.pose.bones[name]
        bone.rotation_quaternion = _nearest(rig, bone, rotation, frame)
        bone.keyframe_insert("rotation_quaternion", group=name, **keying)
        if joint == WRIST:
            bone.location = location
            bone.keyframe_insert("location", group=name, **keying)
    for block in shape_keys.key_blocks[1:]:
        block.value = values[block.name]
        block.keyframe_insert("value", **keying)
    for datablock in (rig, shape_keys):
        if datablock.animation_data and datablock.animation_data.action:
            marked(datablock.animation_data.action)
    if not any(abs(x - frame) < 0.5 for x in there):  # keys that were there keep their interpolation
        style_new_keys(context, (rig, shape_keys), frame)
    place = shown_candidate(rig)
    for index, candidate in enumerate(record.candidates):
        if values.get(candidate.key, 0.0) > 0 or index == place - 1:
            candidate.baked = True
    return frame


def key_newcomers(rig: bpy.types.Object) -> None:
    """Keys of value 0 for candidates that came after others were keyed, so that a look at them ends with the frame."""
    shape_keys = rig.grasp.mesh.data.shape_keys
    keyed = fcurves(shape_keys) or [c for c in fcurves(rig) if c.data_path.startswith("pose.bones")]
    frames = sorted({point.co.x for c in keyed for point in c.keyframe_points})
    for block in shape_keys.key_blocks[1:]:
        if fcurve(shape_keys, block.path_from_id("value")) is None:
            block.value = 0.0
            for frame in frames:
                block.keyframe_insert("value", frame=frame)


def style_new_keys(context: bpy.types.Context, datablocks: tuple[bpy.types.ID, ...], frame: float) -> None:
    """The interpolation and handles the preferences give to new keys, which keys inserted by a script do not get."""
    edit = context.preferences.edit
    for found in (c for datablock in datablocks for c in fcurves(datablock)):
        for point in found.keyframe_points:
            if abs(point.co.x - frame) < 0.5:
                point.interpolation = edit.keyframe_new_interpolation_type
                point.handle_left_type = point.handle_right_type = edit.keyframe_new_handle_type
        found.update()


def keying_options(context: bpy.types.Context) -> set[str]:
    """What the preferences and the scene say about inserting keys."""
    edit = context.preferences.edit
    options = set()
    if edit.use_keyframe_insert_needed:
        options.add("INSERTKEY_NEEDED")
    if context.scene.tool_settings.use_keyframe_cycle_aware:
        options.add("INSERTKEY_CYCLE_AWARE")
    return options


def _nearest(rig: bpy.types.Object, bone: bpy.types.PoseBone, rotation: Quaternion, frame: float) -> Quaternion:
    """q or -q, whichever the keys before lead to the short way round."""
    path = bone.path_from_id("rotation_quaternion")
    found = [c for c in (fcurve(rig, path, i) for i in range(4)) if c]
    if len(found) == 4 and sum(c.evaluate(frame) * x for c, x in zip(found, rotation, strict=True)) < 0:
        return -rotation
    return rotation
