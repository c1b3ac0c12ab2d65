"""The hand in Blender is the hand of the core: to 0.01 mm, from the file alone."""

from __future__ import annotations

import time

import bpy
import numpy as np
import pytest
from fake_engine import skinned, tube_hand
from scene import TOLERANCE, evaluated, made_rig

import grasp_addon
from grasp_addon.rig.drivers import drivers
from grasp_addon.rig.scrub import show
from grasp_addon.transforms import transform_points


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("count", [1, 16, 17, 64])
def test_shown_candidate_is_the_cores(count: int, side: str) -> None:
    rig, _, _, found = made_rig(count, side)
    for number in {1, count // 2 + 1, count}:
        show(rig, number)
        assert np.abs(evaluated(rig) - found[number - 1].vertices).max() < TOLERANCE
    assert all(d.driver.is_simple_expression for d in drivers(rig))
    sums = rig.data.animation_data.drivers if rig.data.animation_data else []
    assert all(d.driver.is_simple_expression for d in sums)
    assert max(len(d.driver.expression) for d in (*drivers(rig), *sums)) < 256


def test_all_keys_at_zero_is_the_open_hand_beside_the_object() -> None:
    rig, shape, placed, _ = made_rig(2)
    show(rig, 0)
    points = evaluated(rig)
    assert np.abs(points - transform_points(placed, shape.vertices)).max() < TOLERANCE
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


def test_a_step_of_scrubbing_takes_2_ms() -> None:
    rig, _, _, _ = made_rig(16)
    times = []
    for number in range(1, 17):
        start = time.perf_counter()
        show(rig, number)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.002


def test_made_hand_skins_as_told() -> None:
    """The reference itself: at rest nothing moves, and a bent joint leaves the palm alone."""
    shape = tube_hand()
    rest = np.tile([1.0, 0, 0, 0], (16, 1))
    assert np.allclose(skinned(shape, shape.vertices, rest, np.zeros(3)), shape.vertices)
    rest[2] = (0.707, 0, 0, 0.707)
    moved = np.linalg.norm(skinned(shape, shape.vertices, rest, np.zeros(3)) - shape.vertices, axis=1) > 1e-9
    assert moved.any()
    assert not moved[shape.weights[:, [0, 4, 7, 10, 13]].sum(1) > 0.99].any()
