"""Showing one candidate, and going back to the animation that was baked."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from .candidates import mute_drivers


def rigs(scene: bpy.types.Scene | None = None) -> list[bpy.types.Object]:
    """The hands this add-on made, in the scene or in the file."""
    return [o for o in (scene.objects if scene else bpy.data.objects) if o.grasp.role == "ARMATURE" and o.grasp.mesh]


def rig_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The hand meant: the active object's own, the one on the active object, or else the scene's last."""
    active = context.view_layer.objects.active
    found = rigs(context.scene)
    if active:
        if active.grasp.role == "MESH" and active.grasp.armature in found:
            return active.grasp.armature
        if active in found:
            return active
        for rig in reversed(found):
            if rig.grasp.target == active:
                return rig
    return found[-1] if found else None


def shown(rig: bpy.types.Object) -> int:
    """The place (from 1) of the candidate with the highest key; 0 is the open hand."""
    blocks = rig.grasp.mesh.data.shape_keys.key_blocks
    values = [blocks[c.key].value if c.key in blocks else 0.0 for c in rig.grasp.candidates]
    best = max(values, default=0.0)
    return values.index(best) + 1 if best > 0 else 0


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
    if any(c.baked for c in record.candidates) and not record.looking:
        record.looking = True
        mute_drivers(rig, False)


def end_look(rig: bpy.types.Object) -> None:
    """Lets the baked keys play again."""
    if rig.grasp.looking:
        rig.grasp.looking = False
        mute_drivers(rig, True)


@persistent
def on_frame_change(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """A look ends where the timeline moves, as any pose without a key does."""
    for rig in rigs(scene):
        end_look(rig)


def register() -> None:
    bpy.app.handlers.frame_change_pre.append(on_frame_change)


def unregister() -> None:
    bpy.app.handlers.frame_change_pre.remove(on_frame_change)
