"""What plays, renders, saves and exports is the baked animation, whatever was looked at."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, bake_at, evaluated, expected, generate

import grasp_addon
from grasp_addon.rig.drivers import drivers
from grasp_addon.rig.hands import rig_of, shown_candidate


@pytest.fixture(params=[3, 4], ids=["a look at a baked one", "a look at another"])
def looked(request: pytest.FixtureRequest, engine: FakeEngine, mug: bpy.types.Object) -> bpy.types.Object:
    """A hand baked at frames 1 and 21, looked at on frame 1."""
    rig = generate()
    bake_at({1: 1, 21: 3})
    bpy.context.scene.frame_set(1)
    bpy.ops.grasp.show(candidate=request.param)
    assert np.abs(evaluated(rig) - expected(mug, request.param)).max() < TOLERANCE
    return rig


def test_an_exporter_written_in_python_gets_the_animation(looked: bpy.types.Object, mug: bpy.types.Object) -> None:
    class EXPORT_OT_frames(bpy.types.Operator):  # noqa: N801  Blender's form
        bl_idname = "export.frames"
        bl_label = "Export Frames"

        def execute(self, context: bpy.types.Context) -> set[str]:
            for frame in (1, 2):
                context.scene.frame_set(frame)
                taken.append(evaluated(looked))
            return {"FINISHED"}

    taken: list[np.ndarray] = []
    bpy.utils.register_class(EXPORT_OT_frames)
    try:
        bpy.ops.export.frames()
    finally:
        bpy.utils.unregister_class(EXPORT_OT_frames)
    assert np.abs(taken[0] - expected(mug, 1)).max() < TOLERANCE
    assert not looked.grasp.looking


def test_fbx_and_alembic_hold_the_animation_from_the_first_frame(looked: bpy.types.Object, mug: bpy.types.Object,
                                                                 tmp_path: Path) -> None:
    scene, look = bpy.context.scene, looked.grasp.look
    scene.frame_start, scene.frame_end = 1, 21
    bpy.ops.export_scene.fbx(filepath=str(tmp_path / "hand.fbx"))
    scene.frame_set(1)
    bpy.ops.grasp.show(candidate=look)
    bpy.ops.wm.alembic_export(filepath=str(tmp_path / "hand.abc"), start=1, end=21)
    told = {frame: expected(mug, number) for frame, number in ((1, 1), (21, 3))}
    for kind, opened in (("fbx", bpy.ops.import_scene.fbx), ("abc", bpy.ops.wm.alembic_import)):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        opened(filepath=str(tmp_path / f"hand.{kind}"))
        mesh = next(o for o in bpy.data.objects if o.type == "MESH" and "Hand" in o.name)
        for frame, points in told.items():
            bpy.context.scene.frame_set(frame)
            shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
            found = np.array([shown.matrix_world @ v.co for v in shown.data.vertices])
            assert np.abs(np.sort(found, axis=0) - np.sort(points, axis=0)).max() < 20 * TOLERANCE, (kind, frame)


def test_what_is_saved_is_the_animation_without_the_addon(looked: bpy.types.Object, mug: bpy.types.Object,
                                                          tmp_path: Path) -> None:
    look, told = looked.grasp.look, {f: expected(mug, n) for f, n in ((1, 1), (21, 3))}
    path, mesh = str(tmp_path / "shot.blend"), looked.grasp.mesh.name
    bpy.ops.wm.save_as_mainfile(filepath=path)
    assert shown_candidate(rig_of(bpy.context)) == look, "the look goes on"
    assert looked.grasp.looking
    grasp_addon.unregister()
    try:
        bpy.ops.wm.open_mainfile(filepath=path)
        for frame in (1, 21, 1):
            if frame == 21:
                bpy.context.scene.frame_set(frame)
            shown = bpy.data.objects[mesh].evaluated_get(bpy.context.evaluated_depsgraph_get())
            found = np.array([shown.matrix_world @ v.co for v in shown.data.vertices])
            assert np.abs(found - told[frame]).max() < TOLERANCE
            bpy.context.scene.frame_set(1)
    finally:
        grasp_addon.register()
    assert all(d.mute for d in drivers(rig_of(bpy.context)))


def test_the_addon_switched_off_ends_a_look(looked: bpy.types.Object, mug: bpy.types.Object) -> None:
    mesh = looked.grasp.mesh
    grasp_addon.unregister()
    try:
        bpy.context.scene.frame_set(1)
        shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        found = np.array([shown.matrix_world @ v.co for v in shown.data.vertices])
        assert np.abs(found - expected(mug, 1)).max() < TOLERANCE
    finally:
        grasp_addon.register()


def test_a_still_shows_the_animation(looked: bpy.types.Object, mug: bpy.types.Object, tmp_path: Path) -> None:
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera, scene.render.engine, scene.cycles.samples = camera, "CYCLES", 1
    scene.render.resolution_x = scene.render.resolution_y = 8
    scene.render.filepath = str(tmp_path / "still.png")
    bpy.ops.render.render(write_still=True)
    assert not looked.grasp.looking
    assert np.abs(evaluated(looked) - expected(mug, 1)).max() < TOLERANCE
