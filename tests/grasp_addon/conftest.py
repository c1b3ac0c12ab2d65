"""Blender in this process, the add-on registered, an empty file before each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))
if getattr(sys.modules.get("grasp_addon"), "__file__", None) is None:
    sys.modules.pop("grasp_addon", None)  # pytest names this folder after its path, which is the add-on's name too

import grasp_addon
from grasp_addon import engine_link, preferences


@pytest.fixture(autouse=True)
def empty_file() -> Iterator[None]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    grasp_addon.register()
    yield
    grasp_addon.unregister()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> object:
    from made_hand import MadeEngine

    made = MadeEngine()
    monkeypatch.setattr(engine_link, "client", lambda *_: made)
    monkeypatch.setattr(preferences, "engine_command", lambda _context: (["engine"], {}))
    return made


@pytest.fixture
def mug() -> bpy.types.Object:
    bpy.ops.mesh.primitive_cylinder_add(radius=0.04, depth=0.1, location=(0.3, -0.2, 0.5), rotation=(0.3, 0.2, 1.0))
    bpy.context.object.name = "Mug"
    bpy.context.view_layer.update()
    return bpy.context.object
