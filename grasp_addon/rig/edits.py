"""What an animator has changed on a hand by hand, so that it is not thrown away with the candidates.

What was made is noted with the hand: its bones as numbers, which Edit Mode rounds anew, the rest as hashes. What was
only deleted is no work of anybody's that could be lost.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import bpy
import numpy as np

from .animation import fcurves
from .parts import candidate_blocks, key_blocks
from .turns import MODE

ROUNDING: Final = 1e-4  # hand lengths: what moves a bone by less has not edited it
TURN: Final = 1e-3  # and what turns it by less, radians


def note_made(rig: bpy.types.Object) -> None:
    """Notes what a hand that was just built is like."""
    rig.grasp.made = json.dumps({"bones": _bones(rig), **_made_of(rig)})


def note_place(rig: bpy.types.Object) -> None:
    """Notes where a hand stands, in what it hangs on; nothing of a hand of 0.1.0."""
    if rig.grasp.made:
        rig.grasp.made = json.dumps({**json.loads(rig.grasp.made), "place": _place(rig)})


def was_moved(rig: bpy.types.Object) -> bool:
    """Whether the animator moved, turned or scaled a hand as a whole, or its mesh; keys that do so are animation."""
    made = json.loads(rig.grasp.made or "{}")
    if "place" not in made or rig.grasp.mesh is None or _is_animated(rig):
        return False
    moved = np.abs(np.subtract(_place(rig), made["place"])).reshape(2, 4, 4)
    return bool(moved[:, :3, 3].max() > ROUNDING * rig.grasp.hand_length or moved[:, :3, :3].max() > TURN)


def note_candidate(entry: bpy.types.PropertyGroup, block: bpy.types.ShapeKey) -> None:
    """Notes what a candidate's shape key is like."""
    entry.content = _content(block)


def edited_candidates(rig: bpy.types.Object) -> list[bpy.types.PropertyGroup]:
    """The candidates whose shape key the animator changed or gave another name."""
    pairs = zip(rig.grasp.candidates, candidate_blocks(rig), strict=True)
    return [entry for entry, block in pairs if block and entry.content != (now := _content(block))
            and entry.content.startswith(now.partition(" ")[0])]  # else vertices were added or deleted, in all of them


def what_was_edited(rig: bpy.types.Object) -> list[str]:
    """What the animator has changed on a hand beside its candidates, in words: nothing of a hand of 0.1.0 is known."""
    mesh, made = rig.grasp.mesh, json.loads(rig.grasp.made or "{}")
    if not made or mesh is None or not mesh.users_scene:
        return []
    found = [word for word, part in _made_of(rig).items() if not set(part) <= set(made[word])]
    bones, were, least = _bones(rig), made["bones"], ROUNDING * rig.grasp.hand_length
    if any(name not in were or not _alike(bone, were[name], least) or (
            bone[-1] != were[name][-1] and were[name][-1] in bones) for name, bone in bones.items()):
        found.insert(0, "bones")
    if len(key_blocks(rig)) > sum(block is not None for block in candidate_blocks(rig)):
        found.append("shape keys")
    if was_moved(rig):
        found.append("place")
    if any(_is_animated(data) for data in (rig, rig.data, mesh, mesh.data, mesh.data.shape_keys) if data):
        found.append("animation")
    return found


def _made_of(rig: bpy.types.Object) -> dict[str, Any]:
    """What of a hand is compared as it is, by what an animator calls it."""
    mesh = rig.grasp.mesh
    bones = rig.pose.bones if rig.pose else ()
    corners = np.empty(len(mesh.data.loops), np.int32)
    mesh.data.loops.foreach_get("vertex_index", corners)
    names = [group.name for group in mesh.vertex_groups]
    weights: list[list[float]] = [[] for _ in names]
    for vertex in mesh.data.vertices if names else ():
        for entry in vertex.groups:
            weights[entry.group] += (vertex.index, round(entry.weight, 5))
    uvs = [_hash(_uvs(layer)) for layer in mesh.data.uv_layers]
    open_hand = mesh.data.shape_keys.reference_key if mesh.data.shape_keys else None
    return {
        "mesh": [_hash(corners), *([_hash(_points(open_hand))] if open_hand else [])],
        "UVs": uvs,
        "weights": [f"{name} {_hash(np.array(rows))}" for name, rows in zip(names, weights, strict=True) if rows],
        "modifiers": [f"{m.type} {m.name}" for m in (*mesh.modifiers, *rig.modifiers)],
        "materials": [slot.material.name for slot in mesh.material_slots if slot.material],
        "constraints": [f"{owner.name} {c.type}" for owner in (rig, mesh, *bones) for c in owner.constraints],
        "rotation modes": [f"{bone.name} {mode}" for bone in bones
                           if (mode := bone.get(MODE) or bone.rotation_mode) != "QUATERNION"],
    }


def _place(rig: bpy.types.Object) -> list[float]:
    """What the armature and the mesh are moved, turned and scaled by, as two (4, 4) one behind the other."""
    return [number for item in (rig, rig.grasp.mesh) for row in item.matrix_basis for number in row]


def _bones(rig: bpy.types.Object) -> dict[str, list[Any]]:
    """Of each bone its head, tail and z-axis at rest, and which one it hangs on."""
    return {bone.name: [*(round(x, 7) for v in (bone.head_local, bone.tail_local, bone.z_axis) for x in v),
                        bone.parent.name if bone.parent else ""] for bone in rig.data.bones}


def _alike(one: list[Any], other: list[Any], least: float) -> bool:
    """Whether two of `_bones` have the same ends, as far as `least`, and the same roll."""
    ends, roll = (float(np.abs(np.subtract(one[part], other[part])).max()) for part in (slice(6), slice(6, 9)))
    return ends <= least and roll <= TURN


def _is_animated(data: bpy.types.ID) -> bool:
    animation = data.animation_data
    return bool(animation and (fcurves(data) or animation.nla_tracks))


def _content(block: bpy.types.ShapeKey) -> str:
    return f"{len(block.points)} {_hash(_points(block))} {block.name}"


def _points(block: bpy.types.ShapeKey) -> np.ndarray:
    points = np.empty(3 * len(block.points), np.float32)
    block.points.foreach_get("co", points)
    return points


def _uvs(layer: bpy.types.MeshUVLoopLayer) -> np.ndarray:
    found = np.empty(2 * len(layer.data), np.float32)
    layer.data.foreach_get("uv", found)
    return found


def _hash(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]
