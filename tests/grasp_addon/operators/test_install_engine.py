"""Installing an engine behind its button."""

from __future__ import annotations

import bpy
import pytest

from grasp_addon.engine import folders


def test_without_online_access_nothing_is_started(monkeypatch, tmp_path):
    assert not bpy.app.online_access  # as bpy starts
    monkeypatch.setattr(folders, "engine_folder", lambda: tmp_path / "engine")
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        bpy.ops.grasp.install_engine()
    assert not (tmp_path / "engine").exists()
