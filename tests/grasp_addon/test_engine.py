"""The add-on with the real engine behind it: a click, and what may happen to the process."""

from __future__ import annotations

import os
import signal
import sys
import time

import bpy
import numpy as np
import pytest

from grasp_addon import engine_link, preferences
from grasp_addon.engine.client import EngineClient
from grasp_addon.errors import GraspError

COMMAND = [os.environ.get("GRASP_ENGINE_PYTHON", sys.executable), "-m", "core.worker"]
VARIABLES = {"PYTHONPATH": str(preferences.ROOT), "OMP_NUM_THREADS": "1"}


def answer(client, number, seconds=60):
    """All replies to a request, until its result or error."""
    until, found = time.monotonic() + seconds, []
    while time.monotonic() < until:
        found += [reply for reply in client.poll() if reply[0]["id"] == number]
        if found and found[-1][0]["type"] in ("result", "error"):
            return found
        time.sleep(0.01)
    raise AssertionError("no answer")


@pytest.fixture
def client():
    client = EngineClient(COMMAND, VARIABLES)
    yield client
    client.close()


@pytest.fixture
def real_engine(monkeypatch):
    monkeypatch.setattr(preferences, "engine_command", lambda _context: (COMMAND, VARIABLES))
    yield
    engine_link.stop()


def test_a_click_makes_the_hands_the_engine_sends(real_engine, mug, monkeypatch):
    sent = []
    received = engine_link.candidate
    monkeypatch.setattr(engine_link, "candidate", lambda *a: sent.append(received(*a)) or sent[-1])
    bpy.context.scene.grasp.count = 3
    frame = np.array(mug.matrix_world)
    assert bpy.ops.grasp.generate() == {"FINISHED"}
    rig = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert len(rig.grasp.candidates) == 3
    for place in (1, 2, 3):
        bpy.ops.grasp.show(candidate=place)
        mesh = rig.grasp.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        shown = np.array([mesh.matrix_world @ v.co for v in mesh.data.vertices])
        errors = [np.abs(shown - (c.vertices @ frame[:3, :3].T + frame[:3, 3])).max() for c in sent]
        assert min(errors) < 1e-5


def test_killing_the_engine_is_a_sentence_and_the_next_click_works(real_engine, mug):
    client = engine_link.client(*preferences.engine_command(bpy.context))
    answer(client, client.send({"type": "hello", "side": "right"}))
    arrays = {"vertices": np.eye(3), "faces": np.array([[0, 1, 2]], np.int32)}
    number = client.send({"type": "generate", "count": 64}, arrays)
    os.kill(client._process.pid, signal.SIGKILL)
    with pytest.raises(GraspError, match="The engine ended"):
        answer(client, number)
    assert not client.alive
    bpy.context.scene.grasp.count = 1
    assert bpy.ops.grasp.generate() == {"FINISHED"}


def test_a_program_that_is_not_there():
    with pytest.raises(GraspError, match="cannot be started"):
        EngineClient(["/no/such/python", "-m", "core.worker"])


@pytest.mark.parametrize("code, sentence", [
    ("print('hello there')", "does not speak as an engine does: hello there"),
    ("import sys; sys.exit('No module named torch')", "No module named torch"),
    ("", "ended without a word"),
])
def test_a_program_that_is_no_engine(code, sentence):
    client = EngineClient([sys.executable, "-c", code])
    client.send({"type": "hello"})
    with pytest.raises(GraspError, match=sentence):
        answer(client, 1, 20)
    client.close()


def test_close_ends_the_process(client):
    answer(client, client.send({"type": "hello"}))
    process = client._process
    client.close()
    assert process.poll() is not None
    assert not client.alive


def test_a_large_object_does_not_hold_up_blender(client):
    """60 MB on the way in: sending returns at once, whatever the pipe takes."""
    start = time.monotonic()
    number = client.send({"type": "dance"}, {"vertices": np.zeros((2_500_000, 3))})
    assert time.monotonic() - start < 0.5
    assert "does not know" in answer(client, number)[-1][0]["message"]


def evaluated(rig):
    """(V, 3) the hand as Blender shows it, world."""
    bpy.context.view_layer.update()
    mesh = rig.grasp.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = np.empty(3 * len(mesh.data.vertices), np.float32)
    mesh.data.vertices.foreach_get("co", points)
    return points.reshape(-1, 3) @ np.array(mesh.matrix_world)[:3, :3].T + np.array(mesh.matrix_world)[:3, 3]


@pytest.mark.parametrize("length", [0.19, 1.9])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_real_hand_shown_is_the_cores(client, side, length):
    """Random poses of the embedded hand, skinned as core skins them, in a scene of any scale."""
    from made_hand import made_candidates

    from grasp_addon import scrub
    from grasp_addon.bone_frames import open_hand_beside
    from grasp_addon.candidates import replace_candidates
    from grasp_addon.rig import build_hand

    message, arrays = answer(client, client.send({"type": "hello", "side": side}))[-1]
    shape = engine_link.hand_shape(message, arrays, length)
    found = made_candidates(shape, 64)
    placed = open_hand_beside(shape, np.full(3, -0.05 * length), np.full(3, 0.05 * length))
    rig = build_hand(bpy.context, shape, placed, np.eye(4), "Mug")
    replace_candidates(rig, found, np.eye(4))
    for number in (1, 16, 64):
        scrub.show(rig, number)
        assert np.abs(evaluated(rig) - found[number - 1].vertices).max() < 1e-5 * length / 0.19


def test_a_scene_in_other_units_gets_a_hand_of_its_size_on_the_object(real_engine, mug):
    scene = bpy.context.scene
    scene.grasp.count, scene.grasp.hand_length = 1, 1.9
    mug.scale = (10, 10, 10)
    bpy.context.view_layer.update()
    bpy.ops.grasp.generate()
    rig = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    bpy.ops.grasp.show(candidate=1)
    bones = rig.data.bones
    middle = [bones[f"f_middle.0{n}.R"].length for n in (1, 2, 3)]
    assert 0.7 < sum(middle) < 1.3  # metres: ten times a finger of 10 cm
    local = (evaluated(rig) - np.array(mug.matrix_world)[:3, 3]) @ np.linalg.inv(np.array(mug.matrix_world)[:3, :3]).T
    outside = np.linalg.norm(local[:, :2], axis=1) - 0.04  # radius of the mug, before its scale
    assert np.sort(outside[np.abs(local[:, 2]) < 0.05])[5] < 0.002


def test_a_default_cube_is_told_its_size_and_grasped_after_the_button(real_engine):
    bpy.ops.mesh.primitive_cube_add(size=2)
    with pytest.raises(RuntimeError, match="2 x 2 x 2 units"):
        bpy.ops.grasp.generate()
    assert bpy.ops.grasp.set_hand_length() == {"FINISHED"}
    bpy.context.scene.grasp.count = 1
    assert bpy.ops.grasp.generate() == {"FINISHED"}
    rig = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert np.ptp(evaluated(rig), axis=0).max() > 2


def test_use_goes_by_vertex_groups_and_without_them_there_is_a_sentence(real_engine, mug):
    scene = bpy.context.scene
    scene.grasp.count, scene.grasp.intent = 2, "use"
    with pytest.raises(RuntimeError, match="vertex group"):
        bpy.ops.grasp.generate()
    mug.scale, mug.rotation_euler = (0.4, 0.4, 2.5), (0, 0, 0)  # a rod of 3.2 by 25 cm
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide(number_cuts=8)
    bpy.ops.object.mode_set(mode="OBJECT")
    low = [v.index for v in mug.data.vertices if v.co.z < 0.01]
    mug.vertex_groups.new(name="handle").add(low, 1.0, "REPLACE")
    bpy.context.view_layer.update()
    assert bpy.ops.grasp.generate() == {"FINISHED"}
    rig = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    middle = mug.matrix_world.translation.z
    for place in range(1, len(rig.grasp.candidates) + 1):
        bpy.ops.grasp.show(candidate=place)
        shown = evaluated(rig)
        around = np.linalg.norm((shown - np.array(mug.matrix_world.translation))[:, :2], axis=1) < 0.02
        assert (shown[around, 2] < middle + 0.015).mean() > 0.6


def test_a_hand_file_that_is_none_is_a_sentence_and_nothing_is_changed(real_engine, mug, monkeypatch, tmp_path):
    wrong = tmp_path / "MANO_RIGHT.pkl"
    wrong.write_bytes(b"not a hand")
    monkeypatch.setattr(preferences, "hand_file", lambda _context: str(wrong))
    before = set(bpy.data.objects)
    with pytest.raises(RuntimeError, match="MANO_RIGHT"):
        bpy.ops.grasp.generate()
    assert set(bpy.data.objects) == before


def test_stopping_keeps_what_there_is(real_engine, mug):
    """What ESC and the cross do, step for step as the window's timer does it."""
    from grasp_addon import generate

    bpy.context.scene.grasp.count = 64
    work = generate.begin(bpy.context)
    until = time.monotonic() + 60
    while not work.found and time.monotonic() < until:
        for message, arrays in work.request.poll():
            work.take(message, arrays)
        time.sleep(0.02)
    asked = time.monotonic()
    work.request.cancel()
    while not work.done:
        for message, arrays in work.request.poll():
            work.take(message, arrays)
        time.sleep(0.005)
    assert time.monotonic() - asked < 1.5  # a second, and what a busy machine takes
    assert 1 <= len(work.found) < 64
    assert f"{len(work.found)} grasps of the 64" in generate.finish(bpy.context, work)
    assert len(next(o for o in bpy.data.objects if o.type == "ARMATURE").grasp.candidates) == len(work.found)


def test_the_ready_engine_answers_within_five_seconds():
    took = []
    for _ in range(3):  # a loaded machine may need a second try; a slow engine fails all
        begin = time.monotonic()
        one = EngineClient(COMMAND, VARIABLES)
        try:
            answer(one, one.send({"type": "hello", "side": "right"}))
        finally:
            one.close()
        took.append(time.monotonic() - begin)
        if took[-1] < 5:
            break
    assert min(took) < 5, took
