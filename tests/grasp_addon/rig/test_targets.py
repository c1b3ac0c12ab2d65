"""The object moved, renamed, edited, deleted or elsewhere while the engine works: the hand on it, or a sentence."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from mathutils import Matrix
from scene import TOLERANCE, evaluated, expected, names, select

from grasp_addon.errors import GraspError
from grasp_addon.operators import generate, refine
from grasp_addon.operators.job import CandidateJob
from grasp_addon.rig.hands import rigs
from grasp_addon.rig.targets import rigid_motion
from grasp_addon.transforms import transform_points


def replied(job: CandidateJob) -> CandidateJob:
    """The job with all that the engine answers."""
    while not job.done:
        for message, arrays in job.request.wait():
            job.receive(message, arrays)
    return job


def generated() -> CandidateJob:
    bpy.context.scene.grasp.count = 4
    return replied(generate.begin(bpy.context))


def moved(mug: bpy.types.Object) -> None:
    mug.matrix_world = Matrix.Translation((1, 0, 2)) @ mug.matrix_world @ Matrix.Rotation(1.0, 4, "Y")


def played(mug: bpy.types.Object) -> None:
    mug.keyframe_insert("location", frame=1)
    mug.location.x += 1
    mug.keyframe_insert("location", frame=40)
    bpy.context.scene.frame_set(20)


def renamed(mug: bpy.types.Object) -> None:
    mug.name = "Cup"
    bpy.context.collection.objects.link(bpy.data.objects.new("Mug", mug.data))


def hidden(mug: bpy.types.Object) -> None:
    mug.hide_set(True)


def in_edit_mode(mug: bpy.types.Object) -> None:
    moved(mug)
    bpy.ops.object.mode_set(mode="EDIT")


def deselected(mug: bpy.types.Object) -> None:
    moved(mug)
    bpy.ops.object.camera_add()
    select(bpy.context.object)


@pytest.mark.parametrize("change", [moved, played, renamed, hidden, in_edit_mode, deselected])
def test_the_hand_lies_on_the_object_as_it_is(engine: FakeEngine, mug: bpy.types.Object,
                                              change: Callable[[bpy.types.Object], None]) -> None:
    job = generated()
    change(mug)
    assert job.finish(bpy.context) == f"4 grasps on {mug.name}"
    rig = rigs()[0]
    assert (rig.grasp.target, rig.parent) == (mug, mug)
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE
    moved(mug)
    assert np.abs(evaluated(rig) - expected(mug, 1)).max() < TOLERANCE


def test_a_moved_origin_leaves_the_hand_on_the_surface(engine: FakeEngine, mug: bpy.types.Object) -> None:
    job = generated()
    there = expected(mug, 1)
    shift = Matrix.Translation((0.1, 0, 0.3)) @ Matrix.Rotation(0.7, 4, "X")
    mug.data.transform(shift)
    mug.matrix_world = mug.matrix_world @ shift.inverted()
    job.finish(bpy.context)
    assert np.abs(evaluated(rigs()[0]) - there).max() < TOLERANCE


def deleted(mug: bpy.types.Object) -> None:
    bpy.data.objects.remove(mug)


def replaced(mug: bpy.types.Object) -> None:
    data = mug.data
    bpy.data.objects.remove(mug)
    bpy.context.collection.objects.link(bpy.data.objects.new("Mug", data))


def grown(mug: bpy.types.Object) -> None:
    mug.scale.x = 1.2


def dented(mug: bpy.types.Object) -> None:
    mug.data.vertices[3].co *= 0.9


def cut(mug: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide()


def in_another_scene(_mug: bpy.types.Object) -> None:
    bpy.context.window.scene = bpy.data.scenes.new("Other")


def disabled(mug: bpy.types.Object) -> None:
    mug.hide_viewport = True


def excluded(mug: bpy.types.Object) -> None:
    collection = bpy.data.collections.new("Props")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(mug)
    bpy.context.scene.collection.objects.unlink(mug)
    bpy.context.view_layer.layer_collection.children["Props"].exclude = True


@pytest.mark.parametrize(("change", "sentence"), [
    (deleted, "Mug was deleted"), (replaced, "Mug was deleted"), (grown, "another shape or size"),
    (dented, "another shape or size"), (cut, "another shape or size"), (in_another_scene, "not in the scene Other"),
    (excluded, "excluded from the view layer"), (disabled, "disabled in viewports")])
def test_what_the_grasps_do_not_fit_gets_a_sentence(engine: FakeEngine, mug: bpy.types.Object, sentence: str,
                                                    change: Callable[[bpy.types.Object], None]) -> None:
    job = generated()
    change(mug)
    before = names()
    with pytest.raises(GraspError, match=sentence) as error:
        job.finish(bpy.context)
    assert "Nothing was changed" in str(error.value)
    assert names() == before


def test_a_deleted_part_is_said(engine: FakeEngine, mug: bpy.types.Object) -> None:
    bpy.ops.mesh.primitive_torus_add(major_radius=0.03, minor_radius=0.008)
    handle = bpy.context.object
    handle.parent = mug
    select(mug)
    job = generated()
    bpy.data.objects.remove(handle)
    with pytest.raises(GraspError, match="A part of Mug was deleted"):
        job.finish(bpy.context)


def test_an_object_of_the_same_name_from_another_file_is_another(engine: FakeEngine, mug: bpy.types.Object,
                                                                 tmp_path: object) -> None:
    file = str(tmp_path / "props.blend")
    bpy.data.libraries.write(file, {mug})
    with bpy.data.libraries.load(file, link=True) as (_, wanted):
        wanted.objects = ["Mug"]
    linked = wanted.objects[0]
    bpy.context.collection.objects.link(linked)
    select(linked)
    job = generated()
    job.finish(bpy.context)
    rig = rigs()[0]
    assert (rig.grasp.target, rig.parent) == (linked, linked)
    assert linked.library
    assert refine.objects_to_hold(bpy.context, rig) == [linked]


def test_refined_on_the_object_where_it_is_by_the_hand_that_is_meant(engine: FakeEngine,
                                                                    mug: bpy.types.Object) -> None:
    bpy.ops.grasp.add_hand()
    rig = bpy.context.object
    rig.location = mug.location
    select(rig, mug)
    bpy.context.scene.grasp.count = 3
    job = replied(refine.begin(bpy.context))
    best = job.best[0].vertices
    rig.name = "Left Glove"
    bpy.context.collection.objects.link(bpy.data.objects.new("Hand.R", None))
    moved(mug)
    bpy.context.view_layer.update()
    job.finish(bpy.context)
    assert rigs() == [rig]
    assert len(rig.grasp.candidates) == 4
    assert np.abs(evaluated(rig) - transform_points(np.array(mug.matrix_world), best)).max() < TOLERANCE


def test_a_hand_that_grew_meanwhile_is_a_sentence(engine: FakeEngine, mug: bpy.types.Object) -> None:
    bpy.ops.grasp.add_hand()
    rig = bpy.context.object
    rig.location = mug.location
    select(rig, mug)
    job = replied(refine.begin(bpy.context))
    rig.scale = (1.3,) * 3
    bpy.context.view_layer.update()
    with pytest.raises(GraspError, match="was scaled while"):
        job.finish(bpy.context)
    assert not rig.grasp.candidates


def test_a_hand_edited_meanwhile_is_a_sentence(engine: FakeEngine, mug: bpy.types.Object) -> None:
    bpy.ops.grasp.add_hand()
    rig = bpy.context.object
    rig.location = mug.location
    select(rig, mug)
    job = replied(refine.begin(bpy.context))
    select(rig.grasp.mesh)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide()
    with pytest.raises(GraspError, match="was edited while"):
        job.finish(bpy.context)
    assert not rig.grasp.candidates


def test_undo_and_redo_meanwhile_find_the_object_again(engine: FakeEngine, mug: bpy.types.Object) -> None:
    bpy.ops.ed.undo_push(message="before")
    job = generated()
    mug.location.x += 1
    bpy.ops.ed.undo_push(message="moved")
    bpy.data.objects.remove(mug)
    bpy.ops.ed.undo_push(message="deleted")
    bpy.ops.ed.undo()
    mug = bpy.data.objects["Mug"]
    job.finish(bpy.context)
    assert rigs()[0].parent == mug
    assert np.abs(evaluated(rigs()[0]) - expected(mug, 1)).max() < TOLERANCE


def test_a_hand_left_in_edit_mode_takes_the_candidates(engine: FakeEngine, mug: bpy.types.Object) -> None:
    bpy.ops.grasp.add_hand()
    rig = bpy.context.object
    rig.location = mug.location
    select(rig, mug)
    job = replied(refine.begin(bpy.context))
    select(rig.grasp.mesh)
    bpy.ops.object.mode_set(mode="EDIT")
    job.finish(bpy.context)
    assert len(rig.grasp.mesh.data.shape_keys.key_blocks) == 2 + bpy.context.scene.grasp.count
    assert rig.grasp.mesh.mode == "OBJECT"


def test_a_motion_is_found_and_anything_else_is_none() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    motion = np.array(Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(2.0, 4, (1, 2, 3)))
    assert np.array_equal(rigid_motion(points, points), np.eye(4))
    assert np.abs(rigid_motion(points, transform_points(motion, points)) - motion).max() < 1e-6
    flat = points * [1, 1, 0]
    assert np.linalg.det(rigid_motion(flat, transform_points(motion, flat))[:3, :3]) == pytest.approx(1)
    assert rigid_motion(points, points * [-1, 1, 1]) is None
    assert rigid_motion(points, points * 1.1) is None
    assert rigid_motion(points, points[:-1]) is None
