"""The object that was sent, found again when the grasps have come: where it is by then, or why that is no use.

While the engine works the animator goes on: the object is moved, renamed, edited, deleted, its deletion undone. What
was computed holds for its surface wherever it was moved to, turned, or carried by bones; for another surface it does
not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import bpy
import numpy as np

from ..engine.mesh_export import surface_of
from ..engine.parts import by_uid, is_in
from ..errors import GraspError
from ..transforms import transform_points

if TYPE_CHECKING:
    from ..engine.mesh_export import ExportedObject

SAME: Final = 1e-4  # of the object's size: what moves by less has not changed its shape
ROUNDING: Final = 5e-7  # of the distance from the world's origin: what single precision makes of places


def as_it_is_now(context: bpy.types.Context, item: ExportedObject) -> tuple[ExportedObject, bpy.types.Object]:
    """What was sent, where it is now.

    Args:
        context: whose scene the hand is to go into.
        item: as it was sent.

    Returns:
        item: with its frame and name of now.
        target: the object itself.

    Raises:
        GraspError: it is gone, elsewhere, or has another surface than was sent.
    """
    context.view_layer.update()
    there = by_uid((item.uid, *item.members))
    again = "Nothing was changed."
    target = there.get(item.uid)
    if target is None:
        raise GraspError(f"{item.name} was deleted while its grasps were computed. {again}", "")
    if not is_in(target, context.scene.objects):
        where = target.users_scene[0].name if target.users_scene else ""
        hint = f"Open {where}" if where else "Link it to a scene"
        raise GraspError(f"{target.name} is not in the scene {context.scene.name}. {again} {hint} and press the button "
                         "again.", "")
    members = [there[uid] for uid in item.members if uid in there]
    if len(members) < len(item.members):
        raise GraspError(f"A part of {target.name} was deleted while its grasps were computed. {again} Press the "
                         "button again.", "")
    now = surface_of(context, target, members, labelled=False)
    moved = rigid_motion(item.vertices, now.vertices, float(np.abs(now.frame[:3, 3]).max())) if np.array_equal(
        item.faces, now.faces) else None
    if moved is None:
        raise GraspError(f"{target.name} got another shape or size while its grasps were computed. {again} Press the "
                         "button again for the object as it is now.", "")
    return replace(item, name=target.name, frame=now.frame @ moved), target


def rigid_motion(before: np.ndarray, after: np.ndarray, distance: float = 0.0) -> np.ndarray | None:
    """The turn and move that take points to where they are now.

    Args:
        before: (V, 3).
        after: (V, 3) the same points later.
        distance: how far from the world's origin they are, for the precision of single floats.

    Returns:
        (4, 4) rigid, exactly the identity where they have not moved; None where no rigid motion does it.
    """
    if before.shape != after.shape:
        return None
    allowed = SAME * max(float(np.ptp(column)) for column in before.T) + ROUNDING * distance
    motion = np.eye(4)
    if np.array_equal(before, after) or np.abs(after - before).max() <= allowed:
        return motion
    middle, there = before.mean(axis=0), after.mean(axis=0)
    left, _, right = np.linalg.svd((after - there).T @ (before - middle))
    sign = np.sign(np.linalg.det(left @ right))
    motion[:3, :3] = (left * [1.0, 1.0, sign]) @ right
    motion[:3, 3] = there - motion[:3, :3] @ middle
    return motion if np.abs(transform_points(motion, before) - after).max() <= allowed else None
