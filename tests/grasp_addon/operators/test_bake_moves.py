"""Baked, bones and skin are one animation: what retimes, pushes down or exports it takes both along."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import bpy
import numpy as np
from fake_engine import FakeEngine
from scene import TOLERANCE, bake_at, evaluated, expected, generate

from grasp_addon.rig.animation import fcurves


def test_a_strip_that_is_moved_takes_the_skin_along(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    bake_at({1: 1, 20: 2})
    assert len(bpy.data.actions) == 1
    animation = rig.animation_data
    action, slot = animation.action, getattr(animation, "action_slot", None)
    strip = animation.nla_tracks.new().strips.new("grasp", 1, action)
    if slot:
        strip.action_slot = slot
    animation.action = None
    strip.frame_start, strip.frame_end = 101, 120
    for frame, number in ((101, 1), (120, 2)):
        bpy.context.scene.frame_set(frame)
        assert np.abs(evaluated(rig) - expected(mug, number)).max() < TOLERANCE


def test_keys_that_are_moved_take_the_skin_along(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    bake_at({1: 1, 20: 2})
    for curve in fcurves(rig):
        for point in curve.keyframe_points:
            point.co.x += 50
        curve.update()
    for frame, number in ((51, 1), (70, 2)):
        bpy.context.scene.frame_set(frame)
        assert np.abs(evaluated(rig) - expected(mug, number)).max() < TOLERANCE


def test_a_newcomer_that_is_baked_shows_in_its_frame_only(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(count=2)
    bake_at({1: 1, 20: 2})
    bpy.context.scene.frame_set(10)
    generate(count=3, seed=5)
    assert len(rig.grasp.candidates) == 5
    bpy.ops.grasp.show(candidate=4)
    bpy.ops.grasp.bake()
    for frame, number in ((1, 1), (20, 2)):
        bpy.context.scene.frame_set(frame)
        assert np.abs(evaluated(rig) - expected(mug, number, count=2)).max() < TOLERANCE
    bpy.context.scene.frame_set(10)
    assert np.abs(evaluated(rig) - expected(mug, 2, count=3, seed=5)).max() < TOLERANCE


def test_gltf_holds_one_clip_and_the_skin_in_it(engine: FakeEngine, mug: bpy.types.Object, tmp_path: Path) -> None:
    generate()
    bake_at({1: 1, 20: 2})
    scene, path = bpy.context.scene, tmp_path / "hand.glb"
    scene.frame_start, scene.frame_end = 1, 20
    bpy.ops.export_scene.gltf(filepath=str(path))
    content = path.read_bytes()
    told = json.loads(content[20: 20 + struct.unpack("<I", content[12:16])[0]])
    assert len(told["animations"]) == 1
    assert {c["target"]["path"] for c in told["animations"][0]["channels"]} >= {"rotation", "weights"}
    points = {frame: expected(mug, number) for frame, number in ((1, 1), (20, 2))}
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(path))
    mesh = next(o for o in bpy.data.objects if o.type == "MESH" and "Hand" in o.name)
    for frame, there in points.items():
        bpy.context.scene.frame_set(frame)
        shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        found = np.array([shown.matrix_world @ v.co for v in shown.data.vertices])
        away = np.linalg.norm(found[:, None] - there, axis=-1).min(axis=0)
        assert away.max() < 1e-4
