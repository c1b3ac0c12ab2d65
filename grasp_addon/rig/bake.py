"""Keys for the shown grasp at the current frame: on the bones, and on what the skin's correctives follow."""

from __future__ import annotations

from typing import Any

import bpy

from ..errors import GraspError
from ..naming import WRIST
from .animation import fcurves, note_made
from .correctives import key_value, set_value, tie, value_curve
from .drivers import mute_drivers
from .hands import shown_candidate
from .marks import marked
from .parts import candidate_blocks, demand_whole, pose_bones_of, present_blocks, settle_names
from .pose_reader import shown_channels
from .turns import give_modes_back, lead_later_keys, neighbours, rotation_property, set_rotation


def bake(context: bpy.types.Context, rig: bpy.types.Object) -> int:
    """Keys the shown grasp and mutes the drivers.

    The animator's preferences hold: Only Insert Needed, the interpolation of new keys, the timeline's key type and
    Cycle-Aware Keying. So does each bone's rotation mode. An active keying set does not: with part of its channels a
    grasp is another pose. Auto-Key need not be on, for the button is the order to key.

    Returns:
        the frame.

    Raises:
        GraspError: the hand or its action takes no keys; nothing was changed.
    """
    demand_whole(rig)
    scene, record = context.scene, rig.grasp
    shape_keys, frame = record.mesh.data.shape_keys, scene.frame_current
    _demand_keyable(rig, (rig, shape_keys))
    settle_names(rig)
    before = {data: (data.animation_data and data.animation_data.action, {c.data_path for c in fcurves(data)})
              for data in (rig, shape_keys)}
    there = {point.co.x for data in (rig, shape_keys) for c in fcurves(data) for point in c.keyframe_points}
    pose = shown_channels(context, rig)
    values = {block.name: block.value for block in present_blocks(rig)}
    mute_drivers(rig, True)
    give_modes_back(rig)
    record.looking = record.posing = False
    keying = {"frame": frame, "options": keying_options(context), "keytype": scene.tool_settings.keyframe_type}
    for joint, (bone, (rotation, location)) in enumerate(zip(pose_bones_of(rig), pose, strict=True)):
        earlier, later = neighbours(rig, bone, frame)
        set_rotation(bone, rotation, earlier or later)
        bone.keyframe_insert(rotation_property(bone), group=bone.name, **keying)
        if joint == WRIST:
            bone.location = location
            bone.keyframe_insert("location", group=bone.name, **keying)
    for entry, block in zip(record.candidates, candidate_blocks(rig), strict=True):
        value = values[block.name] if block else 0.0
        if block:
            set_value(rig, block, value)
        if block and value_curve(rig, block):
            key_value(rig, block, **keying)
        elif block and value > 0:
            tie(rig, entry.number, block)
            _key_first(rig, block, value, sorted(there | {float(frame)}), keying)
    for data, (action, paths) in before.items():
        now = data.animation_data.action if data.animation_data else None
        if now and action is None:
            marked(now)
        elif now:
            note_made(now, {c.data_path for c in fcurves(data)} - paths)
    if not any(abs(x - frame) < 0.5 for x in there):  # keys that were there keep their interpolation
        style_new_keys(context, (rig, shape_keys), frame)
    for bone in pose_bones_of(rig):
        lead_later_keys(rig, bone, frame)
    place = shown_candidate(rig)
    for index, candidate in enumerate(record.candidates):
        if values.get(candidate.key, 0.0) > 0 or index == place - 1:
            candidate.baked = True
    return frame


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


def _key_first(rig: bpy.types.Object, block: bpy.types.ShapeKey, value: float, frames: list[float],
               keying: dict[str, Any]) -> None:
    """Keys a shape key that had no keys: at 0 where the hand was keyed before, so that it shows in this frame only."""
    for frame in frames:
        here = abs(frame - keying["frame"]) < 0.5
        set_value(rig, block, value if here else 0.0)
        key_value(rig, block, **{**keying, "frame": frame, "options": keying["options"] - {"INSERTKEY_NEEDED"}})
    set_value(rig, block, value)


def _demand_keyable(rig: bpy.types.Object, datablocks: tuple[bpy.types.ID, ...]) -> None:
    """Sees that the actions take keys.

    Raises:
        GraspError: they do not.
    """
    for datablock in datablocks:
        action = datablock.animation_data.action if datablock.animation_data else None
        if action and (action.library or action.override_library):
            raise GraspError(f"The action {action.name} of {rig.name} is linked from another file and takes no keys: "
                             "make it local, or give the hand an action of its own.", "")
        paths = tuple(bone.path_from_id() for bone in pose_bones_of(rig))
        locked = [c for c in fcurves(datablock) if c.lock or (c.group and c.group.lock)]
        mine = [c for c in locked if datablock is not rig or c.data_path.startswith(paths)]
        if mine:
            raise GraspError(f"Curves of {rig.name} are locked and take no keys ({mine[0].data_path}): unlock them in "
                             "the Dope Sheet.", "")
