"""A hand posed by the animator, refined, and kept."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine, near_candidates, tube_hand
from scene import TOLERANCE, bake_at, evaluated, generate, names, select

from grasp_addon.errors import GraspError
from grasp_addon.naming import bone_names
from grasp_addon.operators import refine
from grasp_addon.rig.animation import fcurves
from grasp_addon.rig.hands import rigs, shown_candidate
from grasp_addon.transforms import transform_points


def posed_hand(mug: bpy.types.Object, side: str = "right") -> bpy.types.Object:
    """What an animator does: a hand added, moved to the mug, its fingers bent."""
    bpy.context.scene.grasp.side = side
    bpy.ops.grasp.add_hand()
    rig = bpy.context.object
    rig.location, rig.rotation_euler = mug.location + mug.location.normalized() * 0.05, (0.2, 0.4, -0.7)
    for name in bone_names(side)[1:]:
        rig.pose.bones[name].rotation_quaternion = (0.95, 0.3, 0.05, 0.02)
    rig.pose.bones[bone_names(side)[0]].location = (0.01, -0.02, 0.015)
    bpy.context.view_layer.update()
    return rig


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_refine_keeps_the_pose_and_shows_what_is_near(engine: FakeEngine, mug: bpy.types.Object, side: str,
                                                      scale: float) -> None:
    rig = posed_hand(mug, side)
    rig.scale = (scale,) * 3
    bpy.context.view_layer.update()
    mine = evaluated(rig)
    select(rig, mug)
    bpy.context.scene.grasp.count, bpy.context.scene.grasp.side = 3, "right"
    bpy.context.scene.grasp.hand_length = 0.25  # for hands to come: this one is as long as it is
    assert bpy.ops.grasp.refine() == {"FINISHED"}
    message, arrays = engine.sent[-1]
    assert (message["type"], message["side"], message["count"]) == ("fit", side, 3)
    assert message["method"] == bpy.context.scene.grasp.method
    assert message["hand_length"] == pytest.approx(0.19 * scale, rel=1e-6)
    assert (arrays["rotations"].shape, arrays["rotations"].dtype) == ((1, 16, 4), np.float64)
    assert arrays["translation"].shape == (1, 3)
    assert rigs() == [rig]
    assert rig.grasp.target == rig.parent == mug
    assert [c.key for c in rig.grasp.candidates] == ["01 Your Pose", "02 Tripod", "03 Tripod", "04 Tripod"]
    assert shown_candidate(rig) == 2
    shape = tube_hand(side, 0.19 * scale)
    near = near_candidates(shape, 3, arrays["rotations"][0], arrays["translation"][0])
    frame = np.array(mug.matrix_world)
    for place, one in enumerate(near):
        bpy.ops.grasp.show(candidate=2 + place)
        assert np.abs(evaluated(rig) - transform_points(frame, one.vertices)).max() < TOLERANCE * scale
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(rig) - mine).max() < TOLERANCE * scale
    bpy.ops.grasp.bake()
    assert np.abs(evaluated(rig) - mine).max() < TOLERANCE * scale


def test_both_names_do_the_same(engine: FakeEngine, mug: bpy.types.Object) -> None:
    """`grasp.fit` is what files, keymaps and scripts of 0.1.0 say for `grasp.refine`."""
    came = {}
    bpy.context.scene.grasp.count = 2
    for name in ("refine", "fit"):
        rig = posed_hand(mug)
        select(rig, mug)
        operator = getattr(bpy.ops.grasp, name)
        assert operator.poll()
        assert operator() == {"FINISHED"}
        message, arrays = engine.sent[-1]
        came[name] = ({n: v for n, v in message.items() if n != "id"}, arrays["rotations"].tolist(),
                      [(c.key, c.score, c.own, c.channels) for c in rig.grasp.candidates])
        bpy.ops.grasp.remove()
        assert not operator.poll()
    assert came["refine"] == came["fit"]
    assert len(came["refine"][2]) == 3


def test_it_follows_the_object_from_where_it_is(engine: FakeEngine, mug: bpy.types.Object) -> None:
    mug.scale = (1, 2, 0.7)
    rig = posed_hand(mug)
    select(rig, mug)
    bpy.ops.grasp.refine()
    before, world = evaluated(rig), np.array(mug.matrix_world)
    mug.location.x += 0.5
    bpy.context.view_layer.update()
    assert np.abs(evaluated(rig) - before - [0.5, 0, 0]).max() < TOLERANCE
    assert not np.array_equal(world, np.array(mug.matrix_world))


def test_refining_again_keeps_every_pose_of_the_animators_once(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = posed_hand(mug)
    mine = evaluated(rig)
    select(rig, mug)
    bpy.context.scene.grasp.count = 2
    bpy.ops.grasp.refine()
    bpy.ops.grasp.show(candidate=1)
    bpy.ops.grasp.refine()
    assert [c.own for c in rig.grasp.candidates] == [True, False, False]
    bpy.ops.grasp.show(candidate=3)
    third = evaluated(rig)
    select(mug)  # the hand belongs to it by now
    bpy.ops.grasp.refine()
    assert [c.own for c in rig.grasp.candidates] == [True, True, False, False]
    for place, points in ((1, mine), (2, third)):
        bpy.ops.grasp.show(candidate=place)
        assert np.abs(evaluated(rig) - points).max() < TOLERANCE
    generate(count=3)
    assert rigs() == [rig]
    assert [c.own for c in rig.grasp.candidates] == [True, True, False, False, False]
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(rig) - mine).max() < TOLERANCE


def test_a_baked_hand_is_refined_where_its_keys_put_it(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig, scene = generate(count=2), bpy.context.scene
    bake_at({1: 1, 21: 2})
    rig.location.x += 0.02  # random poses may lie far away; the mug is near them all the same
    scene.frame_set(11)
    between = evaluated(rig)
    keys = [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]
    bpy.ops.grasp.refine()
    assert [c.baked for c in rig.grasp.candidates] == [True, True, True, False, False]
    bpy.ops.grasp.show(candidate=3)
    assert np.abs(evaluated(rig) - between).max() < 1e-4
    scene.frame_set(12)
    scene.frame_set(11)
    assert np.abs(evaluated(rig) - between).max() < TOLERANCE
    assert keys == [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]


def test_keys_the_animator_made_play_on(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig, scene = posed_hand(mug), bpy.context.scene
    bone = rig.pose.bones["f_index.01.R"]
    for frame, turn in ((1, (0.9, 0.4, 0, 0)), (20, (1.0, 0, 0, 0))):
        bone.rotation_quaternion = turn
        bone.keyframe_insert("rotation_quaternion", frame=frame)
    scene.frame_set(1)
    mine = evaluated(rig)
    select(rig, mug)
    bpy.ops.grasp.refine()
    bpy.ops.grasp.show(candidate=3)
    assert np.abs(evaluated(rig) - mine).max() > 1e-3
    scene.frame_set(20)
    moved = evaluated(rig)
    scene.frame_set(1)
    assert np.abs(evaluated(rig) - mine).max() < TOLERANCE
    assert np.abs(moved - mine).max() > 0.01


def test_what_is_missing_is_said(engine: FakeEngine, mug: bpy.types.Object) -> None:
    assert not bpy.ops.grasp.refine.poll()
    with pytest.raises(RuntimeError, match="no hand yet: press Add Hand"):
        bpy.ops.grasp.refine()
    rig = posed_hand(mug)
    select(rig)
    with pytest.raises(RuntimeError, match="Select the object"):
        bpy.ops.grasp.refine()
    select(mug)
    with pytest.raises(RuntimeError, match="Select the hand you posed"):
        bpy.ops.grasp.refine()
    select(rig, mug)
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="Edit Mode"):
        bpy.ops.grasp.refine()
    bpy.ops.object.mode_set(mode="OBJECT")
    select(rig.grasp.mesh, mug)
    assert bpy.ops.grasp.refine.poll()


@pytest.mark.parametrize("scale, sentence", [((-1, 1, 1), "mirrored by a negative scale"), ((1, 2, 1), "stretched")])
def test_a_hand_no_engine_has_is_a_sentence(engine: FakeEngine, mug: bpy.types.Object, scale: tuple,
                                            sentence: str) -> None:
    rig = posed_hand(mug)
    rig.scale = scale
    bpy.context.view_layer.update()
    select(rig, mug)
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.grasp.refine()


def test_far_away_another_mesh_and_nothing_found_are_sentences(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = posed_hand(mug)
    select(rig, mug)
    place = rig.location.copy()
    rig.location.x += 2
    bpy.context.view_layer.update()
    with pytest.raises(RuntimeError, match=r"hand lengths away from Mug: pose it"):
        bpy.ops.grasp.refine()
    rig.location = place
    bpy.context.view_layer.update()
    before = names()
    engine.count = 0
    with pytest.raises(RuntimeError, match="No grasp of Mug was found near this pose"):
        bpy.ops.grasp.refine()
    engine.count, engine.fails = None, "The weights are missing."
    with pytest.raises(RuntimeError, match="weights are missing"):
        bpy.ops.grasp.refine()
    engine.fails = ""
    select(rig.grasp.mesh, mug)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.grasp.mesh.data.vertices[0].select = True
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.delete(type="VERT")
    bpy.ops.object.mode_set(mode="OBJECT")
    with pytest.raises(RuntimeError, match="its mesh was edited"):
        bpy.ops.grasp.refine()
    assert names() == before


def test_stopped_while_the_hand_was_removed(engine: FakeEngine, mug: bpy.types.Object) -> None:
    rig = posed_hand(mug)
    select(rig, mug)
    job = refine.begin(bpy.context)
    for message, arrays in job.request.wait():
        job.receive(message, arrays)
    for message, arrays in job.request.wait():
        job.receive(message, arrays)
    bpy.ops.grasp.remove()
    with pytest.raises(GraspError, match="was removed meanwhile"):
        job.finish(bpy.context)


def test_remove_takes_all_of_it(engine: FakeEngine, mug: bpy.types.Object) -> None:
    before = names()
    rig = posed_hand(mug)
    select(rig, mug)
    bpy.ops.grasp.refine()
    bpy.ops.grasp.remove()
    assert names() == before
