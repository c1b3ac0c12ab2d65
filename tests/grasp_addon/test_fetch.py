"""Fetching weights behind a button: by the engine's Python, from a hub on the loopback, only with online access."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import time
from pathlib import Path

import bpy
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_hub import COMMIT, REPO, SmallHub

from grasp_addon import preferences
from grasp_addon.engine import fetch, fetch_panel
from grasp_addon.engine.fetch import Fetching, fetch_steps
from grasp_addon.errors import GraspError

PYTHON = os.environ.get("GRASP_ENGINE_PYTHON", sys.executable)
HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [250000], "data_offsets": [0, 10**6]}}).encode()
CONTENT = struct.pack("<Q", len(HEADER)) + HEADER + bytes(10**6)
FILE = "theirs/theirs.safetensors"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with weights, and an index of the user that names them."""
    with SmallHub() as server:
        entry = server.offer("theirs", CONTENT)
        name_them(tmp_path, {"theirs": {**entry, "hub": {"repo": REPO, "revision": COMMIT, "file": FILE}}})
        for name, value in (("GRASP_WEIGHTS", tmp_path / "user"), ("XDG_CACHE_HOME", tmp_path / "cache"),
                            ("LOCALAPPDATA", tmp_path / "cache"), ("HOME", tmp_path), ("HF_ENDPOINT", server.endpoint)):
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(preferences, "engine_python", lambda _context: PYTHON)
        yield server
        fetch_panel.stop()
        server.shutdown()


def name_them(tmp_path, index):
    (tmp_path / "user").mkdir(exist_ok=True)
    (tmp_path / "user" / "index.json").write_text(json.dumps(index))


@pytest.fixture
def online():
    bpy.context.preferences.system.use_online_access = True
    yield
    bpy.context.preferences.system.use_online_access = False


class Layout:
    """Writes down what is drawn."""

    def __init__(self):
        self.drawn = []

    def box(self):
        return self

    row = column = lambda self, **_: self

    def label(self, text, **_):
        self.drawn.append(text)

    def operator(self, name, text="", **_):
        self.drawn.append(f"{name} {text}".strip())

    def progress(self, text, **_):
        self.drawn.append(text)


def drawn():
    layout = Layout()
    fetch_panel.draw(layout)
    return layout.drawn


def test_a_click_fetches_what_is_missing_and_the_button_goes(hub, online, tmp_path):
    assert drawn() == ["Not here: theirs (1.0 MB)", "grasp.fetch_weights Fetch Weights"]
    assert bpy.ops.grasp.fetch_weights() == {"FINISHED"}
    assert (tmp_path / "user" / FILE).read_bytes() == CONTENT
    assert drawn() == []
    assert not bpy.ops.grasp.fetch_weights.poll()


def test_wrong_bytes_fail_in_a_sentence_and_the_log_can_be_copied(hub, online, tmp_path):
    hub.files[FILE] = CONTENT[:-1] + b"x"
    with pytest.raises(RuntimeError, match=r"Fetching theirs failed: .*another SHA-256"):
        bpy.ops.grasp.fetch_weights()
    assert not (tmp_path / "user" / FILE).exists()
    found = drawn()
    assert "another SHA-256" in found[1]
    assert found[2:] == ["grasp.fetch_weights Go On Fetching", "grasp.copy_fetch_log"]
    assert "another SHA-256" in (tmp_path / "user" / "fetch.log").read_text()
    hub.files[FILE] = CONTENT
    assert bpy.ops.grasp.fetch_weights() == {"FINISHED"}


def test_without_online_access_nothing_is_asked(hub):
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        bpy.ops.grasp.fetch_weights()
    assert hub.asked == []


def test_what_is_missing_is_said(hub, online, tmp_path, monkeypatch):
    assert fetch_panel._why_not(bpy.context) == ""
    name_them(tmp_path, {})
    assert "are here" in fetch_panel._why_not(bpy.context)

    def no_python(_context):
        raise GraspError("No engine is chosen: choose one.")

    monkeypatch.setattr(preferences, "engine_python", no_python)
    with pytest.raises(RuntimeError, match="No engine is chosen"):
        bpy.ops.grasp.fetch_weights()


def fetching(tmp_path, hub):
    wanted = fetch.missing(tmp_path / "none", tmp_path / "user")
    return Fetching(tmp_path / "user", fetch_steps(PYTHON, fetch_panel.ROOT, tmp_path / "user", wanted), 0.0)


def test_progress_is_shown_and_a_stopped_fetch_goes_on(hub, tmp_path):
    hub.slow = 0.05
    work = fetching(tmp_path, hub)
    end = time.monotonic() + 30
    while work.fraction < 0.3:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert work.stage.startswith("Fetching theirs: 0.")
    work.cancel()
    work.wait(10)
    assert work.state.state == "cancelled"
    assert not (tmp_path / "user" / FILE).exists()
    hub.slow = 0.0
    work = fetching(tmp_path, hub)
    work.wait(30)
    assert work.state.state == "ready", work.state.reason
    assert "bytes=" in hub.downloads()[-1]
    assert (tmp_path / "user" / FILE).read_bytes() == CONTENT


def test_only_what_is_not_here_whole_and_has_a_place_on_the_hub_is_missing(tmp_path):
    entry = {"file": FILE, "sha256": hashlib.sha256(CONTENT).hexdigest(), "bytes": len(CONTENT), "card": "x.md"}
    place = {"hub": {"repo": REPO, "revision": COMMIT, "file": FILE}}
    project, user = tmp_path / "project", tmp_path / "user"
    project.mkdir()
    (project / "index.json").write_text(json.dumps({"theirs": entry | place, "none": entry, "odd": 3}))
    assert [item.name for item in fetch.missing(project, user)] == ["theirs"]
    for folder in (project, user):
        path = folder / FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        assert fetch.missing(project, user) == []
        path.write_bytes(CONTENT[:-1] + b"x")
        os.utime(path, ns=(1, 1))
        assert len(fetch.missing(project, user)) == 1
        path.unlink()
    (user / "index.json").write_text("{")
    assert len(fetch.missing(project, user)) == 1


def test_the_engine_is_told_where_fetched_weights_are(hub, tmp_path):
    _, variables = preferences.engine_command(bpy.context)
    assert variables["GRASP_WEIGHTS"] == str(tmp_path / "user")


def test_without_the_variable_they_go_into_the_extensions_own_folder(monkeypatch):
    monkeypatch.delenv("GRASP_WEIGHTS", raising=False)
    assert fetch_panel.weights_folder().name == "weights"
    assert fetch_panel.ROOT not in fetch_panel.weights_folder().parents
