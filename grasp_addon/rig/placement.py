"""From accepted candidates to the hand in the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..engine.types import scaled
from ..errors import GraspError
from ..transforms import transform_points
from .animation import fcurve
from .build import build_hand
from .candidates import channels_of, replace_candidates
from .edits import edited_candidates, note_place, was_moved, what_was_edited
from .following import depends_on, follow, mover_of
from .frames import open_hand_beside
from .hands import has_bone_keys, rigs, shown_candidate
from .parts import fault, settle_names
from .pose_reader import hand_scale, read_pose
from .remove import hands_that_stay, remove_hand, why_it_stays
from .scrub import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.mesh_export import ExportedObject
    from ..engine.types import Candidate, HandShape


def place_candidates(context: bpy.types.Context, item: ExportedObject, target: bpy.types.Object, shape: HandShape,
                     found: Sequence[Candidate], parent: bool) -> str:
    """Puts the candidates on the object's hand and shows the best; makes the hand where none is kept.

    A hand with candidates that are baked, keyed or the animator's own stays, with them and its keys. So does one whose
    bones the animator poses, the pose as a candidate, one that was moved as a whole, with the candidate it shows, and
    one that the animator edited; where no candidates can be put on that, beside another. One without is made anew,
    unless something of the animator's holds on to it.

    Args:
        context: whose scene the hand goes into.
        item: what it holds, where it is now.
        target: the object of that.
        shape: the hand at rest, scene units.
        found: candidates in the object's frame, best first.
        parent: whether a hand made here follows the object.

    Returns:
        what is to be told besides: a clause that begins with ";", sentences that begin with ".", or "".
    """
    rig, note = None, ""
    for old in [r for r in rigs(context.scene) if r.grasp.target == target and r.grasp.side == shape.side]:
        leave_edit_mode(context, old)
        protect(old)
        if not (old.grasp.posing or any(c.kept for c in old.grasp.candidates) or what_was_edited(old)):
            if not why_it_stays(old):
                remove_hand(old)
        elif rig is None and not fault(old) and _fits(old, shape) and _rigid(old):
            rig = old
    kept = rig is not None
    if rig is not None and was_moved(rig) and (number := shown_candidate(rig)):
        moved = rig.grasp.candidates[number - 1]
        moved.own = True
        note = f". {rig.name} keeps {moved.key}, the grasp that you moved with it"
    if rig is None:
        rig = build_hand(context, shape, open_hand_beside(shape, *item.box), item.frame, item.name)
        rig.grasp.target = target
        if parent:
            mover = mover_of(context, target, item, transform_points(item.frame, found[0].vertices))
            follow(context, rig, mover, item.frame)
            note = mover.note
    frame = np.linalg.inv(np.array(rig.matrix_world, dtype=np.float64)) @ item.frame if kept else np.eye(4)
    posed = [read_pose(context, rig, item.frame)] if rig.grasp.posing else []
    replace_candidates(rig, [*posed, *found], frame)
    note_place(rig)
    show(rig, sum(c.kept for c in rig.grasp.candidates) + 1)
    return note + "".join(f". {sentence}" for sentence in hands_that_stay(context, rig))


def place_refined(context: bpy.types.Context, rig: bpy.types.Object, item: ExportedObject, target: bpy.types.Object,
                  pose: Candidate, found: Sequence[Candidate], scale: float, parent: bool) -> str:
    """Puts the animator's pose and the candidates around it on the posed hand itself, and shows the best.

    Args:
        context: where the hand is.
        rig: the hand, of even scale.
        item: what it holds from now on, where it is now.
        target: the object of that.
        pose: the animator's, kept unless it is kept already.
        found: candidates in the object's frame, as large as the hand is in the scene.
        scale: how much larger it is there than it was made.
        parent: whether a hand that follows nothing yet follows the object.

    Returns:
        what is to be told besides: a clause that begins with ";", or "".

    Raises:
        GraspError: the hand is another by now.
    """
    leave_edit_mode(context, rig)
    own_frame, scale_now = hand_scale(context, rig)
    if abs(scale_now - scale) > 1e-3 * scale:
        raise GraspError(f"{rig.name} was scaled while grasps for it were computed. Nothing was changed. Press Refine "
                         "Grasp again.", "")
    if len(rig.grasp.mesh.data.vertices) != len(pose.rest_vertices):
        raise GraspError(f"The mesh of {rig.name} was edited while grasps for it were computed. Nothing was changed. "
                         "Undo that, or press Add Hand and pose that one.", "")
    own_frame[:3, 3] /= scale
    object_frame = item.frame.copy()
    object_frame[:3, 3] /= scale
    frame = np.linalg.inv(own_frame) @ object_frame
    protect(rig)
    pose_there = key_of_pose(rig, scaled(pose, 1 / scale), frame)
    replace_candidates(rig, [scaled(c, 1 / scale) for c in ([] if pose_there else [pose]) + list(found)], frame)
    if has_bone_keys(rig):  # the animator's own keys play this pose: no look overrides them for good
        next(c for c in reversed(rig.grasp.candidates) if (c.key == pose_there if pose_there else c.own)).baked = True
    rig.grasp.target = target
    note = ""
    if parent and not rig.parent:
        mover = mover_of(context, target, item, transform_points(item.frame, found[0].vertices))
        if depends_on(mover.item, rig) or depends_on(target, rig):
            note = f"; the hand does not follow {target.name}, which hangs on it"
        else:
            follow(context, rig, mover)
            note = mover.note
    note_place(rig)
    show(rig, len(rig.grasp.candidates) - len(found) + 1)
    return note


def leave_edit_mode(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Leaves Edit Mode where a hand's bones or mesh are in it: what is written then would be lost on leaving it."""
    parts = [o for o in (rig, rig.grasp.mesh) if o.mode == "EDIT"]
    if parts:
        layer = context.view_layer
        if layer.objects.active is None or layer.objects.active.mode != "EDIT":
            layer.objects.active = parts[0]
        bpy.ops.object.mode_set(mode="OBJECT")


def protect(rig: bpy.types.Object) -> None:
    """A candidate whose key the animator animated, edited or named is kept as a baked one or a pose of theirs is."""
    shape_keys = rig.grasp.mesh.data.shape_keys
    if shape_keys is None or rig.override_library or rig.library:
        return
    for candidate in edited_candidates(rig):
        candidate.own = True
    settle_names(rig)
    for candidate in rig.grasp.candidates:
        block = shape_keys.key_blocks.get(candidate.key)
        if block and not candidate.baked:
            found = fcurve(shape_keys, block.path_from_id("value"))
            candidate.baked = found is not None and any(point.co.y > 0 for point in found.keyframe_points)


def key_of_pose(rig: bpy.types.Object, pose: Candidate, frame: np.ndarray) -> str:
    """The kept candidate of this very pose.

    Args:
        rig: the hand.
        pose: in the object's frame.
        frame: (4, 4) rigid, object to armature.

    Returns:
        the name of its shape key, or "".
    """
    channels = channels_of(rig, [pose], frame)[0]
    turns, location = channels[:64].reshape(16, 4), channels[64:]
    for entry in rig.grasp.candidates:
        there = np.array(entry.channels)
        alike = np.abs((there[:64].reshape(16, 4) * turns).sum(axis=1)).min() > 1 - 1e-7
        if entry.kept and alike and np.abs(there[64:] - location).max() < 1e-4 * rig.grasp.hand_length:
            return entry.key
    return ""


def _fits(rig: bpy.types.Object, shape: HandShape) -> bool:
    """Whether candidates of this shape lie right on the hand's mesh, which is as large, and where its armature is."""
    if not np.allclose(rig.grasp.mesh.matrix_basis, np.eye(4), atol=1e-5):
        return False
    same_size = abs(rig.grasp.hand_length - shape.length) < 1e-5 * shape.length
    return same_size and len(rig.grasp.mesh.data.vertices) == len(shape.vertices)


def _rigid(rig: bpy.types.Object) -> bool:
    """Whether the hand still has the scale it was made with: candidates of a stretched one would not fit."""
    turn = np.array(rig.matrix_world, dtype=np.float64)[:3, :3]
    return bool(np.allclose(turn.T @ turn, np.eye(3), atol=1e-5))
