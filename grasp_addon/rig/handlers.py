"""What follows the timeline and what is moved: looks end, and the colours of contact keep up."""

from __future__ import annotations

import inspect
from typing import Final

import bpy
from bpy.app.handlers import persistent

from . import contact
from .contact_surfaces import surfaces
from .hands import rigs
from .parts import fault
from .scrub import end_look, show, show_contacts, shows

_following = False
_looks: dict[str, int] = {}  # while a file is saved: the hands that showed a look, and which


@persistent
def on_frame_change(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """A look ends where the timeline moves, as any pose without a key does, and where an exporter sets the frame."""
    for rig in rigs(scene):
        if rig.grasp.looking and (not _same_frame(rig, scene) or _operator_at_work()):
            end_look(rig)


@persistent
def after_frame_change(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Blender evaluates the frame it is at anew at times, e.g. after Generate: the keys must not end a look then.

    Renderers and exporters evaluate a scene of their own: they get the animation, and the look is over.
    """
    if depsgraph is not None:
        surfaces.forget_changed(depsgraph)
    for rig in rigs(scene):
        if rig.grasp.looking and _same_frame(rig, scene):
            if depsgraph and depsgraph.mode == "RENDER":
                end_look(rig)
            elif not shows(rig, rig.grasp.look) and not fault(rig):
                show(rig, rig.grasp.look)
    if scene.grasp.show_contact and not contact.busy():
        show_contacts(bpy.context, scene)


@persistent
def before_saving(*_: object) -> None:
    """What is saved is the animation: without this add-on nothing would end a look."""
    _looks.clear()
    for rig in rigs():
        if rig.grasp.looking:
            _looks[rig.name] = rig.grasp.look
            end_look(rig)


@persistent
def after_saving(*_: object) -> None:
    """Shows again what was looked at before saving."""
    for name, look in _looks.items():
        rig = bpy.data.objects.get(name)
        if rig and rig in rigs(bpy.context.scene) and not fault(rig):
            show(rig, look)
    _looks.clear()


@persistent
def after_loading(*_: object) -> None:
    """A file of 0.1.0 may hold a look, which ends when it is opened, and not say its method: Synthesis."""
    for scene in bpy.data.scenes:
        if scene.library is None and rigs(scene) and not scene.grasp.is_property_set("method"):
            scene.grasp.method = "synthesis"
    for rig in rigs():
        if rig.grasp.looking and not fault(rig):
            end_look(rig)


@persistent
def after_update(scene: bpy.types.Scene, graph: bpy.types.Depsgraph) -> None:
    """The colours of contact follow a hand that is posed or moved, and an object that is."""
    global _following  # noqa: PLW0603
    surfaces.forget_changed(graph)
    if _following or not scene.grasp.show_contact or contact.busy():
        return
    moved = {update.id.original for update in graph.updates if isinstance(update.id, bpy.types.Object)}
    _following = True  # asking for what is shown may end here again
    try:
        for rig in rigs(scene):
            if rig in moved or rig.grasp.target in moved:
                contact.follow(bpy.context, rig)
    finally:
        _following = False


def _operator_at_work() -> bool:
    """Whether an operator written in Python, such as the FBX exporter, is what sets the frame; none of ours does so."""
    frame = inspect.currentframe()
    while frame:
        operator = frame.f_locals.get("self")
        if isinstance(operator, bpy.types.Operator):
            return True
        frame = frame.f_back
    return False


def _same_frame(rig: bpy.types.Object, scene: bpy.types.Scene) -> bool:
    return abs(rig.grasp.look_frame - scene.frame_float) < 1e-3


HANDLERS: Final = (("frame_change_pre", on_frame_change), ("frame_change_post", after_frame_change),
                   ("depsgraph_update_post", after_update), ("save_pre", before_saving),
                   ("save_post", after_saving), ("save_post_fail", after_saving), ("load_post", after_loading))


def register() -> None:
    """Starts following."""
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Stops following; what was baked plays without this add-on."""
    contact.stop()
    if hasattr(bpy.data, "objects"):  # Blender restricts its data while it starts and closes
        for rig in rigs():
            end_look(rig)
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
