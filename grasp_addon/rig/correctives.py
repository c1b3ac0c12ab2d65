"""The shape keys of a baked hand follow numbers on its wrist's bone, which are keyed with the bones.

So bones and skin are one animation: what moves, stretches, pushes down or exports it takes both along. The drivers are
sums, which Blender evaluates without Python.
"""

from __future__ import annotations

import re
from typing import Final

import bpy

from ..naming import WRIST
from .animation import fcurve, remove_fcurves
from .parts import joint_names

PROPERTY: Final = "grasp_{:02d}"
_PATH: Final = re.compile(r'.*\["(grasp_\d+)"\]')


def tie(rig: bpy.types.Object, number: int, block: bpy.types.ShapeKey) -> None:
    """Lets a shape key follow a number on the wrist's bone, unless keys or drivers of its own move it.

    Args:
        rig: the hand.
        number: the candidate's.
        block: its shape key.
    """
    shape_keys, path = rig.grasp.mesh.data.shape_keys, block.path_from_id("value")
    if fcurve(shape_keys, path) or _driver(rig, block):
        return
    bone, name = rig.pose.bones[joint_names(rig)[WRIST]], PROPERTY.format(number)
    bone[name] = float(block.value)
    bone.id_properties_ui(name).update(min=0.0, max=1.0, description=f"How much of {block.name} the skin shows")
    driver = shape_keys.driver_add(path)
    driver.keyframe_points.clear()
    while driver.modifiers:  # Blender's own first one would be a curve of no slope
        driver.modifiers.remove(driver.modifiers[0])
    driver.driver.type = "SUM"
    variable = driver.driver.variables.new()
    variable.targets[0].id = rig
    variable.targets[0].data_path = f'{bone.path_from_id()}["{name}"]'


def untie(rig: bpy.types.Object, block: bpy.types.ShapeKey) -> None:
    """Takes the number on the bone away, with its driver and its keys."""
    name = tied_to(rig, block)
    if name:
        bone = rig.pose.bones[joint_names(rig)[WRIST]]
        remove_fcurves(rig, f'{bone.path_from_id()}["{name}"]')
        rig.grasp.mesh.data.shape_keys.driver_remove(block.path_from_id("value"))
        if name in bone:
            del bone[name]


def tied_to(rig: bpy.types.Object, block: bpy.types.ShapeKey) -> str:
    """The number on the wrist's bone that a shape key follows; "" where it follows none."""
    driver = _driver(rig, block)
    variables = list(driver.driver.variables) if driver else []
    match = _PATH.fullmatch(variables[0].targets[0].data_path) if len(variables) == 1 else None
    return match[1] if match and match[1] in rig.pose.bones[joint_names(rig)[WRIST]] else ""


def set_value(rig: bpy.types.Object, block: bpy.types.ShapeKey, value: float) -> None:
    """Gives a shape key its value, by the number that it follows where there is one."""
    name = tied_to(rig, block)
    if name:
        bone = rig.pose.bones[joint_names(rig)[WRIST]]
        if bone[name] != value:
            bone[name] = value
            rig.update_tag(refresh={"OBJECT"})  # more would play the keys again
    if block.value != value:
        block.value = value


def value_curve(rig: bpy.types.Object, block: bpy.types.ShapeKey) -> bpy.types.FCurve | None:
    """The curve by which a shape key's value is animated, on whichever of the two it lies."""
    name = tied_to(rig, block)
    if name:
        return fcurve(rig, f'{rig.pose.bones[joint_names(rig)[WRIST]].path_from_id()}["{name}"]')
    return fcurve(rig.grasp.mesh.data.shape_keys, block.path_from_id("value"))


def key_value(rig: bpy.types.Object, block: bpy.types.ShapeKey, **keying: object) -> bool:
    """Keys a shape key's value as it is now; whether a key was made."""
    name = tied_to(rig, block)
    if not name:
        return bool(block.keyframe_insert("value", **keying))
    bone = rig.pose.bones[joint_names(rig)[WRIST]]
    return bool(bone.keyframe_insert(f'["{name}"]', group=bone.name, **keying))


def _driver(rig: bpy.types.Object, block: bpy.types.ShapeKey) -> bpy.types.FCurve | None:
    animation = rig.grasp.mesh.data.shape_keys.animation_data
    return animation.drivers.find(block.path_from_id("value")) if animation else None
