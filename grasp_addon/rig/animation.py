"""Keys and curves, the same in Blender 4.2 (one list of curves) and since 4.4 (actions with slots)."""

from __future__ import annotations

import bpy


def fcurves(datablock: bpy.types.ID) -> list[bpy.types.FCurve]:
    """The animation curves of a datablock's own action (and slot)."""
    collection = _collection(datablock)
    return list(collection) if collection is not None else []


def fcurve(datablock: bpy.types.ID, path: str, index: int = 0) -> bpy.types.FCurve | None:
    """The animation curve of one property (and of one of its numbers), None where there is none."""
    return next((c for c in fcurves(datablock) if c.data_path == path and c.array_index == index), None)


def remove_fcurves(datablock: bpy.types.ID, path: str) -> None:
    """Removes the animation curves of one property."""
    collection = _collection(datablock)
    if collection is not None:
        for found in [c for c in collection if c.data_path == path]:
            collection.remove(found)


def _collection(datablock: bpy.types.ID) -> bpy.types.bpy_prop_collection | None:
    animation = datablock.animation_data
    action = animation.action if animation else None
    if action is None:
        return None
    slot = getattr(animation, "action_slot", None)
    if not hasattr(action, "layers") or not action.layers:
        return getattr(action, "fcurves", None)
    bag = action.layers[0].strips[0].channelbag(slot) if slot and action.layers[0].strips else None
    return bag.fcurves if bag else None
