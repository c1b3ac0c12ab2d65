"""The hand in Blender is the hand of the core: to 0.01 mm, from the file alone."""

from __future__ import annotations

import time

import bpy
import numpy as np
import pytest
from made_hand import made_candidates, made_hand, skinned

import grasp_addon
from grasp_addon import scrub
from grasp_addon.bone_frames import open_hand_beside, transformed
from grasp_addon.candidates import drivers, replace_candidates
from grasp_addon.naming import bone_names
from grasp_addon.rig import build_hand

TOLERANCE = 1e-5  # 0.01 mm of a hand of 0.19 m


def evaluated(rig: bpy.types.Object) -> np.ndarray:
    """(V, 3) the hand as Blender shows it, world."""
    bpy.context.view_layer.update()
    mesh = rig.grasp.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = np.empty(3 * len(mesh.data.vertices), np.float32)
    mesh.data.vertices.foreach_get("co", points)
    return transformed(np.array(mesh.matrix_world, dtype=np.float64), points.reshape(-1, 3).astype(np.float64))


def made_rig(count: int, side: str = "right", frame: np.ndarray | None = None) -> tuple:
    shape = made_hand(side)
    placed = open_hand_beside(shape, np.full(3, -0.05), np.full(3, 0.05))
    rig = build_hand(bpy.context, shape, placed, np.eye(4) if frame is None else frame, "Mug")
    found = made_candidates(shape, count)
    replace_candidates(rig, found, np.eye(4))
    return rig, shape, placed, found


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("count", [1, 16, 17, 64])
def test_shown_candidate_is_the_cores(count: int, side: str) -> None:
    rig, _, _, found = made_rig(count, side)
    for number in {1, count // 2 + 1, count}:
        scrub.show(rig, number)
        assert np.abs(evaluated(rig) - found[number - 1].vertices).max() < TOLERANCE
    assert all(d.driver.is_simple_expression for d in drivers(rig))
    sums = rig.data.animation_data.drivers if rig.data.animation_data else []
    assert all(d.driver.is_simple_expression for d in sums)
    assert max(len(d.driver.expression) for d in (*drivers(rig), *sums)) < 256


def test_all_keys_at_zero_is_the_open_hand_beside_the_object() -> None:
    rig, shape, placed, _ = made_rig(2)
    scrub.show(rig, 0)
    points = evaluated(rig)
    assert np.abs(points - transformed(placed, shape.vertices)).max() < TOLERANCE
    assert points[:, 0].min() > 0.05


@pytest.mark.parametrize("count", [3, 20])
def test_works_from_the_file_alone(count: int, tmp_path: object) -> None:
    rig, _, _, found = made_rig(count)
    path, mesh_name = str(tmp_path / "hand.blend"), rig.grasp.mesh.name
    bpy.ops.wm.save_as_mainfile(filepath=path)
    grasp_addon.unregister()
    try:
        bpy.context.preferences.filepaths.use_scripts_auto_execute = False
        bpy.ops.wm.open_mainfile(filepath=path, use_scripts=False)
        mesh = bpy.data.objects[mesh_name]
        blocks = mesh.data.shape_keys.key_blocks
        assert [b.value for b in blocks[1:]] == [0.0] * count
        blocks[3].value = 1.0
        bpy.context.view_layer.update()
        shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        points = np.array([v.co for v in shown.data.vertices])
        assert np.abs(points - found[2].vertices).max() < TOLERANCE
    finally:
        grasp_addon.register()


def test_curl_is_plus_x_on_both_hands() -> None:
    for side in ("right", "left"):
        shape = made_hand(side)
        rig = build_hand(bpy.context, shape, np.eye(4), np.eye(4), "")
        for finger in ("f_index", "f_pinky"):
            bone = rig.pose.bones[f"{finger}.01{'.R' if side == 'right' else '.L'}"]
            bone.rotation_quaternion = (0.924, 0.383, 0, 0)
            bpy.context.view_layer.update()
            assert bone.tail.y < bone.head.y - 0.02, "the finger bends to the palm"
            assert abs(bone.bone.tail_local.y - bone.bone.head_local.y) < 1e-6


def test_flipped_pose_is_the_mirror_image() -> None:
    rigs, shapes = {}, {}
    for side in ("right", "left"):
        shapes[side] = made_hand(side)
        placed = open_hand_beside(shapes[side], np.full(3, -0.05), np.full(3, 0.05))
        rigs[side] = build_hand(bpy.context, shapes[side], placed, np.eye(4), "")
    rng = np.random.default_rng(1)
    for bone in rigs["right"].pose.bones:
        turn = rng.normal(size=4) * 0.3
        turn[0] = 1
        bone.rotation_quaternion = turn / np.linalg.norm(turn)
    rigs["right"].pose.bones["hand.R"].location = (0.02, 0.03, -0.05)
    bpy.context.view_layer.objects.active = rigs["right"]
    bpy.ops.object.mode_set(mode="POSE")
    bpy.ops.pose.select_all(action="SELECT")
    bpy.ops.pose.copy()
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.objects.active = rigs["left"]
    bpy.ops.object.mode_set(mode="POSE")
    bpy.ops.pose.select_all(action="SELECT")
    bpy.ops.pose.paste(flipped=True)
    bpy.ops.object.mode_set(mode="OBJECT")
    moved = np.abs(evaluated(rigs["right"]) - transformed(
        open_hand_beside(shapes["right"], np.full(3, -0.05), np.full(3, 0.05)), shapes["right"].vertices)).max()
    assert moved > 0.02
    assert np.abs(evaluated(rigs["left"]) * [-1, 1, 1] - evaluated(rigs["right"])).max() < 1e-5


def test_bones_are_an_animators() -> None:
    rig, _, _, _ = made_rig(2)
    assert tuple(b.name for b in rig.data.bones if b.parent is None) == ("hand.R",)
    assert set(bone_names("right")) == {b.name for b in rig.data.bones}
    for bone in rig.pose.bones:
        assert bone.rotation_mode == "QUATERNION"
        assert all(bone.lock_scale)
        assert all(bone.lock_location) == (bone.name != "hand.R")
        assert bone.custom_shape
        assert bone.bone.color.palette != "DEFAULT"
    assert {c.name for c in rig.data.collections} >= {"Hand", "Thumb", "Fingers"}
    mesh = rig.grasp.mesh
    assert all(p.use_smooth for p in mesh.data.polygons)
    assert mesh.data.uv_layers
    assert mesh.data.materials[0].name == "Grasp Skin"


def test_a_step_of_scrubbing_takes_2_ms() -> None:
    rig, _, _, _ = made_rig(16)
    times = []
    for number in range(1, 17):
        start = time.perf_counter()
        scrub.show(rig, number)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.002


def test_made_hand_skins_as_told() -> None:
    """The reference itself: at rest nothing moves, and a bent joint leaves the palm alone."""
    shape = made_hand()
    rest = np.tile([1.0, 0, 0, 0], (16, 1))
    assert np.allclose(skinned(shape, shape.vertices, rest, np.zeros(3)), shape.vertices)
    rest[2] = (0.707, 0, 0, 0.707)
    moved = np.linalg.norm(skinned(shape, shape.vertices, rest, np.zeros(3)) - shape.vertices, axis=1) > 1e-9
    assert moved.any()
    assert not moved[shape.weights[:, [0, 4, 7, 10, 13]].sum(1) > 0.99].any()
