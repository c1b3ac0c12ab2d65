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

COMMAND = [sys.executable, "-m", "core.worker"]
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
