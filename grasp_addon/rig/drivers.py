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
REST: Final = np.concatenate([np.tile([1.0, 0.0, 0.0, 0.0], 16), np.zeros(3)])  # the channels of the open hand


def drive_bones(armature: bpy.types.Object) -> None:
    """Writes all drivers anew from the candidates the rig holds."""
    record = armature.grasp
    _remove_drivers(armature)
    there = [(entry, block.name) for entry, block in zip(record.candidates, candidate_blocks(armature), strict=True)
             if block]
    if not there:
        return
    channels = np.array([list(entry.channels) for entry, _ in there])  # (N, 67)
    keys = [key for _, key in there]
    shape_keys = record.mesh.data.shape_keys
    groups = [range(start, min(start + GROUP, len(keys))) for start in range(0, len(keys), GROUP)]
    data = armature.data
    if len(groups) > 1:
        for g, _members in enumerate(groups):
            data[SUM.format(g)] = [0.0] * CHANNELS
    paths = _channel_paths(armature)
    for channel, (path, index) in enumerate(paths):
        sums = [
            ([(shape_keys, "KEY", f'key_blocks["{bpy.utils.escape_identifier(keys[k])}"].value') for k in members],
             [channels[k, channel] - REST[channel] for k in members])
            for members in groups
        ]
        if len(groups) == 1:
            _drive(armature, path, index, REST[channel], *sums[0])
            continue
        for g, (sources, factors) in enumerate(sums):
            _drive(data, f'["{SUM.format(g)}"]', channel, 0.0, sources, factors)
        partial = [(data, "ARMATURE", f'["{SUM.format(g)}"][{channel}]') for g in range(len(groups))]
        _drive(armature, path, index, REST[channel], partial, [1.0] * len(groups))


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


def _drive(owner: bpy.types.ID, path: str, index: int, rest: float,
           sources: list[tuple[bpy.types.ID, str, str]], factors: list[float]) -> None:
    fcurve = owner.driver_add(path, index)
    fcurve.keyframe_points.clear()  # Blender 5.0's keys (0, 0) and (1, 1) would make of 0.00009 just 0
    driver = fcurve.driver
    driver.type = "SCRIPTED"
    terms = [f"{rest:g}"]
    for place, ((source, kind, source_path), factor) in enumerate(zip(sources, factors, strict=True)):
        variable = driver.variables.new()
        variable.name = chr(ord("a") + place)
        variable.targets[0].id_type = kind
        variable.targets[0].id = source
        variable.targets[0].data_path = source_path
        terms.append(f"+{variable.name}" if factor == 1.0 else f"{_number(factor)}*{variable.name}")
    driver.expression = "".join(terms)


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
