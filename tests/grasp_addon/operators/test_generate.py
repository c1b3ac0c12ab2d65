"""Generate Grasps, again and again, and what it says when it cannot."""

from __future__ import annotations

import time

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, evaluated, expected, generate, names

from grasp_addon.engine import session
from grasp_addon.operators.generate import begin
from grasp_addon.operators.mixins import status
from grasp_addon.rig.hands import rigs, shown_candidate


def test_generate_puts_the_best_on_the_object(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    assert [round(c.score, 3) for c in rig.grasp.candidates] == [1.0, 0.8, 0.6, 0.4]
    assert shown_candidate(rig) == 1
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE
    assert rig.parent == mug
    assert bpy.context.view_layer.objects.active == mug
    assert mug.select_get()


def test_hand_follows_the_object_and_a_stretched_parent_does_not_deform_it(engine: FakeEngine,
                                                                           mug: bpy.types.Object) -> None:
    mug.scale = (1.0, 2.0, 0.5)
    bpy.context.view_layer.update()
    rig = generate()
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE
    mug.location, mug.rotation_euler = (1, 2, 3), (1, 0, 2)
    bpy.context.view_layer.update()
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE


def test_left_and_unparented(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate(side="left", parent=False)
    assert rig.parent is None
    assert "hand.L" in rig.pose.bones
    assert np.abs(evaluated(rig) - expected(mug, 1, side="left")).max() < TOLERANCE


def test_generate_again_replaces_what_was_not_baked(engine: FakeEngine, mug: bpy.types.Object) -> None:
    first = generate().name
    generate(seed=5)
    assert len(rigs()) == 1
    assert rigs()[0].name == first
    assert np.abs(evaluated(rigs()[0]) - expected(mug, 1, seed=5)).max() < TOLERANCE


def test_generate_again_keeps_what_was_baked(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(), bpy.context.scene
    scene.frame_set(3)
    bpy.ops.grasp.show(candidate=2)
    bpy.ops.grasp.bake()
    mug.location.x += 1.0
    bpy.context.view_layer.update()
    again = generate(seed=7)
    assert again == rig
    assert [c.number for c in rig.grasp.candidates] == [2, 1, 3, 4, 5]
    assert shown_candidate(rig) == 2
    assert np.abs(evaluated(rig) - expected(mug, 1, seed=7)).max() < TOLERANCE
    scene.frame_set(4)
    assert np.abs(evaluated(rig) - expected(mug, 2)).max() < TOLERANCE, "the look ends with the frame"


def test_a_candidate_keyed_by_hand_is_kept(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = generate()
    rig.grasp.mesh.data.shape_keys.key_blocks[1].keyframe_insert("value", frame=1)
    generate(seed=3)
    assert len(rig.grasp.candidates) == 5


def test_an_error_of_the_engine_changes_nothing(engine: FakeEngine, mug: bpy.types.Object) -> None:
    generate()
    before = names()
    engine.fails = "The disk is full: free some space and try again."
    with pytest.raises(RuntimeError, match="disk is full"):
        bpy.ops.grasp.generate()
    assert names() == before
    assert "disk is full" in status.message


def test_no_grasp_found_is_said(engine: FakeEngine, mug: bpy.types.Object) -> None:
    engine.count = 0
    with pytest.raises(RuntimeError, match="No grasp of Mug was found"):
        bpy.ops.grasp.generate()
    assert not rigs()


def test_without_an_engine_a_sentence_leads_to_the_preferences(mug: bpy.types.Object) -> None:
    with pytest.raises(RuntimeError, match="No engine is chosen"):
        bpy.ops.grasp.generate()
    assert status.advice == "preferences"


def test_edit_mode_is_put_back(engine: FakeEngine, mug: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    generate()
    assert bpy.context.mode == "EDIT_MESH"
    assert bpy.context.object == mug


def test_the_fit_switch_travels_and_the_engine_says_who_needs_none(engine: FakeEngine, mug: bpy.types.Object) -> None:
    assert bpy.context.scene.grasp.fit
    generate()
    assert engine.sent[-1][0]["fit"] is True
    generate(fit=False)
    assert engine.sent[-1][0]["fit"] is False
    assert session.info().fitting == {"synthesis"}
    session.learn({"methods": [{"name": "synthesis"}]})
    assert not session.info().fitting


def test_64_candidates_are_written_in_a_tenth_of_a_second(engine: FakeEngine, mug: bpy.types.Object) -> None:
    """The window is held meanwhile. The first time a hand is made, then one with as many candidates is replaced."""
    bpy.context.scene.grasp.count = 64
    taken = []
    for _ in range(4):
        job = begin(bpy.context)
        job.wait()
        started = time.process_time()
        assert job.finish(bpy.context) == "64 grasps on Mug"
        taken.append(time.process_time() - started)
        bpy.context.view_layer.update()
    assert min(taken) < 0.1, taken
