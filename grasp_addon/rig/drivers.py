"""Drivers by which the bones follow the candidates' shape keys, natively.

Each bone's quaternion is identity + sum of value_k (q_k - identity). Sums and products are evaluated by Blender
without Python, so a file works without this add-on and without auto-run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy
import numpy as np
from mathutils import Quaternion

from ..naming import WRIST
from .parts import candidate_blocks, joint_names, pose_bones_of
from .turns import set_rotation

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUP: Final = 16  # an expression is cut at 256 characters; a term takes at most 13
SUM: Final = "grasp_sum_{}"  # the names of the custom properties that hold partial sums
CHANNELS: Final = 16 * 4 + 3
Source = tuple[bpy.types.ID, str, str]  # a datablock, its kind, and the path of the number in it
REST: Final = np.concatenate([np.tile([1.0, 0.0, 0.0, 0.0], 16), np.zeros(3)])  # the channels of the open hand


def drive_bones(armature: bpy.types.Object) -> None:
    """Writes all drivers anew from the candidates the rig holds."""
    record = armature.grasp
    _remove_drivers(armature)
    there = [(entry, block.name) for entry, block in zip(record.candidates, candidate_blocks(armature), strict=True)
             if block]
    if not there:
        return
    offsets = np.array([list(entry.channels) for entry, _ in there]) - REST  # (N, 67)
    keys = [key for _, key in there]
    shape_keys = record.mesh.data.shape_keys
    data, paths = armature.data, _channel_paths(armature)
    groups = [range(start, min(start + GROUP, len(keys))) for start in range(0, len(keys), GROUP)]
    for g, members in enumerate(groups):
        sources = [(shape_keys, "KEY", f'key_blocks["{bpy.utils.escape_identifier(keys[k])}"].value') for k in members]
        if len(groups) == 1:
            _drive_all(armature, paths, REST, sources, offsets[members])
        else:
            data[SUM.format(g)] = [0.0] * CHANNELS
            sums = [(f'["{SUM.format(g)}"]', channel) for channel in range(CHANNELS)]
            _drive_all(data, sums, np.zeros(CHANNELS), sources, offsets[members])
    if len(groups) > 1:
        for channel, (path, index) in enumerate(paths):
            partial = [(data, "ARMATURE", f'["{SUM.format(g)}"][{channel}]') for g in range(len(groups))]
            _drive(armature, path, index, partial).driver.expression = f"{REST[channel]:g}" + "".join(
                f"+{_variable(g)}" for g in range(len(groups)))


def pose_bones(armature: bpy.types.Object, channels: Sequence[float]) -> None:
    """Poses the bones where neither drivers nor keys do.

    Args:
        armature: a rig of `build.build_hand`.
        channels: the 67 of `candidates.channels_of`.
    """
    bones = pose_bones_of(armature)
    for joint, bone in enumerate(bones):
        set_rotation(bone, Quaternion(channels[4 * joint: 4 * joint + 4]))
    bones[WRIST].location = channels[64:]


def drivers(armature: bpy.types.Object) -> list[bpy.types.FCurve]:
    """The drivers that pose this rig's bones."""
    animation = armature.animation_data
    ours = {path for path, _ in _channel_paths(armature)}
    return [d for d in animation.drivers if d.data_path in ours] if animation else []


def mute_drivers(armature: bpy.types.Object, mute: bool) -> None:
    """Muted, the keys on the bones play; unmuted, the shape keys pose the bones."""
    for driver in drivers(armature):
        if driver.mute != mute:
            driver.mute = mute


def _channel_paths(armature: bpy.types.Object) -> list[tuple[str, int]]:
    """Of each channel, the property's path and the place in it."""
    bones = [f'pose.bones["{bpy.utils.escape_identifier(name)}"]' for name in joint_names(armature)]
    turns = [(f"{bone}.rotation_quaternion", place) for bone in bones for place in range(4)]
    return turns + [(f"{bones[WRIST]}.location", place) for place in range(3)]


def _drive_all(owner: bpy.types.ID, paths: Sequence[tuple[str, int]], rest: np.ndarray,
               sources: Sequence[Source], factors: np.ndarray) -> None:
    """Drives channels by sums over the same sources.

    Args:
        owner: whose channels these are.
        paths: of each of C channels, the property's path and the place in it.
        rest: (C,) their values where all sources are 0.
        sources: S of them.
        factors: (S, C) how much of each source is in each channel.
    """
    first = fcurve = _drive(owner, *paths[0], sources)
    for (path, index), start, column in zip(paths, rest.tolist(), factors.T.tolist(), strict=True):
        if fcurve is None:  # a copy takes a fiftieth of the time that as many new variables do
            fcurve = owner.animation_data.drivers.from_existing(src_driver=first)
            fcurve.data_path, fcurve.array_index = path, index
        fcurve.driver.expression = f"{start:g}" + "".join(
            f"{_number(factor)}*{_variable(place)}" for place, factor in enumerate(column))
        fcurve = None


def _drive(owner: bpy.types.ID, path: str, index: int, sources: Sequence[Source]) -> bpy.types.FCurve:
    """A driver that knows its sources, and no expression yet."""
    fcurve = owner.driver_add(path, index)
    fcurve.keyframe_points.clear()  # Blender 5.0's keys (0, 0) and (1, 1) would make of 0.00009 just 0
    fcurve.driver.type = "SCRIPTED"
    for place, (source, kind, source_path) in enumerate(sources):
        variable = fcurve.driver.variables.new()
        variable.name = _variable(place)
        variable.targets[0].id_type = kind
        variable.targets[0].id = source
        variable.targets[0].data_path = source_path
    return fcurve


def _variable(place: int) -> str:
    return chr(ord("a") + place)


def _number(value: float) -> str:
    """Signed, ten characters, at least seven digits that count unless the value is tiny."""
    whole = len(str(int(abs(value))))
    return f"{value:+.{max(1, 8 - whole)}f}"


def _remove_drivers(armature: bpy.types.Object) -> None:
    for driver in drivers(armature):
        armature.animation_data.drivers.remove(driver)
    data = armature.data
    if data.animation_data:
        for driver in [d for d in data.animation_data.drivers if d.data_path.startswith('["grasp_sum_')]:
            data.animation_data.drivers.remove(driver)
    for name in [name for name in data.keys() if name.startswith("grasp_sum_")]:  # noqa: SIM118  ID properties
        del data[name]
