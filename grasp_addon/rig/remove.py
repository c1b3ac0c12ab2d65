"""Taking a hand away again: all this add-on made for it, and nothing else."""

from __future__ import annotations

import bpy

from . import contact
from .marks import is_marked
from .widgets import NAMES


def remove_hand(rig: bpy.types.Object) -> None:
    """Removes one hand with its data, keys, and what no other hand of the file uses any more."""
    contact.clear(rig)
    record = rig.grasp
    mesh, collection, armature_data = record.mesh, record.collection, rig.data
    actions = {animation.action for owner in (rig, mesh.data.shape_keys if mesh else None, armature_data) if owner
               for animation in (owner.animation_data,) if animation and animation.action}
    materials = {slot.material for slot in mesh.material_slots if slot.material} if mesh else set()
    for child in list(rig.children):
        if child is not mesh:  # the user's own, e.g. a ring on a finger: it stays where it is
            world = child.matrix_world.copy()
            child.parent = None
            child.matrix_world = world
    if mesh:
        data = mesh.data
        bpy.data.objects.remove(mesh)
        if is_marked(data) and not data.users:
            bpy.data.meshes.remove(data)
    bpy.data.objects.remove(rig)
    if not armature_data.users:
        bpy.data.armatures.remove(armature_data)
    for action in actions:
        if is_marked(action) and not action.users:
            bpy.data.actions.remove(action)
    if collection and is_marked(collection):
        _dissolve(collection)
    for material in materials:
        if is_marked(material) and not material.users:
            bpy.data.materials.remove(material)
    _unused_widgets()


def _dissolve(collection: bpy.types.Collection) -> None:
    """Removes our collection; what the user put into it moves to where the collection was."""
    parents = [c for c in (*bpy.data.collections, *(s.collection for s in bpy.data.scenes))
               if collection.name in c.children]
    for parent in parents:
        for item in collection.objects:
            if item.name not in parent.objects:
                parent.objects.link(item)
        for child in collection.children:
            if child.name not in parent.children:
                parent.children.link(child)
    bpy.data.collections.remove(collection)


def _unused_widgets() -> None:
    used = {b.custom_shape for o in bpy.data.objects if o.type == "ARMATURE" and o.pose for b in o.pose.bones}
    for name in NAMES.values():
        widget = bpy.data.objects.get(name)
        if widget and is_marked(widget) and widget not in used and not widget.users_collection:
            mesh = widget.data
            bpy.data.objects.remove(widget)
            if mesh and not mesh.users:
                bpy.data.meshes.remove(mesh)
