"""What same_grasps.py runs in a process with bpy: the add-on's operators, and hashes of what each leaves in the scene.

    PYTHON same_scene.py TREE OBJECTS.npz OUT.json [--texts FOLDER] NAMES...

It knows operators by their names in Blender and the scene by Blender's own data, and imports nothing of the add-on.
--texts also writes what the hashes are of, a file for each case, to see what a difference is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np

PACKAGE: Final = "grasp_addon"
RECORD: Final = ("role", "side", "hand_length", "placed", "wrist", "looking", "posing", "look", "look_frame")
LINKS: Final = ("armature", "mesh", "target", "contact", "collection")
CANDIDATE: Final = ("number", "key", "type", "score", "baked", "own", "turns_1", "turns_2", "location")
KINDS: Final = ("objects", "meshes", "armatures", "materials", "collections", "actions", "shape_keys", "node_groups")

Texts = dict[str, Any]  # field -> what JSON can hold, the arrays in it as hashes


def enable(tree: Path) -> None:
    """Registers the tree's add-on in an empty file, with this Python as its engine."""
    import addon_utils

    bpy.ops.wm.read_factory_settings(use_empty=True)  # add-ons are off after it
    if str(tree) not in sys.path:
        sys.path.insert(0, str(tree))
    if addon_utils.enable(PACKAGE, default_set=True) is None:
        raise SystemExit(f"The add-on of {tree} did not register.")
    bpy.context.preferences.addons[PACKAGE].preferences.python = sys.executable
    if bpy.ops.grasp.check_engine() != {"FINISHED"}:  # and so its methods can be chosen
        raise SystemExit("The engine does not answer.")


# Reading the scene


def numbers(items: bpy.types.bpy_prop_collection, name: str, width: int, dtype: type = np.float32) -> str:
    """The hash of a number or a vector of each item, in their order."""
    found: np.ndarray = np.empty(width * len(items), dtype)
    items.foreach_get(name, found)
    return f"{len(items)} {hashlib.sha256(found.tobytes()).hexdigest()}"


def plain(value: Any) -> Any:
    """A property's value as JSON holds it: vectors and matrices as lists, datablocks by name."""
    if isinstance(value, bpy.types.ID):
        return value.name
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, set):
        return sorted(value)
    try:
        return [plain(entry) for entry in value]
    except TypeError:
        return str(value)


def properties(owner: Any, names: Iterable[str]) -> dict[str, Any]:
    """Properties by name; one that is not there is said to be so."""
    return {name: plain(getattr(owner, name)) if hasattr(owner, name) else "not there" for name in names}


def curves_of(owner: bpy.types.ID) -> list[bpy.types.FCurve]:
    """The curves of a datablock's action, in slots since Blender 4.4."""
    animation = owner.animation_data
    action = animation.action if animation else None
    if action is None:
        return []
    if not getattr(action, "layers", None):
        return list(getattr(action, "fcurves", ()))
    bag = action.layers[0].strips[0].channelbag(animation.action_slot)
    return list(bag.fcurves) if bag else []


def curve_text(curve: bpy.types.FCurve) -> list[Any]:
    points = [properties(point, ("co", "handle_left", "handle_right", "interpolation", "handle_left_type",
                                 "handle_right_type", "type")) for point in curve.keyframe_points]
    return [curve.data_path, curve.array_index, curve.mute, curve.extrapolation,
            curve.group.name if curve.group else None, points]


def driver_text(curve: bpy.types.FCurve) -> list[Any]:
    driver = curve.driver
    variables = [[v.name, v.type, [[t.id.name if t.id else None, t.id_type, t.data_path] for t in v.targets]]
                 for v in driver.variables]
    return [curve.data_path, curve.array_index, curve.mute, len(curve.keyframe_points), driver.type,
            driver.expression, driver.is_valid, variables]


def animated() -> list[bpy.types.ID]:
    found = [owner for kind in ("objects", "armatures", "meshes", "shape_keys", "materials", "scenes")
             for owner in getattr(bpy.data, kind)]
    return [owner for owner in found if owner.animation_data]


def custom_properties(owner: bpy.types.ID) -> dict[str, Any]:
    """What a user sees as custom properties: the add-on's own groups, which Blender kept there until 5.0, aside."""
    return {name: plain(owner[name]) for name in sorted(owner.keys()) if name != "grasp"}


def object_text(item: bpy.types.Object) -> dict[str, Any]:
    kept = properties(item, ("type", "data", "parent", "parent_type", "parent_bone", "matrix_basis",
                             "matrix_parent_inverse", "matrix_world", "show_in_front", "hide_select", "hide_render",
                             "hide_viewport"))
    kept["modifiers"] = [properties(modifier, ("name", "type", "object", "use_deform_preserve_volume",
                                               "use_bone_envelopes", "use_vertex_groups", "show_viewport"))
                         for modifier in item.modifiers]
    kept["collections"] = sorted(collection.name for collection in item.users_collection)
    return kept


def mesh_text(mesh: bpy.types.Mesh) -> dict[str, Any]:
    return {
        "vertices": numbers(mesh.vertices, "co", 3), "loops": numbers(mesh.loops, "vertex_index", 1, np.int32),
        "starts": numbers(mesh.polygons, "loop_start", 1, np.int32),
        "smooth": numbers(mesh.polygons, "use_smooth", 1, bool),
        "uvs": {layer.name: numbers(layer.data, "uv", 2) for layer in mesh.uv_layers},
        "colours": {layer.name: [layer.domain, layer.data_type, numbers(layer.data, "color", 4)]
                    for layer in mesh.color_attributes},
        "materials": [material.name if material else None for material in mesh.materials]}


def weights_text(item: bpy.types.Object) -> dict[str, Any]:
    """The vertex groups' names, and every vertex's weights in them."""
    weights = [[(entry.group, entry.weight) for entry in vertex.groups] for vertex in item.data.vertices]
    return {"names": [group.name for group in item.vertex_groups],
            "weights": hashlib.sha256(json.dumps(weights).encode()).hexdigest()}


def keys_text(keys: bpy.types.Key) -> list[Any]:
    return [[block.name, block.mute, block.slider_min, block.slider_max,
             block.relative_key.name if block.relative_key else None, numbers(block.data, "co", 3)]
            for block in keys.key_blocks]


def rest_text(armature: bpy.types.Armature) -> dict[str, Any]:
    bones = {bone.name: {**properties(bone, ("head_local", "tail_local", "matrix_local", "use_connect", "use_deform",
                                             "inherit_scale")),
                         "parent": bone.parent.name if bone.parent else None, "palette": bone.color.palette,
                         "collections": sorted(group.name for group in bone.collections)}
             for bone in armature.bones}
    return {"bones": bones, "display": armature.display_type, "collections": [g.name for g in armature.collections]}


def pose_text(rig: bpy.types.Object, graph: bpy.types.Depsgraph) -> dict[str, Any]:
    """How each bone is dressed and posed, by its own channels and as drivers and keys pose it."""
    shown = rig.evaluated_get(graph)
    return {bone.name: {
        **properties(bone, ("rotation_mode", "lock_scale", "lock_location", "lock_rotation", "custom_shape",
                            "rotation_quaternion", "location", "scale")),
        "palette": bone.color.palette,
        "shown": properties(shown.pose.bones[bone.name], ("rotation_quaternion", "location", "scale", "matrix"))}
        for bone in rig.pose.bones}


def shown_mesh(item: bpy.types.Object, graph: bpy.types.Depsgraph) -> str:
    return numbers(item.evaluated_get(graph).data.vertices, "co", 3)


def material_text(material: bpy.types.Material) -> dict[str, Any]:
    kept = properties(material, ("diffuse_color", "roughness", "metallic"))
    tree = material.node_tree
    if tree is None:
        return kept
    kept["nodes"] = {node.name: {
        **properties(node, ("bl_idname", "label", "location", "layer_name", "attribute_name", "mute")),
        "inputs": [[socket.name, plain(getattr(socket, "default_value", None))] for socket in node.inputs]}
        for node in tree.nodes}
    kept["links"] = sorted([link.from_node.name, link.from_socket.name, link.to_node.name, link.to_socket.name]
                           for link in tree.links)
    return kept


def record_text(item: bpy.types.Object) -> dict[str, Any]:
    """What the add-on keeps of a hand in the file."""
    record = item.grasp
    return {**properties(record, (*RECORD, *LINKS)), "candidates": [
        {**properties(entry, CANDIDATE), "measures": {measure.name: measure.value for measure in entry.measures}}
        for entry in record.candidates]}


def scene_texts() -> Texts:
    """All that is in the file now, by subject."""
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    data, objects = bpy.data, list(bpy.data.objects)
    meshes, rigs = ([o for o in objects if o.type == kind] for kind in ("MESH", "ARMATURE"))
    here = {o.name for o in bpy.context.view_layer.objects}
    owners = [*objects, *data.meshes, *data.armatures, *data.materials, *data.collections, *data.actions]
    return {
        "names": {kind: sorted(owner.name for owner in getattr(data, kind)) for kind in KINDS},
        "objects": {o.name: object_text(o) for o in objects},
        "meshes": {mesh.name: mesh_text(mesh) for mesh in data.meshes},
        "shown meshes": {o.name: shown_mesh(o, graph) for o in meshes if o.name in here},
        "weights": {o.name: weights_text(o) for o in meshes},
        "shape keys": {keys.user.name: keys_text(keys) for keys in data.shape_keys},
        "key values": {keys.user.name: [block.value for block in keys.key_blocks] for keys in data.shape_keys},
        "rest bones": {armature.name: rest_text(armature) for armature in data.armatures},
        "bones": {o.name: pose_text(o, graph) for o in rigs},
        "curves": {f"{owner.bl_rna.identifier} {owner.name}": [curve_text(c) for c in curves_of(owner)]
                   for owner in animated()},
        "drivers": {f"{owner.bl_rna.identifier} {owner.name}": [driver_text(c) for c in owner.animation_data.drivers]
                    for owner in animated()},
        "materials": {material.name: material_text(material) for material in data.materials},
        "collections": {c.name: [sorted(o.name for o in c.objects), sorted(o.name for o in c.children)]
                        for c in (*data.collections, bpy.context.scene.collection)},
        "custom properties": {f"{owner.bl_rna.identifier} {owner.name}": custom_properties(owner) for owner in owners},
        "records": {o.name: record_text(o) for o in objects},
        "active": [plain(bpy.context.view_layer.objects.active), sorted(o.name for o in bpy.context.selected_objects)],
    }


# Using the add-on


class Stage:
    """A scene at work: operators by name, and a snapshot where something is to be seen.

    Attributes:
        taken: snapshots by the name of the case.
    """

    def __init__(self, name: str, side: str) -> None:
        self.name, self.side = name, side
        self.taken: dict[str, Texts] = {}
        self.settings = bpy.context.scene.grasp
        self.settings.device, self.settings.side = "cpu", side

    def put(self, stored: dict[str, np.ndarray], title: str, parts: tuple[str, ...] = ()) -> bpy.types.Object:
        """The object, moved, turned and selected; its named parts as vertex groups."""
        mesh = bpy.data.meshes.new(title)
        faces = stored[f"{self.name}_faces"]
        mesh.from_pydata(stored[f"{self.name}_vertices"].tolist(), [], faces.tolist())
        item = bpy.data.objects.new(title, mesh)
        bpy.context.scene.collection.objects.link(item)
        for place, part in enumerate(parts):
            corners = np.unique(faces[stored[f"{self.name}_part"] == place])
            item.vertex_groups.new(name=part).add(corners.tolist(), 1.0, "REPLACE")
        item.location, item.rotation_euler = (0.3, -0.2, 0.5), (0.3, 0.2, 1.0)
        bpy.context.view_layer.update()
        self.select(item)
        return item

    def select(self, *items: bpy.types.Object) -> None:
        """Selects these alone; the last becomes the active one."""
        if bpy.context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        for other in bpy.context.view_layer.objects:
            other.select_set(other in items)
        bpy.context.view_layer.objects.active = items[-1]

    def press(self, operator: str, **arguments: Any) -> None:
        """Runs an operator of the add-on by its name in Blender."""
        group, name = operator.split(".")
        if getattr(getattr(bpy.ops, group), name)(**arguments) != {"FINISHED"}:
            raise SystemExit(f"{operator} did not finish.")

    def note(self, step: str) -> None:
        self.taken[f"blender/{step}/{self.name}/{self.side}"] = scene_texts()

    @property
    def rig(self) -> bpy.types.Object:
        """The hand made last."""
        return [o for o in bpy.context.scene.objects if o.type == "ARMATURE" and o.grasp.role == "ARMATURE"][-1]

    def pose(self) -> None:
        """Frees the bones, bends a finger a little and moves the wrist, as an animator would."""
        self.press("grasp.pose")
        bones = self.rig.pose.bones
        finger = next(bone for bone in bones if bone.name.startswith("f_index.01"))
        wrist = next(bone for bone in bones if bone.name.startswith("hand"))
        finger.rotation_quaternion = [*(finger.rotation_quaternion[:3]), finger.rotation_quaternion[3] + 0.1]
        wrist.location = [number + 0.004 for number in wrist.location]
        bpy.ops.object.mode_set(mode="OBJECT")


def mug_right(stage: Stage, stored: dict[str, np.ndarray]) -> None:
    """Generate, show, contact, bake, more candidates beside baked ones, remove."""
    item = stage.put(stored, "Mug")
    stage.settings.method, stage.settings.count, stage.settings.seed = "synthesis", 2, 0
    stage.press("grasp.generate")
    stage.note("generated")
    stage.press("grasp.show", candidate=2)
    stage.note("shown")
    stage.settings.show_contact = True
    stage.note("contact")
    stage.settings.show_contact = False
    for frame, candidate in ((1, 2), (21, 1)):
        bpy.context.scene.frame_set(frame)
        stage.press("grasp.show", candidate=candidate)
        stage.press("grasp.bake")
    stage.note("baked")
    bpy.context.scene.frame_set(9)
    stage.note("between")
    stage.press("grasp.show", direction="NEXT")
    stage.note("looked at")
    stage.press("grasp.end_look")
    stage.select(item)
    bpy.context.scene.frame_set(21)
    stage.settings.method, stage.settings.seed, stage.settings.fit = "grasptta", 4, False
    stage.press("grasp.generate")
    stage.note("more")
    stage.press("grasp.remove")
    stage.note("removed")


def box_right(stage: Stage, stored: dict[str, np.ndarray]) -> None:
    """More candidates than the terms of one driver, then others in their place."""
    stage.put(stored, "Box")
    stage.settings.method, stage.settings.count, stage.settings.seed, stage.settings.fit = "fastgrasp", 18, 0, False
    stage.settings.parent = False
    stage.press("grasp.generate")
    stage.note("many")
    stage.settings.count = 3
    stage.press("grasp.generate")
    stage.note("anew")


def bowl_left(stage: Stage, stored: dict[str, np.ndarray]) -> None:
    """A hand alone, a length of hand set by an object, and a scene of another unit."""
    stage.put(stored, "Bowl").scale = (10.0, 10.0, 10.0)
    bpy.context.view_layer.update()
    stage.press("grasp.set_hand_length")
    stage.settings.method, stage.settings.count, stage.settings.seed = "jointdiffusion", 1, 2
    stage.settings.fit = False
    stage.press("grasp.generate")
    stage.note("tenfold")
    stage.press("grasp.add_hand")
    stage.note("alone")
    stage.press("grasp.remove", everything=True)
    stage.note("all removed")


def hammer_left(stage: Stage, stored: dict[str, np.ndarray]) -> None:
    """Named parts and an intent, a pose by hand, and grasps around it by both refiners."""
    item = stage.put(stored, "Hammer", ("Handle", "head.001"))
    stage.settings.method, stage.settings.count, stage.settings.intent = "fastgrasp", 2, "use"
    stage.settings.seed = 1
    stage.press("grasp.generate")
    stage.note("generated")
    stage.pose()
    stage.note("posed")
    stage.settings.count = 2
    stage.select(item, stage.rig)
    stage.press("grasp.fit")
    stage.note("refined")
    stage.pose()
    stage.settings.method, stage.settings.count = "jointdiffusion", 1
    stage.select(item, stage.rig)
    stage.press("grasp.fit")
    stage.note("refined by fields")
    stage.press("grasp.bake")
    stage.note("baked")


PLAYS: Final[dict[str, tuple[str, Callable[[Stage, dict[str, np.ndarray]], None]]]] = {
    "mug": ("right", mug_right), "box": ("right", box_right), "bowl": ("left", bowl_left),
    "hammer": ("left", hammer_left)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("objects", type=Path, help="an npz that same_grasps.py writes")
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+", choices=PLAYS)
    parser.add_argument("--texts", type=Path, help="a folder for what the hashes are of")
    options = parser.parse_args()
    stored = dict(np.load(options.objects))
    taken: dict[str, Texts] = {}
    for name in options.names:
        side, play = PLAYS[name]
        enable(options.tree)
        stage = Stage(name, side)
        play(stage, stored)
        taken |= stage.taken
    cases = {}
    for case, texts in taken.items():
        cases[case] = {field: hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()
                       for field, text in texts.items()}
        if options.texts:
            options.texts.mkdir(parents=True, exist_ok=True)
            path = options.texts / (case.replace("/", " ") + ".json")
            path.write_text(json.dumps(texts, indent=1, sort_keys=True))
    options.out.write_text(json.dumps({"blender": bpy.app.version_string, "cases": cases}))


if __name__ == "__main__":
    main()
