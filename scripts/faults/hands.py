"""What an animator does to a hand, and every button after it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import bmesh
import bpy

import grasp_addon
from grasp_addon.rig.hands import rigs

from .surroundings import ACTION, OWN, difference, hers, nowhere
from .trial import Trial

Change = Callable[[Trial, bpy.types.Object], object]


def _mesh_of(rig: bpy.types.Object) -> bpy.types.Mesh:
    return rig.grasp.mesh.data


def _keys_of(rig: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    keys = _mesh_of(rig).shape_keys
    return list(keys.key_blocks)[1:] if keys else []


def _in_edit_mode(item: bpy.types.Object, work: Callable[[], object], stay: bool = False) -> None:
    for other in bpy.context.view_layer.objects:
        other.select_set(other == item)
    bpy.context.view_layer.objects.active = item
    bpy.ops.object.mode_set(mode="EDIT")
    work()
    if not stay:
        bpy.ops.object.mode_set(mode="OBJECT")


def _in_pose_mode(_trial: Trial, rig: bpy.types.Object) -> None:
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="POSE")


def _set_all(items: Iterable[Any], name: str, value: object) -> None:
    for item in items:
        setattr(item, name, value)


def _bone_deleted(trial: Trial, rig: bpy.types.Object) -> None:
    bones = [bone.name for bone in rig.data.bones]
    _in_edit_mode(rig, lambda: rig.data.edit_bones.remove(rig.data.edit_bones[trial.rng.choice(bones)]))


def _bone_longer(trial: Trial, rig: bpy.types.Object) -> None:
    name = trial.rng.choice([bone.name for bone in rig.data.bones])
    _in_edit_mode(rig, lambda: setattr(rig.data.edit_bones[name], "length", 0.07))


def _bone_added(_trial: Trial, rig: bpy.types.Object) -> None:
    _in_edit_mode(rig, lambda: setattr(rig.data.edit_bones.new(OWN), "tail", (0, 0, 0.1)))


def _vertices_deleted(trial: Trial, rig: bpy.types.Object) -> None:
    made = bmesh.new()
    made.from_mesh(_mesh_of(rig))
    made.verts.ensure_lookup_table()
    bmesh.ops.delete(made, geom=made.verts[: trial.rng.randint(1, 40)], context="VERTS")
    made.to_mesh(_mesh_of(rig))
    made.free()


def _all_vertices_deleted(_trial: Trial, rig: bpy.types.Object) -> None:
    _mesh_of(rig).clear_geometry()


def _subdivided(trial: Trial, rig: bpy.types.Object) -> None:
    def work() -> None:
        bpy.ops.mesh.select_all(action="SELECT")
        bpy.ops.mesh.subdivide()

    _in_edit_mode(rig.grasp.mesh, work, stay=trial.rng.random() < 0.5)


def _sculpted(trial: Trial, rig: bpy.types.Object) -> None:
    trial.rng.choice(_keys_of(rig)).data[3].co.z += 0.01


def _own_action(trial: Trial, rig: bpy.types.Object) -> None:
    """The animator's own animation of the hand."""
    rig.animation_data_create().action = bpy.data.actions.new(ACTION)
    trial.rng.choice(list(rig.pose.bones)).keyframe_insert("rotation_quaternion", frame=5)


def _own_action_in_strips(trial: Trial, rig: bpy.types.Object) -> None:
    _own_action(trial, rig)
    action, slot = rig.animation_data.action, getattr(rig.animation_data, "action_slot", None)
    strip = rig.animation_data.nla_tracks.new().strips.new(ACTION, 1, action)
    if slot:
        strip.action_slot = slot
    rig.animation_data.action = None


def _locked_curves(trial: Trial, rig: bpy.types.Object) -> None:
    _own_action(trial, rig)
    from grasp_addon.rig.animation import fcurves

    for curve in fcurves(rig):
        curve.lock = True


def _rotation_modes(trial: Trial, rig: bpy.types.Object) -> None:
    for bone in rig.pose.bones:
        bone.rotation_mode = trial.rng.choice(["XYZ", "ZYX", "AXIS_ANGLE", "QUATERNION"])


def _ring(_trial: Trial, rig: bpy.types.Object) -> None:
    ring = bpy.data.objects.new(OWN, None)
    bpy.context.scene.collection.objects.link(ring)
    ring.parent, ring.parent_type, ring.parent_bone = rig, "BONE", rig.data.bones[3].name


def _held(_trial: Trial, rig: bpy.types.Object) -> None:
    held = bpy.data.objects.new(OWN, None)
    bpy.context.scene.collection.objects.link(held)
    held.constraints.new("CHILD_OF").target = rig


def _duplicated(linked: bool) -> Change:
    def do(_trial: Trial, rig: bpy.types.Object) -> None:
        for item in bpy.context.view_layer.objects:
            item.select_set(item in (rig, rig.grasp.mesh))
        bpy.context.view_layer.objects.active = rig
        bpy.ops.object.duplicate(linked=linked)

    return do


def _selected_deleted(of: Callable[[bpy.types.Object], bpy.types.Object]) -> Change:
    def do(trial: Trial, rig: bpy.types.Object) -> None:
        item = of(rig)
        for other in bpy.context.view_layer.objects:
            other.select_set(other == item)
        bpy.ops.object.delete()

    return do


def _reopened(_trial: Trial, _rig: bpy.types.Object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "hand.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)


def _not_saved(_trial: Trial, _rig: bpy.types.Object) -> None:
    """To a folder that is not there."""
    with contextlib.suppress(RuntimeError):
        bpy.ops.wm.save_as_mainfile(filepath=str(Path(tempfile.gettempdir()) / "no" / "such" / "folder" / "hand.blend"))


def _undone(trial: Trial, rig: bpy.types.Object) -> None:
    bpy.ops.ed.undo_push(message="before")
    trial.rng.choice([_sculpted, _bone_longer, _own_action])(trial, rig)
    bpy.ops.ed.undo_push(message="after")
    bpy.ops.ed.undo()


def _switched_off(_trial: Trial, _rig: bpy.types.Object) -> None:
    grasp_addon.unregister()
    grasp_addon.register()


def _own_material(_trial: Trial, rig: bpy.types.Object) -> None:
    rig.grasp.mesh.material_slots[0].material = bpy.data.materials.new(OWN)


def _joined(_trial: Trial, rig: bpy.types.Object) -> None:
    """A sleeve joined into the hand's mesh."""
    bpy.ops.mesh.primitive_cylinder_add(radius=0.03, depth=0.1)
    sleeve = bpy.context.object
    for item in bpy.context.view_layer.objects:
        item.select_set(item in (sleeve, rig.grasp.mesh))
    bpy.context.view_layer.objects.active = rig.grasp.mesh
    bpy.ops.object.join()


def _scale_applied(_trial: Trial, rig: bpy.types.Object) -> None:
    rig.scale = (1.5, 1.5, 1.5)
    for item in bpy.context.view_layer.objects:
        item.select_set(item == rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)


HANDS: Final[dict[str, Change]] = {
    "bone renamed": lambda trial, rig: setattr(trial.rng.choice(list(rig.data.bones)), "name", "Mine"),
    "bone deleted": _bone_deleted,
    "bone made longer": _bone_longer,
    "bone added": _bone_added,
    "bones unparented": lambda _t, rig: _in_edit_mode(rig, lambda: _set_all(rig.data.edit_bones, "parent", None)),
    "bones limited": lambda trial, rig: trial.rng.choice(list(rig.pose.bones)).constraints.new("LIMIT_ROTATION"),
    "bones in other modes": _rotation_modes,
    "bones locked": lambda _t, rig: _set_all(rig.pose.bones, "lock_rotation", (True,) * 3),
    "bones' widgets removed": lambda _t, rig: _set_all(rig.pose.bones, "custom_shape", None),
    "keys cleared": lambda _t, rig: rig.grasp.mesh.shape_key_clear(),
    "key removed": lambda trial, rig: rig.grasp.mesh.shape_key_remove(trial.rng.choice(_keys_of(rig))),
    "key renamed": lambda trial, rig: setattr(trial.rng.choice(_keys_of(rig)), "name", "Mine"),
    "key muted": lambda trial, rig: setattr(trial.rng.choice(_keys_of(rig)), "mute", True),
    "key keyed": lambda trial, rig: trial.rng.choice(_keys_of(rig)).keyframe_insert("value", frame=3),
    "key sculpted": _sculpted,
    "key added": lambda _t, rig: rig.grasp.mesh.shape_key_add(name=OWN, from_mix=False),
    "keys' range changed": lambda _t, rig: _set_all(_keys_of(rig), "slider_max", 0.5),
    "keys absolute": lambda _t, rig: setattr(_mesh_of(rig).shape_keys, "use_relative", False),
    "vertices deleted": _vertices_deleted,
    "all vertices deleted": _all_vertices_deleted,
    "mesh subdivided": _subdivided,
    "mesh joined": _joined,
    "mesh removed": lambda _t, rig: bpy.data.objects.remove(rig.grasp.mesh),
    "mesh deleted by X": _selected_deleted(lambda rig: rig.grasp.mesh),
    "mesh unparented": lambda _t, rig: setattr(rig.grasp.mesh, "parent", None),
    "mesh in Edit Mode": lambda _t, rig: _in_edit_mode(rig.grasp.mesh, lambda: None, stay=True),
    "mesh is another": lambda _t, rig: setattr(rig.grasp.mesh, "data", bpy.data.meshes.new(OWN)),
    "groups deleted": lambda _t, rig: rig.grasp.mesh.vertex_groups.clear(),
    "group renamed": lambda _t, rig: setattr(rig.grasp.mesh.vertex_groups[2], "name", "Mine"),
    "weights painted": lambda _t, rig: rig.grasp.mesh.vertex_groups[2].add([3, 4], 0.4, "REPLACE"),
    "material of hers": _own_material,
    "materials removed": lambda _t, rig: _mesh_of(rig).materials.clear(),
    "drivers removed": lambda _t, rig: rig.animation_data_clear(),
    "one driver removed": lambda trial, rig: rig.animation_data.drivers.remove(trial.rng.choice(
        list(rig.animation_data.drivers))),
    "modifier removed": lambda _t, rig: rig.grasp.mesh.modifiers.clear(),
    "modifier added": lambda _t, rig: rig.grasp.mesh.modifiers.new(OWN, "SUBSURF"),
    "mask modifier": lambda _t, rig: setattr(rig.grasp.mesh.modifiers.new(OWN, "MASK"), "vertex_group", "hand.R"),
    "own action": _own_action,
    "own action in strips": _own_action_in_strips,
    "curves locked": _locked_curves,
    "ring on a finger": _ring,
    "held by a constraint": _held,
    "target removed": lambda _t, rig: rig.grasp.target and bpy.data.objects.remove(rig.grasp.target),
    "target deleted by X": _selected_deleted(lambda rig: rig.grasp.target),
    "duplicated": _duplicated(linked=False),
    "duplicated, linked": _duplicated(linked=True),
    "deleted by X": _selected_deleted(lambda rig: rig),
    "collection unlinked": lambda _t, rig: bpy.context.scene.collection.children.unlink(rig.grasp.collection),
    "collection removed": lambda _t, rig: bpy.data.collections.remove(rig.grasp.collection),
    "renamed": lambda _t, rig: _set_all((rig, rig.data, rig.grasp.mesh), "name", "Mine"),
    "moved": lambda _t, rig: setattr(rig.location, "x", 3.0),
    "scaled": lambda _t, rig: setattr(rig, "scale", (2.0, 2.0, 2.0)),
    "scaled unevenly": lambda _t, rig: setattr(rig, "scale", (2.0, 1.0, 1.0)),
    "scaled to nothing": lambda _t, rig: setattr(rig, "scale", (0.0, 0.0, 0.0)),
    "mirrored": lambda _t, rig: setattr(rig, "scale", (-1.0, 1.0, 1.0)),
    "scale applied": _scale_applied,
    "hidden": lambda _t, rig: [item.hide_set(True) for item in (rig, rig.grasp.mesh)],
    "disabled": lambda _t, rig: setattr(rig, "hide_viewport", True),
    "unparented": lambda _t, rig: setattr(rig, "parent", None),
    "in Pose Mode": _in_pose_mode,
    "in Edit Mode": lambda _t, rig: _in_edit_mode(rig, lambda: None, stay=True),
    "in rest position": lambda _t, rig: setattr(rig.data, "pose_position", "REST"),
    "the frame changed": lambda trial, _rig: bpy.context.scene.frame_set(trial.rng.randint(2, 60)),
    "contact shown": lambda _t, _rig: setattr(bpy.context.scene.grasp, "show_contact", True),
    "file saved and opened": _reopened,
    "file not saved": _not_saved,
    "edit undone": _undone,
    "add-on off and on": _switched_off,
    "data made single": lambda _t, rig: setattr(rig.grasp.mesh, "data", _mesh_of(rig).copy()),
}


def _edited(change: Change) -> Callable[[Trial], None]:
    """Everything that can be done with a hand, after the animator has edited it."""
    def do(trial: Trial) -> None:
        if not trial.press("generate", asks=True):
            trial.verdict.add("stuck", "nothing was generated")
            return
        if trial.rng.random() < 0.5:
            trial.press("bake")
        change(trial, rigs(bpy.context.scene)[-1])
        bpy.context.view_layer.update()
        before, trial.lost = hers(), nowhere()
        buttons: list[tuple[str, bool, dict[str, Any]]] = [
            ("show", False, {"direction": "NEXT"}), ("bake", False, {}), ("show", False, {"candidate": 2}),
            ("end_look", False, {}), ("pose", False, {}), ("refine", True, {}), ("generate", True, {}),
            ("stop", False, {}), ("add_hand", True, {})]
        trial.rng.shuffle(buttons)
        for name, asks, settings in (*buttons, ("remove", False, {})):
            if asks and trial.rng.random() < 0.3:
                trial.watch(name)
            else:
                trial.press(name, asks, **settings)
            trial.set_property(bpy.context.scene.grasp, "show_contact", trial.rng.random() < 0.3)
            if (after := hers()) != before:
                trial.verdict.add("changed", f"{name}: {difference(before, after)}")
                before = after
        trial.check_next_click()

    return do


FAULTS: Final[dict[str, Callable[[Trial], None]]] = {f"hand {name}": _edited(change) for name, change in HANDS.items()}
