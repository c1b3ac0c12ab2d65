"""Fetching weights behind a button: only with online access, and gone when there is nothing to fetch."""

from __future__ import annotations

import bpy
import pytest
from weights_hub import CONTENT, FILE, name_them

from grasp_addon import preferences
from grasp_addon.engine import command
from grasp_addon.errors import GraspError


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
    preferences.draw_weights(layout)
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
    assert bpy.ops.grasp.fetch_weights.poll()
    name_them(tmp_path, {})
    with pytest.raises(RuntimeError, match="are here"):
        bpy.ops.grasp.fetch_weights()

    def no_python(_context):
        raise GraspError("No engine is chosen: choose one.")

    monkeypatch.setattr(command, "engine_python", no_python)
    with pytest.raises(RuntimeError, match="No engine is chosen"):
        bpy.ops.grasp.fetch_weights()
