"""From accepted candidates to the hand in the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

from . import scrub
from .bake import key_newcomers
from .bone_frames import open_hand_beside
from .candidates import replace_candidates
from .remove import remove_hand
from .rig import build_hand, parent_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .hand_data import Candidate, HandShape
    from .objects_in import ObjectIn


def place_candidates(context: bpy.types.Context, item: ObjectIn, shape: HandShape, found: Sequence[Candidate],
                     parent: bool) -> bpy.types.Object:
    """Puts the candidates on the object's hand and shows the best; makes the hand where none is kept.

    A hand with baked or keyed candidates stays, with them and its keys; one without is made anew.
    """
    target = bpy.data.objects.get(item.name)
    rig = None
    for old in [r for r in scrub.rigs(context.scene) if target and r.grasp.target == target
                and r.grasp.side == shape.side]:
        protect_keyed(old)
        if not any(c.baked for c in old.grasp.candidates):
            remove_hand(old)
        elif rig is None and _fits(old, shape) and _rigid(old):
            rig = old
    kept = rig is not None
    if rig is None:
        low, high = item.vertices.min(axis=0), item.vertices.max(axis=0)
        rig = build_hand(context, shape, open_hand_beside(shape, low, high), item.frame, item.name)
        rig.grasp.target = target
        if parent and target:
            parent_to(rig, target, item.frame)
    frame = np.linalg.inv(np.array(rig.matrix_world, dtype=np.float64)) @ item.frame if kept else np.eye(4)
    replace_candidates(rig, found, frame)
    if kept:
        key_newcomers(rig)
    first_new = sum(c.baked for c in rig.grasp.candidates) + 1 if kept else 1
    scrub.show(rig, first_new)
    return rig


def protect_keyed(rig: bpy.types.Object) -> None:
    """A candidate whose key the user animated by hand is kept as a baked one is."""
    from .animation import curve

    shape_keys = rig.grasp.mesh.data.shape_keys
    for candidate in rig.grasp.candidates:
        block = shape_keys.key_blocks.get(candidate.key)
        if block and not candidate.baked:
            found = curve(shape_keys, block.path_from_id("value"))
            candidate.baked = found is not None and any(point.co.y > 0 for point in found.keyframe_points)


def _fits(rig: bpy.types.Object, shape: HandShape) -> bool:
    same_size = abs(rig.grasp.hand_length - shape.length) < 1e-5 * shape.length
    return same_size and len(rig.grasp.mesh.data.vertices) == len(shape.vertices)


def _rigid(rig: bpy.types.Object) -> bool:
    """Whether the hand still has the scale it was made with: candidates of a stretched one would not fit."""
    turn = np.array(rig.matrix_world, dtype=np.float64)[:3, :3]
    return bool(np.allclose(turn.T @ turn, np.eye(3), atol=1e-5))
