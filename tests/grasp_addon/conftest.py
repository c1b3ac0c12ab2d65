"""Blender in this process, the add-on registered, an empty file before each test."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the add-on
sys.path.insert(0, str(Path(__file__).parents[1]))  # what all tests share
sys.path.insert(0, str(Path(__file__).parents[0]))  # what these share
if getattr(sys.modules.get("grasp_addon"), "__file__", None) is None:
    sys.modules.pop("grasp_addon", None)  # pytest names this folder after its path, which is the add-on's name too

import grasp_addon
from grasp_addon.engine import command, session


@pytest.fixture(autouse=True)
def nothing_outdated() -> Iterator[None]:
    """Fails a test that used what Blender announces to remove.

    A filter that makes errors of these warnings would not do: Blender goes on with the error set, and it surfaces
    anywhere, as a SystemError.
    """
    with warnings.catch_warnings(record=True) as recorded:
        yield
    outdated = [w for w in recorded if "removed in Blender" in str(w.message)]
    for other in (w for w in recorded if w not in outdated):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    assert not outdated, [f"{w.filename}:{w.lineno} {w.message}" for w in outdated]


@pytest.fixture(autouse=True)
def empty_file() -> Iterator[None]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    grasp_addon.register()
    yield
    grasp_addon.unregister()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> object:
    from fake_engine import FakeEngine

    made = FakeEngine()
    monkeypatch.setattr(session, "client", lambda *_: made)
    monkeypatch.setattr(command, "engine_command", lambda _context: (["engine"], {}))
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A hub with weights, and an index of the user that names them."""
    from small_hub import COMMIT, REPO, SmallHub
    from weights_hub import CONTENT, FILE, PYTHON, name_them

    from grasp_addon.operators import fetch_weights

    with SmallHub() as server:
        entry = server.offer("theirs", CONTENT)
        name_them(tmp_path, {"theirs": {**entry, "hub": {"repo": REPO, "revision": COMMIT, "file": FILE}}})
        for name, value in (("GRASP_WEIGHTS", tmp_path / "user"), ("XDG_CACHE_HOME", tmp_path / "cache"),
                            ("LOCALAPPDATA", tmp_path / "cache"), ("HOME", tmp_path), ("HF_ENDPOINT", server.endpoint)):
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(command, "engine_python", lambda _context: PYTHON)
        yield server
        fetch_weights.task.stop()
        server.shutdown()


@pytest.fixture
def mug() -> bpy.types.Object:
    bpy.ops.mesh.primitive_cylinder_add(radius=0.04, depth=0.1, location=(0.3, -0.2, 0.5), rotation=(0.3, 0.2, 1.0))
    bpy.context.object.name = "Mug"
    bpy.context.view_layer.update()
    return bpy.context.object
