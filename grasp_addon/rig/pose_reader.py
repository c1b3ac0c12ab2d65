"""The pose of a hand in the scene, read back as the engine's numbers: what candidates are made of, the other way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy
import numpy as np

from ..engine.types import Candidate
from ..errors import GraspError
from ..transforms import quaternions_from_matrices, split_stretch, transform_points
from .build import rest_frames
from .drivers import mute_drivers
from .frames import joint_pose
from .parts import demand_whole, joint_names, pose_bones_of
from .turns import give_modes_back, rotation_of, set_rotation

if TYPE_CHECKING:
    from mathutils import Quaternion, Vector

OWN_POSE: Final = "your_pose"  # the type of a candidate that the animator posed


def shown_channels(context: bpy.types.Context, rig: bpy.types.Object) -> list[tuple[Quaternion, Vector]]:
    """Each joint's rotation and location as they are shown now, whether drivers, keys or the animator posed them."""
    names = [bone.name for bone in pose_bones_of(rig)]
    posed = rig.evaluated_get(context.evaluated_depsgraph_get()).pose.bones
    return [(rotation_of(posed[name]), posed[name].location.copy()) for name in names]


def free_bones(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Leaves the bones as they are shown, and to the animator: the candidates' drivers are muted.

    Raises:
        GraspError: the hand is not whole.
    """
    demand_whole(rig)
    channels = shown_channels(context, rig)
    mute_drivers(rig, True)
    give_modes_back(rig)
    rig.grasp.looking, rig.grasp.posing = False, not any(c.baked for c in rig.grasp.candidates)
    for bone, (rotation, location) in zip(pose_bones_of(rig), channels, strict=True):
        set_rotation(bone, rotation)
        bone.location = location


def hand_scale(context: bpy.types.Context, rig: bpy.types.Object) -> tuple[np.ndarray, float]:
    """Where the hand is and how large.

    Returns:
        frame: (4, 4) rigid, armature to world.
        scale: by how much the hand was scaled since it was made.

    Raises:
        GraspError: it is stretched or mirrored, so that no hand of the engine is its like.
    """
    world = np.array(rig.evaluated_get(context.evaluated_depsgraph_get()).matrix_world, dtype=np.float64)
    frame, stretch = split_stretch(world, rig.name)
    sizes = np.linalg.eigvalsh(stretch[:3, :3])
    if sizes[0] < 0:
        other = "left" if rig.grasp.side == "right" else "right"
        raise GraspError(f"{rig.name} is mirrored by a negative scale: set its scale to 1 and, for the other hand, "
                         f"choose Side {other.title()} and press Add Hand.")
    if sizes[2] - sizes[0] > 1e-3 * sizes[2]:
        raise GraspError(f"{rig.name} is stretched more in one direction than in another: give it (and its parents) "
                         "the same scale in all three.")
    return frame, float(sizes.mean())


def read_pose(context: bpy.types.Context, rig: bpy.types.Object, frame: np.ndarray) -> Candidate:
    """The pose that is shown, as a candidate of the animator's own.

    Args:
        context: whose dependency graph shows it.
        rig: a hand of `build.build_hand`, of any pose, place, animation and even scale.
        frame: (4, 4) rigid, the object's frame to world.

    Raises:
        GraspError: the hand is stretched, mirrored, not whole, or its mesh was edited.
    """
    demand_whole(rig)
    record = rig.grasp
    graph = context.evaluated_depsgraph_get()
    own_frame, scale = hand_scale(context, rig)
    heads, axes = rest_frames(rig)
    placed = np.array(record.placed, dtype=np.float64).reshape(4, 4)
    bones = rig.evaluated_get(graph).pose.bones
    posed = np.array([bones[name].matrix for name in joint_names(rig)], dtype=np.float64)
    rest, shown = _mixed_keys(record.mesh), shown_vertices(record.mesh, graph)
    if len(rest) != len(shown):
        raise GraspError(f"The shape keys of {record.mesh.name} do not fit its mesh any more, whose vertices were "
                         "added or deleted: undo that, or press Add Hand and pose that one.")
    for matrix in (placed, posed):
        matrix[..., :3, 3] *= scale
    turns, translation = joint_pose(posed, np.array(record.wrist) * scale, heads * scale, axes, placed,
                                    np.linalg.inv(frame) @ own_frame)
    return Candidate(transform_points(np.linalg.inv(placed), rest * scale), quaternions_from_matrices(turns),
                     translation, transform_points(np.linalg.inv(frame), shown), type=OWN_POSE, own=True)


def shown_vertices(mesh: bpy.types.Object, graph: bpy.types.Depsgraph) -> np.ndarray:
    """The hand's vertices as they are shown; what a subdivision adds is left out.

    Args:
        mesh: the hand's.
        graph: what shows it.

    Returns:
        (V, 3) world.

    Raises:
        GraspError: a modifier takes vertices away.
    """
    evaluated = mesh.evaluated_get(graph)
    points = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", points)
    points = points.reshape(-1, 3)[: len(mesh.data.vertices)].astype(np.float64)
    if len(points) < len(mesh.data.vertices):
        raise GraspError(f"A modifier takes vertices away from {mesh.name}: switch it off in the viewport.")
    return transform_points(np.array(evaluated.matrix_world, dtype=np.float64), points)


def _mixed_keys(mesh: bpy.types.Object) -> np.ndarray:
    """(V, 3) the mesh before skinning, as its shape keys mix it."""
    blocks = mesh.data.shape_keys.key_blocks

    def points(block: bpy.types.ShapeKey) -> np.ndarray:
        flat = np.empty(3 * len(block.data), np.float32)
        block.points.foreach_get("co", flat)
        return flat.reshape(-1, 3).astype(np.float64)

    open_hand = points(blocks[0])
    moved = (b.value * (points(b) - open_hand) for b in blocks[1:] if b.value and not b.mute)
    return open_hand + sum(moved, np.zeros_like(open_hand))
