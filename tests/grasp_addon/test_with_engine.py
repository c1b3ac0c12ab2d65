"""The add-on with the real engine behind it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from real_engine import COMMAND, VARIABLES, answer
from scene import bake_at, evaluated, names, select

from grasp_addon.engine import command, requests, session
from grasp_addon.engine.client import EngineClient
from grasp_addon.engine.types import Candidate
from grasp_addon.errors import GraspError
from grasp_addon.operators import generate
from grasp_addon.operators.mixins import status
from grasp_addon.rig.animation import fcurves
from grasp_addon.rig.build import build_hand
from grasp_addon.rig.candidates import replace_candidates
from grasp_addon.rig.frames import open_hand_beside
from grasp_addon.rig.hands import rigs
from grasp_addon.rig.scrub import show


@pytest.fixture
def own_engine(monkeypatch):
    """An engine started at the first click and ended with the test."""
    monkeypatch.setattr(command, "engine_command", lambda _context: (COMMAND, VARIABLES))
    yield
    session.stop()


@pytest.fixture(scope="module")
def running_engine():
    client = EngineClient(COMMAND, VARIABLES)
    yield client
    client.close()


@pytest.fixture
def real_engine(monkeypatch, running_engine):
    """The engine that all of these tests share, since starting one takes seconds."""
    monkeypatch.setattr(command, "engine_command", lambda _context: (COMMAND, VARIABLES))
    monkeypatch.setattr(session, "client", lambda *_: running_engine)


@pytest.fixture(scope="module")
def greetings(running_engine):
    """The handshake's reply for each side."""
    return {side: answer(running_engine, running_engine.send({"type": "hello", "side": side}))[-1]
            for side in ("right", "left")}


def test_a_click_makes_the_hands_the_engine_sends(own_engine, mug, monkeypatch):
    sent = []
    received = requests.candidate
    monkeypatch.setattr(requests, "candidate", lambda *a: sent.append(received(*a)) or sent[-1])
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


def test_killing_the_engine_is_a_sentence_and_the_next_click_works(own_engine, mug):
    client = session.client(*command.engine_command(bpy.context))
    answer(client, client.send({"type": "hello", "side": "right"}))
    arrays = {"vertices": np.eye(3), "faces": np.array([[0, 1, 2]], np.int32)}
    number = client.send({"type": "generate", "count": 64}, arrays)
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(GraspError, match="The engine ended"):
        answer(client, number)
    assert not client.alive
    bpy.context.scene.grasp.count = 1
    assert bpy.ops.grasp.generate() == {"FINISHED"}


@pytest.fixture(scope="module")
def posed_by_core(tmp_path_factory):
    """64 hands bent at random within their joints' limits, posed by `core.pipeline` in the engine's Python."""
    path = tmp_path_factory.mktemp("core") / "hands.npz"
    script = Path(__file__).with_name("pose_hands.py")
    subprocess.run([COMMAND[0], str(script), str(path)], check=True, env={**os.environ, **VARIABLES})
    with np.load(path) as file:
        return dict(file)


def cores_candidates(posed, side, length):
    arrays = [posed[f"{side} {length} {name}"] for name in ("rest_vertices", "rotations", "translation", "vertices")]
    return [Candidate(*rows, 64.0 - place, "tripod", {}) for place, rows in enumerate(zip(*arrays, strict=True))]


@pytest.mark.parametrize("count", [1, 16, 64])
@pytest.mark.parametrize("length", [0.19, 1.9])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_real_hand_shown_is_the_cores(greetings, posed_by_core, side, length, count):
    """Evaluated mesh against core's vertices, in a scene of any scale."""
    shape = requests.hand_shape(*greetings[side], length)
    found = cores_candidates(posed_by_core, side, length)[:count]
    placed = open_hand_beside(shape, np.full(3, -0.05 * length), np.full(3, 0.05 * length))
    rig = build_hand(bpy.context, shape, placed, np.eye(4), "Mug")
    replace_candidates(rig, found, np.eye(4))
    for number in {1, count // 2 + 1, count}:
        show(rig, number)
        assert np.abs(evaluated(rig) - found[number - 1].vertices).max() < 1e-5 * length / 0.19


def test_baked_the_real_hand_is_the_cores_at_its_frames_and_goes_without_a_trace(real_engine, mug, monkeypatch):
    sent, received = [], requests.candidate
    monkeypatch.setattr(requests, "candidate", lambda *a: sent.append(received(*a)) or sent[-1])
    scene, before, frame = bpy.context.scene, names(), np.array(mug.matrix_world)
    scene.grasp.count = 2
    bpy.ops.grasp.generate()
    rig = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    cores = [c.vertices @ frame[:3, :3].T + frame[:3, 3] for c in sorted(sent, key=lambda c: -c.score)]
    bake_at({1: 1, 21: 2})
    for time_, number in ((1, 1), (21, 2)):
        scene.frame_set(time_)
        assert np.abs(evaluated(rig) - cores[number - 1]).max() < 1e-5
    scene.frame_set(11)
    assert min(np.abs(evaluated(rig) - one).max() for one in cores) > 0.003
    keys = [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]
    bpy.ops.grasp.show(candidate=2)
    assert np.abs(evaluated(rig) - cores[1]).max() < 1e-5
    assert keys == [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]
    bpy.ops.grasp.remove()
    assert names() == before


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
    assert bpy.ops.grasp.generate() == {"FINISHED"}
    assert "which part of this object is held" in status.message
    assert "vertex group" in status.message
    bpy.ops.grasp.remove()
    select(mug)
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
    monkeypatch.setattr(command, "hand_file", lambda _context: str(wrong))
    before = set(bpy.data.objects)
    with pytest.raises(RuntimeError, match="MANO_RIGHT"):
        bpy.ops.grasp.generate()
    assert set(bpy.data.objects) == before


def test_stopping_keeps_what_there_is(real_engine, mug):
    """What ESC and the cross do, step for step as the window's timer does it."""
    bpy.context.scene.grasp.count = 64
    job = generate.begin(bpy.context)
    until = time.monotonic() + 60
    while not job.found and time.monotonic() < until:
        for message, arrays in job.request.poll():
            job.receive(message, arrays)
        time.sleep(0.02)
    asked = time.monotonic()
    job.request.cancel()
    while not job.done:
        for message, arrays in job.request.poll():
            job.receive(message, arrays)
        time.sleep(0.005)
    assert time.monotonic() - asked < 1.5  # a second, and what a busy machine takes
    assert 1 <= len(job.found) < 64
    assert f"{len(job.found)} grasps of the 64" in job.finish(bpy.context)
    assert len(next(o for o in bpy.data.objects if o.type == "ARMATURE").grasp.candidates) == len(job.found)


@pytest.mark.parametrize("side, times", [("right", 1.0), ("left", 10.0)])
def test_a_posed_hand_is_refined(real_engine, mug, side, times):
    """A hand held beside the mug, fingers half bent: what comes is near that pose, and touches the mug."""
    scene = bpy.context.scene
    scene.grasp.side, scene.grasp.count, scene.grasp.hand_length = side, 2, 0.19 * times
    mug.scale, mug.rotation_euler = (times,) * 3, (0, 0, 0)
    assert bpy.ops.grasp.add_hand() == {"FINISHED"}
    rig = bpy.context.object
    across = 1 if side == "right" else -1
    rig.rotation_euler = (1.5708, 0, 0)
    rig.location = [c + times * shift for c, shift in zip(mug.location, (0.0 * across, -0.01, 0.0), strict=True)]
    for bone in rig.pose.bones:
        bend = {"01": 0.3, "02": 0.4, "03": 0.25}.get(bone.name.split(".")[1], 0.0)
        bone.rotation_quaternion = (1, bend / 2, 0, 0)
    mug.select_set(True)
    mine = evaluated(rig)
    assert bpy.ops.grasp.refine() == {"FINISHED"}
    assert [c.own for c in rig.grasp.candidates] == [True, False, False]

    def outside(points, height):
        local = (points - np.array(mug.matrix_world.translation)) / times
        return (np.linalg.norm(local[:, :2], axis=1) - 0.04)[np.abs(local[:, 2]) < height]

    def apart(points):
        local = (points - np.array(mug.matrix_world.translation)) / times
        wall, end = np.linalg.norm(local[:, :2], axis=1) - 0.04, np.abs(local[:, 2]) - 0.05
        return np.hypot(wall.clip(0), end.clip(0)) + np.maximum(wall, end).clip(max=0)

    for place in (2, 3):
        bpy.ops.grasp.show(candidate=place)
        points = evaluated(rig)
        assert np.linalg.norm(points - mine, axis=1).mean() < 0.06 * times
        assert outside(points, 0.045).min() > -0.004  # farther up and down the mug's edges are round
        assert apart(points).min() < 0.001
        assert (apart(points) < 0.003).sum() > 20  # on its wall or its ends
        assert rig.grasp.candidates[place - 1].measures["contacts"].value >= 2
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(rig) - mine).max() < 1e-5 * times


def test_work_goes_on_in_a_file_of_0_1_0(real_engine, tmp_path):
    """Baked, generated again and refined by the operator's old name: what 0.1.0 made stays where it was."""
    path = shutil.copy(Path(__file__).parent / "data" / "made_by_0_1_0_candidates.blend", tmp_path)
    bpy.ops.wm.open_mainfile(filepath=str(path))
    (rig,), scene = rigs(), bpy.context.scene
    bpy.ops.grasp.show(candidate=2)
    before = evaluated(rig)
    bpy.ops.grasp.bake()
    select(rig.grasp.target)
    scene.grasp.count = 1
    assert bpy.ops.grasp.generate() == {"FINISHED"}
    assert rigs() == [rig]
    assert [c.baked for c in rig.grasp.candidates] == [True, False]
    assert bpy.ops.grasp.fit() == {"FINISHED"}
    assert [(c.baked, c.own) for c in rig.grasp.candidates] == [(True, False), (True, True), (False, False)]
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(rig) - before).max() < 1e-5
