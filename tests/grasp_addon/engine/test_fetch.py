"""Fetching weights by the engine's Python, from a hub on the loopback."""

from __future__ import annotations

import hashlib
import json
import os
import time

import bpy
from small_hub import COMMIT, REPO
from weights_hub import CONTENT, FILE, PYTHON

from grasp_addon.engine import command, fetch
from grasp_addon.engine.fetch import Fetching, fetch_steps
from grasp_addon.engine.folders import ROOT, weights_folder


def fetching(tmp_path, hub):
    wanted = fetch.missing(tmp_path / "none", tmp_path / "user")
    return Fetching(tmp_path / "user", fetch_steps(PYTHON, ROOT, tmp_path / "user", wanted), 0.0)


def test_progress_is_shown_and_a_stopped_fetch_goes_on(hub, tmp_path):
    hub.slow = 0.05
    job = fetching(tmp_path, hub)
    end = time.monotonic() + 30
    while job.fraction < 0.3:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert job.stage.startswith("Fetching theirs: 0.")
    job.cancel()
    job.wait(10)
    assert job.state.state == "cancelled"
    assert not (tmp_path / "user" / FILE).exists()
    hub.slow = 0.0
    job = fetching(tmp_path, hub)
    job.wait(30)
    assert job.state.state == "ready", job.state.reason
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
    _, variables = command.engine_command(bpy.context)
    assert variables["GRASP_WEIGHTS"] == str(tmp_path / "user")


def test_without_the_variable_they_go_into_the_extensions_own_folder(monkeypatch):
    monkeypatch.delenv("GRASP_WEIGHTS", raising=False)
    assert weights_folder().name == "weights"
    assert ROOT not in weights_folder().parents
