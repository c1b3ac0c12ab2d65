"""Showing one candidate, and going back to the animation that was baked."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from . import contact
from .animation import curves
from .candidates import mute_drivers, pose_bones

_following = False


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
    record.look = number
    if any(c.baked for c in record.candidates) or ((record.posing or record.looking) and bones_keyed(rig)):
        record.look_frame = _scene_of(rig).frame_float
        if not record.looking:
            record.looking = True
            mute_drivers(rig, False)
    elif record.posing:
        mute_drivers(rig, False)
    record.posing = False
    scene = _scene_of(rig)
    if scene and scene.grasp.show_contact:
        contact.update(bpy.context, rig)


def show_contacts(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """Shows where the hands of a scene touch, or shows it no more, as the scene's setting says."""
    for rig in rigs(scene):
        if scene.grasp.show_contact:
            contact.update(context, rig)
        else:
            contact.clear(rig)


def driven(rig: bpy.types.Object) -> bool:
    """Whether candidates pose the bones now, and neither keys nor the animator do."""
    record = rig.grasp
    return bool(record.candidates) and not record.posing and (record.looking or not any(
        c.baked for c in record.candidates))


def bones_keyed(rig: bpy.types.Object) -> bool:
    return any(c.data_path.startswith("pose.bones") for c in curves(rig))


def end_look(rig: bpy.types.Object) -> None:
    """Lets the baked keys play again."""
    if rig.grasp.looking:
        rig.grasp.looking = False
        rig.grasp.posing = not any(c.baked for c in rig.grasp.candidates)
        mute_drivers(rig, True)
        keyed = [c for c in rig.grasp.candidates if c.own and c.baked]
        if keyed:  # the animator need not have keyed every bone: the others go back to where they stood
            pose_bones(rig, keyed[-1].channels)


@persistent
def on_frame_change(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """A look ends where the timeline moves, as any pose without a key does."""
    for rig in rigs(scene):
        if not _same_frame(rig, scene):
            end_look(rig)


@persistent
def after_frame_change(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """Blender evaluates the frame it is at anew at times, e.g. after Generate: the keys must not end a look then."""
    for rig in rigs(scene):
        if rig.grasp.looking and _same_frame(rig, scene) and shown(rig) != rig.grasp.look:
            show(rig, rig.grasp.look)
    if scene.grasp.show_contact and not _busy():
        show_contacts(bpy.context, scene)


@persistent
def after_update(scene: bpy.types.Scene, graph: bpy.types.Depsgraph) -> None:
    """The colours of contact follow a hand that is posed or moved, and an object that is."""
    global _following  # noqa: PLW0603
    if _following or not scene.grasp.show_contact or _busy():
        return
    moved = {update.id.original for update in graph.updates if isinstance(update.id, bpy.types.Object)}
    _following = True  # asking for what is shown may end here again
    try:
        for rig in rigs(scene):
            if rig in moved or rig.grasp.target in moved:
                contact.follow(bpy.context, rig)
    finally:
        _following = False


def _busy() -> bool:
    """Whether Blender renders or plays the animation: contact takes longer than a frame."""
    manager = bpy.context.window_manager
    playing = bool(manager) and any(window.screen.is_animation_playing for window in manager.windows)
    return playing or bpy.app.is_job_running("RENDER")


def _same_frame(rig: bpy.types.Object, scene: bpy.types.Scene) -> bool:
    return abs(rig.grasp.look_frame - scene.frame_float) < 1e-3


def _scene_of(rig: bpy.types.Object) -> bpy.types.Scene:
    """The scene whose timeline the hand follows: the one in the window, where the hand is in it."""
    here = bpy.context.scene
    return here if here and rig.name in here.objects else next(iter(rig.users_scene), here)


def register() -> None:
    bpy.app.handlers.frame_change_pre.append(on_frame_change)
    bpy.app.handlers.frame_change_post.append(after_frame_change)
    bpy.app.handlers.depsgraph_update_post.append(after_update)


def unregister() -> None:
    bpy.app.handlers.frame_change_pre.remove(on_frame_change)
    bpy.app.handlers.frame_change_post.remove(after_frame_change)
    bpy.app.handlers.depsgraph_update_post.remove(after_update)
