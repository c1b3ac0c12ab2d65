"""The rig an animator gets: bones that curl and mirror, with their collections, colours, shapes and locks."""

from __future__ import annotations

import bpy
import numpy as np
from fake_engine import tube_hand
from scene import evaluated, made_rig

from grasp_addon.naming import bone_names
from grasp_addon.rig.build import build_hand
from grasp_addon.rig.frames import open_hand_beside
from grasp_addon.transforms import transform_points


def test_curl_is_plus_x_on_both_hands() -> None:
    for side in ("right", "left"):
        shape = tube_hand(side)
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
        shapes[side] = tube_hand(side)
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
    moved = np.abs(evaluated(rigs["right"]) - transform_points(
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
