"""The engine's process: what may happen to it, and what it may say."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from real_engine import COMMAND, VARIABLES, answer

from grasp_addon.engine.client import EngineClient, process_flags
from grasp_addon.errors import GraspError


@pytest.fixture
def client():
    client = EngineClient(COMMAND, VARIABLES)
    yield client
    client.close()


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


def test_what_a_program_writes_without_end_is_bounded():
    code = "import sys; sys.stderr.write('x' * 10 ** 7); sys.stderr.write('\\nlast words\\n' * 500)"
    client = EngineClient([sys.executable, "-c", code])
    with pytest.raises(GraspError, match="last words"):
        answer(client, 1, 20)
    assert len(client.log) <= 200
    assert max(map(len, client.log)) <= 2000
    client.close()


def test_on_windows_the_engine_has_a_group_of_its_own(monkeypatch):
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    assert process_flags() == 0x08000200
    given = {}
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **keys: given.update(keys) or (_ for _ in ()).throw(OSError()))
    with pytest.raises(GraspError):
        EngineClient(["x"])
    assert given["creationflags"] == 0x08000200


def test_close_ends_the_process(client):
    answer(client, client.send({"type": "hello"}))
    client.close()
    assert not client.alive
    # a busy system takes a while to end what was killed: Blender does not wait for it, the test does
    with contextlib.suppress(ChildProcessError):
        deadline = time.monotonic() + 5
        while os.waitpid(client.pid, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(client.pid, 0)


def test_a_large_object_does_not_hold_up_blender(client):
    """60 MB on the way in: sending returns at once, whatever the pipe takes."""
    start = time.monotonic()
    number = client.send({"type": "dance"}, {"vertices": np.zeros((2_500_000, 3))})
    assert time.monotonic() - start < 0.5
    assert "does not know" in answer(client, number)[-1][0]["message"]


def test_the_ready_engine_answers_within_five_seconds():
    """Five of its own seconds, where they can be told from those of other programs on a busy machine."""
    begin, before = time.monotonic(), os.times()
    one = EngineClient(COMMAND, VARIABLES)
    try:
        answer(one, one.send({"type": "hello", "side": "right"}))
    finally:
        one.close()
    after = os.times()
    computed = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    took = time.monotonic() - begin
    assert (min(took, computed) if computed else took) < 5  # Windows tells nothing of children
    assert took < 60
