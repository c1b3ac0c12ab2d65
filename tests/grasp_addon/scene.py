"""What tests do in a scene, and how they see what it shows."""

from __future__ import annotations

import bpy
import numpy as np
from fake_engine import random_candidates, tube_hand

from grasp_addon.rig.build import build_hand
from grasp_addon.rig.candidates import replace_candidates
from grasp_addon.rig.drivers import drivers
from grasp_addon.rig.frames import open_hand_beside
from grasp_addon.rig.hands import rig_of
from grasp_addon.transforms import transform_points

TOLERANCE = 1e-5  # 0.01 mm of a hand of 0.19 m


def evaluated(rig: bpy.types.Object) -> np.ndarray:
    """(V, 3) the hand as Blender shows it, world."""
    bpy.context.view_layer.update()
    mesh = rig.grasp.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = np.empty(3 * len(mesh.data.vertices), np.float32)
    mesh.data.vertices.foreach_get("co", points)
    return transform_points(np.array(mesh.matrix_world, dtype=np.float64), points.reshape(-1, 3).astype(np.float64))


def names() -> set[str]:
    """All that is in the file."""
    groups = ("objects", "meshes", "armatures", "actions", "materials", "collections", "shape_keys")
    return {f"{group}/{item.name}" for group in groups for item in getattr(bpy.data, group)}


def select(*items: bpy.types.Object, active: bpy.types.Object | None = None) -> None:
    for item in bpy.context.view_layer.objects:
        item.select_set(item in items)
    bpy.context.view_layer.objects.active = active or items[0]


def generate(count: int = 4, **settings: object) -> bpy.types.Object:
    """Generate Grasps with these settings; the hand's armature."""
    for name, value in {"count": count, **settings}.items():
        setattr(bpy.context.scene.grasp, name, value)
    bpy.ops.grasp.generate()
    return rig_of(bpy.context)


def bake_at(candidates: dict[int, int]) -> None:
    """Bakes a candidate at each frame, and sees that its drivers rest afterwards."""
    for frame, number in candidates.items():
        bpy.context.scene.frame_set(frame)
        bpy.ops.grasp.show(candidate=number)
        bpy.ops.grasp.bake()
        assert all(d.mute for d in drivers(rig_of(bpy.context)))


def expected(mug: bpy.types.Object, number: int, count: int = 4, seed: int = 0, side: str = "right") -> np.ndarray:
    """(V, 3) where the fake engine's candidate is to be, world."""
    found = random_candidates(tube_hand(side), count, seed)[number - 1].vertices
    turn, place = np.array(mug.matrix_world.to_quaternion().to_matrix()), np.array(mug.matrix_world.translation)
    return found @ turn.T + place


def made_rig(count: int, side: str = "right", frame: np.ndarray | None = None) -> tuple:
    """A rig with random candidates: the rig, its hand, where that was placed, and the candidates."""
    shape = tube_hand(side)
    placed = open_hand_beside(shape, np.full(3, -0.05), np.full(3, 0.05))
    rig = build_hand(bpy.context, shape, placed, np.eye(4) if frame is None else frame, "Mug")
    found = random_candidates(shape, count)
    replace_candidates(rig, found, np.eye(4))
    return rig, shape, placed, found
