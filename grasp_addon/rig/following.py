"""What moves the surface under a hand, so that the hand moves with it: the object, a part of it, or a bone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import bpy
import numpy as np
from mathutils import Matrix

from ..engine.parts import SURFACES, by_uid
from ..transforms import transform_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.mesh_export import ExportedObject

NEAREST: Final = 100  # vertices of the surface that say what moves it under the hand
MOST: Final = 5000  # vertices of each part that are looked at
#: Modifiers that move a surface with something else than its object.
DEFORMERS: Final = {"CAST", "CLOTH", "CURVE", "HOOK", "LATTICE", "MESH_CACHE", "MESH_DEFORM", "MESH_SEQUENCE_CACHE",
                    "OCEAN", "SHRINKWRAP", "SIMPLE_DEFORM", "SOFT_BODY", "SURFACE_DEFORM", "WARP", "WAVE"}


@dataclass(frozen=True)
class Mover:
    """What moves a surface.

    Attributes:
        item: the object, or the armature whose bone it is.
        bone: the bone's name, or "".
        note: what it leaves out, for the animator.
    """

    item: bpy.types.Object
    bone: str = ""
    note: str = ""


def mover_of(context: bpy.types.Context, target: bpy.types.Object, item: ExportedObject, hand: np.ndarray) -> Mover:
    """What moves the surface under a hand.

    Args:
        context: whose dependency graph.
        target: the object that is grasped.
        item: what was sent of it.
        hand: (V, 3) the hand's vertices, world.

    Returns:
        the bone that moves most of it, where an armature does; a part that is animated by itself; else the object.
    """
    there = by_uid(item.members)
    members = [there[uid] for uid in item.members if uid in there]
    if not any(_armature(o) or _unfollowed(o) or _moves_apart(o, target) for o in members):
        return Mover(target)
    votes: defaultdict[tuple[bpy.types.Object, str], float] = defaultdict(float)
    near: set[bpy.types.Object] = set()
    for member, weights in _nearest(context, members, hand):
        near.add(member)
        armature = _armature(member)
        whole = member if _moves_apart(member, target) else target
        if armature and weights:
            for name, weight in weights.items():
                votes[armature, name] += weight
        else:
            votes[whole, ""] += 1.0
    (found, bone), most = max(votes.items(), key=lambda entry: entry[1], default=((target, ""), 0.0))
    note = ""
    if most < 0.99 * sum(votes.values()):
        what = f"the bone {bone}" if bone else found.name
        note = f"; the surface there is moved by more than one bone or part, and the hand follows {what} alone"
    others = sorted({what for o in members if o in near or o.type not in SURFACES for what in _unfollowed(o)})
    if others:
        note = f"; the hand does not follow what {others[0]} does to the surface"
    if abs(np.linalg.det(_hanger(context, Mover(found, bone))[:3, :3])) < 1e-12:
        return Mover(target, "", f"; {bone or found.name} is scaled to nothing, so the hand follows {target.name}")
    return Mover(found, bone, note)


def follow(context: bpy.types.Context, rig: bpy.types.Object, mover: Mover, frame: np.ndarray | None = None) -> None:
    """Parents a hand to what moves the surface, whose stretch or shear does not deform it.

    Args:
        context: whose dependency graph.
        rig: the hand's armature.
        mover: what it follows from now on.
        frame: (4, 4) rigid, where it is to be in the world; without one it stays where it is, and so do its own
            numbers and their keys.
    """
    back = np.linalg.inv(_hanger(context, mover))
    rig.parent = mover.item
    rig.parent_type = "BONE" if mover.bone else "OBJECT"
    rig.parent_bone = mover.bone
    rig.matrix_parent_inverse = Matrix((back if frame is None else back @ frame).tolist())
    if frame is not None:
        rig.matrix_basis = Matrix.Identity(4)


def depends_on(item: bpy.types.Object, other: bpy.types.Object) -> bool:
    """Whether an object is another, or hangs on it by parents or constraints."""
    pending, seen = [item], set()
    while pending:
        one = pending.pop()
        if one is None or one in seen:
            continue
        if one == other:
            return True
        seen.add(one)
        pending.append(one.parent)
        for constraint in one.constraints:
            pending.append(getattr(constraint, "target", None))
            pending += [entry.target for entry in getattr(constraint, "targets", ())]
    return False


def _hanger(context: bpy.types.Context, mover: Mover) -> np.ndarray:
    """(4, 4) the matrix in which a child of it lives, to world."""
    world = np.array(mover.item.matrix_world, dtype=np.float64)
    if not mover.bone:
        return world
    bone = mover.item.evaluated_get(context.evaluated_depsgraph_get()).pose.bones[mover.bone]
    if bone.bone.use_relative_parent:
        return world @ np.array(bone.matrix_channel, dtype=np.float64)
    tail = np.eye(4)
    tail[1, 3] = bone.bone.length  # Blender hangs children on a bone's tail
    return world @ np.array(bone.matrix, dtype=np.float64) @ tail


def _armature(item: bpy.types.Object) -> bpy.types.Object | None:
    """The armature whose bones move the object's surface by its vertex groups."""
    groups = {g.name for g in item.vertex_groups}
    found = [m.object for m in item.modifiers
             if m.type == "ARMATURE" and m.object and m.show_viewport and m.use_vertex_groups]
    if item.parent and item.parent_type == "ARMATURE" and item.parent.type == "ARMATURE":
        found.append(item.parent)
    return next((a for a in found if any(b.use_deform and b.name in groups for b in a.data.bones)), None)


def _unfollowed(item: bpy.types.Object) -> list[str]:
    """What moves the object's surface, or what it shows, by other means than objects and bones."""
    found = [f"{m.name} of {item.name}" for m in item.modifiers if m.show_viewport and (
        m.type in DEFORMERS or (m.type == "ARMATURE" and m.object and not m.use_vertex_groups))]
    if item.parent and item.parent_type in {"LATTICE", "CURVE"}:
        found.append(item.parent.name)
    keys = getattr(item.data, "shape_keys", None)
    if keys and _is_animated(keys):
        found.append(f"the shape keys of {item.name}")
    inside = item.instance_collection if item.instance_type == "COLLECTION" else None
    if inside and any(_is_animated(o) or o.constraints or _armature(o) for o in inside.all_objects):
        found.append(f"the animation in the collection {inside.name}")
    return found


def _is_animated(datablock: bpy.types.ID) -> bool:
    data = datablock.animation_data
    return bool(data and (data.action or data.drivers or data.nla_tracks))


def _moves_apart(item: bpy.types.Object, target: bpy.types.Object) -> bool:
    """Whether it, or what it hangs on below the target, is animated or constrained by itself."""
    while item and item != target:
        if _is_animated(item) or item.constraints or item.parent_type == "BONE":
            return True
        item = item.parent
    return False


def _nearest(context: bpy.types.Context, members: Sequence[bpy.types.Object],
             hand: np.ndarray) -> list[tuple[bpy.types.Object, dict[str, float]]]:
    """The surface's vertices nearest to the hand: each one's object, and the shares of the bones that move it."""
    graph = context.evaluated_depsgraph_get()
    hand = hand[:: max(1, len(hand) // 200)]
    found: list[tuple[float, bpy.types.Object, int]] = []
    for member in members:
        if member.type not in SURFACES:
            continue
        evaluated = member.evaluated_get(graph)
        mesh = evaluated.to_mesh()
        points = np.empty(3 * len(mesh.vertices) if mesh else 0, np.float32)
        if mesh:
            mesh.vertices.foreach_get("co", points)
        evaluated.to_mesh_clear()
        step = max(1, len(points) // 3 // MOST)
        points = transform_points(np.array(evaluated.matrix_world, dtype=np.float64), points.reshape(-1, 3)[::step])
        away = np.concatenate([np.linalg.norm(rows[:, None] - hand, axis=2).min(axis=1)
                               for rows in np.array_split(points, len(points) // 500 + 1)])
        found += [(float(away[i]), member, int(i) * step) for i in np.argsort(away, kind="stable")[:NEAREST]]
    found.sort(key=lambda entry: entry[0])
    chosen: dict[bpy.types.Object, list[int]] = {}
    for _, member, index in found[:NEAREST]:
        chosen.setdefault(member, []).append(index)
    return [(member, shares) for member, indices in chosen.items() for shares in _shares(graph, member, indices)]


def _shares(graph: bpy.types.Depsgraph, member: bpy.types.Object, indices: Sequence[int]) -> list[dict[str, float]]:
    """How much each bone moves some vertices: sums of 1, or none where no bone does."""
    armature = _armature(member)
    if not armature:
        return [{} for _ in indices]
    deforming = {b.name for b in armature.data.bones if b.use_deform}
    evaluated = member.evaluated_get(graph)
    names = {g.index: g.name for g in evaluated.vertex_groups if g.name in deforming}
    mesh = evaluated.to_mesh()
    found = []
    for index in indices:
        weights = {names[g.group]: g.weight for g in mesh.vertices[index].groups if g.group in names and g.weight > 0}
        total = sum(weights.values())
        found.append({name: weight / total for name, weight in weights.items()})
    evaluated.to_mesh_clear()
    return found
