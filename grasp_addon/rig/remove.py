"""Taking a hand away again: all this add-on made for it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import bpy

from ..naming import bone_names
from . import contact
from .animation import actions_of, take_back
from .correctives import PROPERTY
from .edits import what_was_edited
from .hands import rigs
from .marks import is_marked
from .parts import joint_names, present_blocks
from .widgets import NAMES

KEYED: Final = ("rotation_quaternion", "rotation_euler", "rotation_axis_angle", "location")


def holders(rig: bpy.types.Object) -> list[str]:
    """What of the animator's holds on to a hand by constraints, modifiers or drivers, as "Prop (Child Of)"."""
    mesh = rig.grasp.mesh
    hand = {rig, rig.data} | ({mesh, mesh.data, mesh.data.shape_keys} - {None} if mesh else set())
    found = []
    for item in bpy.data.objects:
        if item in hand or item.grasp.role:
            continue
        bones = item.pose.bones if item.pose else ()
        parts = [*item.modifiers, *item.constraints, *(c for bone in bones for c in bone.constraints)]
        named = [part.name for part in parts if _points_at(part, hand)]
        if any(_driven_by(data, hand) for data in (item, item.data) if data):
            named.append("a driver")
        if named:
            found.append(f"{item.name} ({', '.join(named)})")
    return found


def why_it_stays(rig: bpy.types.Object) -> str:
    """What forbids removing a hand, as a sentence; "" where nothing does."""
    if rig.library or rig.override_library:
        return f"{rig.name} is linked from another file: unlink or delete its collection"
    held = ", ".join(holders(rig))
    return held and (f"{rig.name} stays, for {held} would jump: apply or remove what holds on to it, then remove the "
                     "hand")


def hands_that_stay(context: bpy.types.Context, rig: bpy.types.Object) -> list[str]:
    """Why there are other hands beside a new one, on the same object and of the same side, as sentences."""
    others = [r for r in rigs(context.scene) if r != rig and r.grasp.target and r.grasp.target == rig.grasp.target
              and r.grasp.side == rig.grasp.side]
    return [sentence for sentence in map(_why_it_was_left, others) if sentence]


def _why_it_was_left(rig: bpy.types.Object) -> str:
    """The same, where Generate Grasps has left it; "" for a hand with candidates that are kept, as is known."""
    edited, kept = " and ".join(what_was_edited(rig)), any(c.kept for c in rig.grasp.candidates)
    return ("" if kept else why_it_stays(rig)) or (edited and (
        f"{rig.name} stays as well, for you changed its {edited}: remove it when you do not need it"))


def remove_hand(rig: bpy.types.Object) -> None:
    """Removes one hand with its data, keys, and what no other hand of the file uses any more."""
    contact.clear(rig)
    record = rig.grasp
    mesh, collection, armature_data = record.mesh, record.collection, rig.data
    if mesh and mesh.grasp.armature != rig:  # a duplicate of the bones alone
        mesh = None
    shape_keys = mesh.data.shape_keys if mesh else None
    keyed = set(_paths(rig))
    played = [pair for owner in (rig, shape_keys, armature_data) if owner for pair in actions_of(owner).items()]
    materials = {slot.material for slot in mesh.material_slots if slot.material} if mesh else set()
    for child in [c for parent in (rig, mesh) if parent for c in parent.children]:
        if child != mesh:  # the user's own, e.g. a ring on a finger: it stays where it is
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
    handles: dict[bpy.types.Action, set[int]] = {}
    for action, slots in played:
        handles.setdefault(action, set()).update(slots)
    for action, slots in handles.items():
        if not action.users and not action.library:
            take_back(action, slots, keyed)
    if collection and is_marked(collection) and not any(other.grasp.collection == collection for other in rigs()):
        _dissolve(collection)
    for material in materials:
        if is_marked(material) and not material.users:
            bpy.data.materials.remove(material)
    _unused_widgets()


def _points_at(part: bpy.types.Modifier | bpy.types.Constraint, hand: set[bpy.types.ID]) -> bool:
    """Whether a modifier or constraint names one of these."""
    settings = [part, *getattr(part, "targets", ())]
    return any(getattr(setting, p.identifier, None) in hand for setting in settings
               for p in setting.bl_rna.properties if p.type == "POINTER")


def _driven_by(data: bpy.types.ID, hand: set[bpy.types.ID]) -> bool:
    """Whether a driver of the datablock reads one of these."""
    drivers = data.animation_data.drivers if data.animation_data else ()
    return any(target.id in hand for d in drivers for v in d.driver.variables for target in v.targets)


def _paths(rig: bpy.types.Object) -> Iterator[str]:
    """The data paths of all that this add-on keys."""
    for name in {*joint_names(rig), *bone_names(rig.grasp.side)}:
        bone = f'pose.bones["{bpy.utils.escape_identifier(name)}"]'
        yield from (f"{bone}.{turn}" for turn in KEYED)
        yield from (f'{bone}["{PROPERTY.format(entry.number)}"]' for entry in rig.grasp.candidates)
    for block in present_blocks(rig):
        yield block.path_from_id("value")


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
