"""Keys and curves, the same in Blender 4.2 (one list of curves) and since 4.4 (actions with slots)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import bpy

from .marks import MARK, is_marked

MADE: Final = "generate_grasps_curves"  # on an action of the animator's: the data paths of the curves keyed into it


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


def actions_of(datablock: bpy.types.ID) -> dict[bpy.types.Action, set[int]]:
    """The actions that a datablock plays, from the NLA too, and the handles of its slots in each."""
    animation = datablock.animation_data
    found: dict[bpy.types.Action, set[int]] = {}
    for user in (animation, *(s for t in animation.nla_tracks for s in t.strips)) if animation else ():
        if user.action:
            slot = getattr(user, "action_slot", None)
            found.setdefault(user.action, set()).update({slot.handle} if slot else ())
    return found


def note_made(action: bpy.types.Action, paths: set[str]) -> None:
    """Notes which curves of an action of the animator's are this add-on's."""
    if paths and not is_marked(action):
        action[MADE] = "\n".join(sorted({*action.get(MADE, "").split("\n"), *paths} - {""}))


def take_back(action: bpy.types.Action, handles: set[int], paths: set[str]) -> None:
    """Takes what this add-on keyed out of an action that nothing plays any more; what the animator keyed stays.

    Args:
        action: this add-on's, or the animator's with curves of this add-on.
        handles: of the slots that the hand played.
        paths: the data paths that the add-on keys, beside those that were noted.
    """
    ours = is_marked(action)
    made = paths if ours else set(action.get(MADE, "").split("\n"))
    for bag in _bags(action, handles):
        for curve in [c for c in bag if c.data_path in made]:
            bag.remove(curve)
    if ours and not any(len(bag) for bag in _bags(action, None)):
        bpy.data.actions.remove(action)
        return
    for name in (MADE, MARK):
        if name in action:
            del action[name]
    action.use_fake_user = True  # else Blender forgets it with the next saving


def _bags(action: bpy.types.Action, handles: set[int] | None) -> Iterator[bpy.types.bpy_prop_collection]:
    """The lists of curves of the slots with these handles, or of all."""
    if not hasattr(action, "layers"):
        yield action.fcurves
        return
    for layer in action.layers:
        for strip in layer.strips:
            yield from (bag.fcurves for bag in strip.channelbags if handles is None or bag.slot_handle in handles)


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
