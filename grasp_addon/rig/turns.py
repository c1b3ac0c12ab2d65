"""Rotations of bones in whichever mode the animator set: written, keyed the short way round, and given back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import bpy
from mathutils import Euler, Quaternion

from .animation import fcurve

if TYPE_CHECKING:
    from collections.abc import Sequence

MODE: Final = "grasp_rotation_mode"  # on a pose bone: what the animator set, while a candidate is shown by quaternions
AFTER: Final = 1e-3  # frames: keys further on than this are later ones


def rotation_property(bone: bpy.types.PoseBone) -> str:
    """Which of its properties turns the bone."""
    return {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(bone.rotation_mode,
                                                                                            "rotation_euler")


def rotation_of(bone: bpy.types.PoseBone) -> Quaternion:
    """How the bone is turned, in any mode."""
    if bone.rotation_mode == "QUATERNION":
        return bone.rotation_quaternion.copy()
    return bone.matrix_basis.to_quaternion()


def set_rotation(bone: bpy.types.PoseBone, turn: Quaternion, near: Sequence[float] | None = None) -> None:
    """Turns a bone, in its own mode.

    Args:
        bone: which.
        turn: where to.
        near: numbers of the same property, at the key before; the rotation is told the way that is nearest to them.
    """
    if bone.rotation_mode == "QUATERNION":
        bone.rotation_quaternion = -turn if near and turn.dot(Quaternion(near)) < 0 else turn
    elif bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = turn.to_axis_angle()
        back = near and sum(a * b for a, b in zip(axis, near[1:], strict=True)) < 0
        bone.rotation_axis_angle = (-angle, *-axis) if back else (angle, *axis)
    else:
        order = bone.rotation_mode
        bone.rotation_euler = turn.to_euler(order, Euler(near, order)) if near else turn.to_euler(order)


def neighbours(rig: bpy.types.Object, bone: bpy.types.PoseBone, frame: float) -> tuple[list[float] | None,
                                                                                       list[float] | None]:
    """The numbers of the bone's rotation at the key before a frame and at the key after; None where there is none."""
    found = _curves(rig, bone)
    times = sorted({point.co.x for curve in found for point in curve.keyframe_points})
    before = [t for t in times if t < frame - AFTER]
    after = [t for t in times if t > frame + AFTER]
    return ([c.evaluate(before[-1]) for c in found] if before else None,
            [c.evaluate(after[0]) for c in found] if after else None)


def lead_later_keys(rig: bpy.types.Object, bone: bpy.types.PoseBone, frame: float) -> None:
    """Tells all later keys of a bone's rotation so that the curves lead to them the short way; they turn no bone.

    Args:
        rig: whose curves.
        bone: which.
        frame: where its rotation was keyed.
    """
    after = neighbours(rig, bone, frame)[1]
    if after is None:
        return
    found = _curves(rig, bone)
    now = [curve.evaluate(frame) for curve in found]
    if bone.rotation_mode == "QUATERNION":
        back = sum(a * b for a, b in zip(now, after, strict=True)) < 0
    elif bone.rotation_mode == "AXIS_ANGLE":
        back = sum(a * b for a, b in zip(now[1:], after[1:], strict=True)) < 0
    else:
        for curve, here, there in zip(found, now, after, strict=True):
            shift = math.tau * round((here - there) / math.tau)
            if shift:
                _retell(curve, frame, 1.0, shift)
        return
    if back:
        for curve in found:
            _retell(curve, frame, -1.0, 0.0)


def turn_by_quaternions(rig: bpy.types.Object, bones: list[bpy.types.PoseBone]) -> list[str]:
    """Sets bones to the mode in which candidates pose them, and notes the animator's.

    Returns:
        the names of those that were in another mode.
    """
    changed = [bone for bone in bones if bone.rotation_mode != "QUATERNION"]
    for bone in changed:
        mode = bone.rotation_mode
        bone.rotation_mode = "QUATERNION"
        bone[MODE] = mode
    if changed:
        rig.update_tag(refresh={"OBJECT"})
    return [bone.name for bone in changed]


def give_modes_back(rig: bpy.types.Object) -> None:
    """Sets bones to the mode in which the animator had them."""
    for bone in rig.pose.bones:
        if MODE in bone:
            mode = bone[MODE]
            del bone[MODE]
            if bone.rotation_mode == "QUATERNION":  # else the animator has chosen anew
                bone.rotation_mode = mode


def _curves(rig: bpy.types.Object, bone: bpy.types.PoseBone) -> list[bpy.types.FCurve]:
    """The curves of the bone's rotation, all of them or none."""
    path = bone.path_from_id(rotation_property(bone))
    count = 3 if path.endswith("rotation_euler") else 4
    found = [curve for curve in (fcurve(rig, path, i) for i in range(count)) if curve]
    return found if len(found) == count else []


def _retell(curve: bpy.types.FCurve, frame: float, factor: float, shift: float) -> None:
    for point in curve.keyframe_points:
        if point.co.x > frame + AFTER:
            handles = point.handle_left.y * factor + shift, point.handle_right.y * factor + shift
            point.co.y = point.co.y * factor + shift
            point.handle_left.y, point.handle_right.y = handles
    curve.update()
