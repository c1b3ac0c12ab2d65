"""Building the hand an animator gets: sixteen bones, a quad mesh skinned to them, a skin material.

Everything made here is marked, so that it can be told from the user's own data and removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy
import numpy as np
from mathutils import Matrix

from .bone_frames import bone_axes, bone_tails, transformed
from .modes import object_mode
from .naming import BASIS_KEY, PARENTS, THUMB_JOINTS, TIP_OF_LAST_JOINT, WRIST, bone_names, suffix
from .skin import skin_material
from .widgets import bone_widgets

if TYPE_CHECKING:
    from .hand_data import HandShape

MARK: Final = "generate_grasps"  # a custom property on every datablock this add-on makes
UV_LAYER: Final = "UVMap"
FINGER_COLOURS: Final = {"thumb": "THEME01", "f_index": "THEME03", "f_middle": "THEME04", "f_ring": "THEME06",
                         "f_pinky": "THEME07", "hand": "THEME09"}


def build_hand(context: bpy.types.Context, shape: HandShape, placed: np.ndarray, frame: np.ndarray,
               label: str) -> bpy.types.Object:
    """The open hand as a rig in a collection of its own; returns the armature object.

    Args:
        context: whose scene and view layer the hand goes into.
        shape: the hand at rest, scene units.
        placed: (4, 4) rigid, hand's own frame to armature: where the open hand stands.
        frame: (4, 4) rigid, armature to world.
        label: what it is for, e.g. the object's name; "" for a hand alone.
    """
    title = f"{label} Hand" if label else "Hand"
    collection = marked(bpy.data.collections.new(f"{title}{suffix(shape.side)}"))
    context.scene.collection.children.link(collection)
    armature = _armature(context, collection, shape, placed, title)
    mesh = _mesh(collection, shape, placed, title)
    mesh.parent = armature
    armature.matrix_world = Matrix(frame.tolist())

    record = armature.grasp
    record.role, record.side, record.mesh = "ARMATURE", shape.side, mesh
    record.collection = collection
    record.hand_length = shape.length
    record.placed = placed.ravel().tolist()
    record.wrist = shape.joints[WRIST].tolist()
    mesh.grasp.role, mesh.grasp.armature = "MESH", armature
    return armature


def marked(datablock: bpy.types.ID) -> bpy.types.ID:
    """The same datablock, marked as made by this add-on."""
    datablock[MARK] = True
    return datablock


def is_marked(datablock: bpy.types.ID) -> bool:
    return MARK in datablock


def rest_frames(armature: bpy.types.Object, side: str) -> tuple[np.ndarray, np.ndarray]:
    """(16, 3) heads and (16, 3, 3) axes of the bones in the armature, as Blender stores them."""
    matrices = np.array([armature.data.bones[name].matrix_local for name in bone_names(side)], dtype=np.float64)
    return matrices[:, :3, 3], matrices[:, :3, :3]


def _armature(context: bpy.types.Context, collection: bpy.types.Collection, shape: HandShape, placed: np.ndarray,
              title: str) -> bpy.types.Object:
    data = marked(bpy.data.armatures.new(f"{title}{suffix(shape.side)}"))
    armature = marked(bpy.data.objects.new(f"{title}{suffix(shape.side)}", data))
    collection.objects.link(armature)
    data.display_type = "STICK"
    armature.show_in_front = True
    heads = transformed(placed, shape.joints)
    tails = transformed(placed, bone_tails(shape.joints, shape.tips))
    axes = placed[:3, :3] @ bone_axes(shape.joints, shape.tips, shape.side)
    names = bone_names(shape.side)
    with object_mode(context, edit=armature):
        for joint, name in enumerate(names):
            bone = data.edit_bones.new(name)
            bone.head, bone.tail = heads[joint].tolist(), tails[joint].tolist()
            bone.align_roll(axes[joint][:, 2].tolist())
            if joint != WRIST:
                bone.parent = data.edit_bones[names[PARENTS[joint]]]
                bone.use_connect = PARENTS[joint] != WRIST
    _dress_bones(armature, shape.side)
    return armature


def _dress_bones(armature: bpy.types.Object, side: str) -> None:
    """Bone collections, colours, shapes, locks and rotation mode: what an animator's rig is expected to have."""
    data = armature.data
    groups = {title: data.collections.new(title) for title in ("Hand", "Thumb", "Fingers", "Fingertips")}
    widgets = bone_widgets()
    for joint, name in enumerate(bone_names(side)):
        bone, pose_bone = data.bones[name], armature.pose.bones[name]
        group = "Hand" if joint == WRIST else "Thumb" if joint in THUMB_JOINTS else "Fingers"
        groups[group].assign(bone)
        if joint in TIP_OF_LAST_JOINT:
            groups["Fingertips"].assign(bone)
        bone.color.palette = FINGER_COLOURS[name.partition(".")[0]]
        pose_bone.color.palette = bone.color.palette
        pose_bone.rotation_mode = "QUATERNION"
        pose_bone.custom_shape = widgets["hand" if joint == WRIST else "finger"]
        pose_bone.lock_scale = (True, True, True)
        pose_bone.lock_location = (joint != WRIST,) * 3


def _mesh(collection: bpy.types.Collection, shape: HandShape, placed: np.ndarray, title: str) -> bpy.types.Object:
    data = marked(bpy.data.meshes.new(f"{title} Mesh{suffix(shape.side)}"))
    corners = [[int(v) for v in polygon if v >= 0] for polygon in shape.polygons]
    data.from_pydata(transformed(placed, shape.vertices).tolist(), [], corners)
    data.polygons.foreach_set("use_smooth", np.ones(len(corners), dtype=bool))
    if shape.uvs is not None:
        data.uv_layers.new(name=UV_LAYER).data.foreach_set("uv", np.ascontiguousarray(shape.uvs, np.float32).ravel())
    data.materials.append(skin_material())
    mesh = marked(bpy.data.objects.new(f"{title} Mesh{suffix(shape.side)}", data))
    collection.objects.link(mesh)
    for joint, name in enumerate(bone_names(shape.side)):
        group = mesh.vertex_groups.new(name=name)
        column = shape.weights[:, joint]
        for vertex in np.flatnonzero(column):
            group.add([int(vertex)], float(column[vertex]), "REPLACE")
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = next(o for o in collection.objects if o.type == "ARMATURE")
    modifier.use_deform_preserve_volume = False
    modifier.use_bone_envelopes = False
    mesh.shape_key_add(name=BASIS_KEY, from_mix=False)
    return mesh


def parent_to(armature: bpy.types.Object, target: bpy.types.Object, frame: np.ndarray) -> None:
    """Makes the hand follow `target` from where it is; a stretched or sheared target does not deform it."""
    world = np.array(target.matrix_world, dtype=np.float64)
    armature.parent = target
    armature.matrix_parent_inverse = Matrix((np.linalg.inv(world) @ frame).tolist())
    armature.matrix_basis = Matrix.Identity(4)
