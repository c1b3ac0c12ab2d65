"""What follows the timeline and what is moved: looks end, and the colours of contact keep up."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from . import contact
from .hands import rigs, shown_candidate
from .scrub import end_look, show, show_contacts

_following = False


@persistent
def on_frame_change(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """A look ends where the timeline moves, as any pose without a key does."""
    for rig in rigs(scene):
        if not _same_frame(rig, scene):
            end_look(rig)


@persistent
def after_frame_change(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Blender evaluates the frame it is at anew at times, e.g. after Generate: the keys must not end a look then."""
    if depsgraph is not None:
        contact.forget_changed(depsgraph)
    for rig in rigs(scene):
        if rig.grasp.looking and _same_frame(rig, scene) and shown_candidate(rig) != rig.grasp.look:
            show(rig, rig.grasp.look)
    if scene.grasp.show_contact and not _busy():
        show_contacts(bpy.context, scene)


@persistent
def after_update(scene: bpy.types.Scene, graph: bpy.types.Depsgraph) -> None:
    """The colours of contact follow a hand that is posed or moved, and an object that is."""
    global _following  # noqa: PLW0603
    contact.forget_changed(graph)
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


def register() -> None:
    """Starts following."""
    bpy.app.handlers.frame_change_pre.append(on_frame_change)
    bpy.app.handlers.frame_change_post.append(after_frame_change)
    bpy.app.handlers.depsgraph_update_post.append(after_update)


def unregister() -> None:
    """Stops following."""
    bpy.app.handlers.frame_change_pre.remove(on_frame_change)
    bpy.app.handlers.frame_change_post.remove(after_frame_change)
    bpy.app.handlers.depsgraph_update_post.remove(after_update)
