"""Building the hand an animator gets: sixteen bones, a quad mesh skinned to them, a skin material."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy
import numpy as np
from mathutils import Matrix

from ..naming import BASIS_KEY, PARENTS, THUMB_JOINTS, TIP_OF_LAST_JOINT, WRIST, bone_names, suffix
from ..transforms import transform_points
from .edits import note_made
from .frames import bone_axes, bone_tails
from .marks import marked
from .material import skin_material
from .modes import object_mode
from .parts import JOINT, pose_bones_of
from .widgets import bone_widgets

if TYPE_CHECKING:
    from ..engine.types import HandShape

UV_LAYER: Final = "UVMap"
FINGER_COLOURS: Final = {"thumb": "THEME01", "f_index": "THEME03", "f_middle": "THEME04", "f_ring": "THEME06",
                         "f_pinky": "THEME07", "hand": "THEME09"}


def build_hand(context: bpy.types.Context, shape: HandShape, placed: np.ndarray, frame: np.ndarray,
               label: str) -> bpy.types.Object:
    """The open hand as a rig in a collection of its own.

    Args:
        context: whose scene and view layer the hand goes into.
        shape: the hand at rest, scene units.
        placed: (4, 4) rigid, hand's own frame to armature: where the open hand stands.
        frame: (4, 4) rigid, armature to world.
        label: what it is for, e.g. the object's name; "" for a hand alone.

    Returns:
        the armature object.
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
    note_made(armature)
    return armature


def rest_frames(armature: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """The bones at rest, as Blender stores them.

    Args:
        armature: a rig of `build_hand`.

    Returns:
        heads: (16, 3) in the armature.
        axes: (16, 3, 3) columns X, Y, Z in the armature.
    """
    matrices = np.array([bone.bone.matrix_local for bone in pose_bones_of(armature)], dtype=np.float64)
    return matrices[:, :3, 3], matrices[:, :3, :3]


def _armature(context: bpy.types.Context, collection: bpy.types.Collection, shape: HandShape, placed: np.ndarray,
              title: str) -> bpy.types.Object:
    data = marked(bpy.data.armatures.new(f"{title}{suffix(shape.side)}"))
    armature = marked(bpy.data.objects.new(f"{title}{suffix(shape.side)}", data))
    collection.objects.link(armature)
    data.display_type = "STICK"
    armature.show_in_front = True
    heads = transform_points(placed, shape.joints)
    tails = transform_points(placed, bone_tails(shape.joints, shape.tips))
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
        bone[JOINT] = joint
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
    data.from_pydata(transform_points(placed, shape.vertices).tolist(), [], corners)
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


def parent_to(item: bpy.types.Object, target: bpy.types.Object, frame: np.ndarray) -> None:
    """Makes an object follow another; a stretched or sheared target does not deform it.

    Args:
        item: what follows, e.g. a hand.
        target: what it follows.
        frame: (4, 4) rigid, where `item` is in the world.
    """
    world = np.array(target.matrix_world, dtype=np.float64)
    item.parent = target
    item.matrix_parent_inverse = Matrix((np.linalg.inv(world) @ frame).tolist())
    item.matrix_basis = Matrix.Identity(4)
