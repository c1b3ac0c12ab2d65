"""Candidates in a rig: a shape key of the mesh before skinning each, and the numbers that pose the bones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..naming import key_name
from ..transforms import quaternions_from_matrices, transform_points
from .animation import remove_fcurves
from .build import rest_frames
from .correctives import untie
from .drivers import drive_bones
from .edits import note_candidate
from .frames import bone_channels
from .parts import candidate_blocks, settle_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.types import Candidate


def replace_candidates(armature: bpy.types.Object, candidates: Sequence[Candidate], frame: np.ndarray) -> None:
    """Puts `candidates`, best first, in place of those that are not kept; numbers go on after the kept ones.

    Args:
        armature: a rig of `build.build_hand`.
        candidates: in the sent mesh's frame.
        frame: (4, 4) rigid, sent mesh's frame to armature.
    """
    record, mesh = armature.grasp, armature.grasp.mesh
    settle_names(armature)
    there = candidate_blocks(armature)
    for index in reversed(range(len(record.candidates))):
        if not record.candidates[index].kept or there[index] is None:
            _drop(armature, index)
    placed = np.array(record.placed, dtype=np.float64).reshape(4, 4)
    taken = {entry.number for entry in record.candidates}
    numbers = (n for n in range(1, 1000) if n not in taken)
    for candidate, channels in zip(candidates, channels_of(armature, candidates, frame).tolist(), strict=True):
        entry = record.candidates.add()
        entry.number = next(numbers)
        entry.type, entry.score, entry.own = candidate.type, candidate.score, candidate.own
        for name, value in candidate.measures.items():
            measure = entry.measures.add()
            measure.name, measure.value = name, value
        key = mesh.shape_key_add(name=key_name(entry.number, candidate.type), from_mix=False)
        key.value = 0.0  # Blender 5.0 makes keys at 1
        entry.key = key.name
        rest = transform_points(placed, candidate.rest_vertices.astype(np.float64))
        key.points.foreach_set("co", np.ascontiguousarray(rest, np.float32).ravel())
        note_candidate(entry, key)
        entry.channels = channels
    drive_bones(armature)


def channels_of(armature: bpy.types.Object, candidates: Sequence[Candidate], frame: np.ndarray) -> np.ndarray:
    """The numbers that pose the rig as candidates do.

    Args:
        armature: a rig of `build.build_hand`.
        candidates: N of them, in the sent mesh's frame.
        frame: (4, 4) rigid, sent mesh's frame to armature.

    Returns:
        (N, 67) the sixteen bones' quaternions, wxyz, and the location of the wrist's bone.
    """
    record = armature.grasp
    placed = np.array(record.placed, dtype=np.float64).reshape(4, 4)
    heads, axes = rest_frames(armature)
    rotations, locations = bone_channels(candidates, np.array(record.wrist), heads, axes, placed, frame)
    turns = quaternions_from_matrices(rotations.reshape(-1, 3, 3)).reshape(len(candidates), -1)
    return np.concatenate([turns, locations], axis=1)


def _drop(armature: bpy.types.Object, index: int) -> None:
    record = armature.grasp
    key = record.mesh.data.shape_keys.key_blocks.get(record.candidates[index].key)
    if key:
        untie(armature, key)
        remove_fcurves(record.mesh.data.shape_keys, key.path_from_id("value"))
        record.mesh.shape_key_remove(key)
    record.candidates.remove(index)
