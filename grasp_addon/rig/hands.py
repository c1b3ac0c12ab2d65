"""Finding the hands this add-on made, and telling what poses them."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from ..engine.parts import hangs_on
from .animation import fcurves
from .parts import candidate_blocks


def rigs(scene: bpy.types.Scene | None = None) -> list[bpy.types.Object]:
    """The hands this add-on made, in the scene or in the file."""
    return [o for o in (scene.objects if scene else bpy.data.objects) if o.grasp.role == "ARMATURE" and o.grasp.mesh]


def rig_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The hand meant: that of the active object, or else the scene's last."""
    found = rigs(context.scene)
    return hand_at(context.view_layer.objects.active, found) or (found[-1] if found else None)


def hand_at(item: bpy.types.Object | None, among: Sequence[bpy.types.Object]) -> bpy.types.Object | None:
    """The hand that an object stands for.

    Args:
        item: any object.
        among: the hands to choose from; of several on the same object the last counts.

    Returns:
        its own, where it is part of one or hangs on one; else that on the object itself, on the nearest that it is a
        part of, or on a part of it; None where there is none.
    """
    holder = item
    while holder:
        own = holder.grasp.armature if holder.grasp.role == "MESH" else holder
        found = own if own in among else next((r for r in reversed(among) if r.grasp.target == holder), None)
        if found:
            return found
        holder = holder.parent
    return next((r for r in reversed(among) if item and hangs_on(r.grasp.target, item)), None)


def shown_candidate(rig: bpy.types.Object) -> int:
    """The place (from 1) of the candidate with the highest key; 0 is the open hand."""
    values = [block.value if block else 0.0 for block in candidate_blocks(rig)]
    best = max(values, default=0.0)
    return values.index(best) + 1 if best > 0 else 0


def is_driven(rig: bpy.types.Object) -> bool:
    """Whether candidates pose the bones now, and neither keys nor the animator do."""
    record = rig.grasp
    return bool(record.candidates) and not record.posing and (record.looking or not any(
        c.baked for c in record.candidates))


def has_bone_keys(rig: bpy.types.Object) -> bool:
    """Whether keys pose its bones."""
    return any(c.data_path.startswith("pose.bones") for c in fcurves(rig))


def scene_of(rig: bpy.types.Object) -> bpy.types.Scene:
    """The scene whose timeline the hand follows: the one in the window, where the hand is in it."""
    here = bpy.context.scene
    return here if here and rig.name in here.objects else next(iter(rig.users_scene), here)
