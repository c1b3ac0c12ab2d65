"""The Blender side of Generate Grasps."""

from __future__ import annotations

import bpy

from . import operators, panel, preferences, properties
from .engine import session
from .engine.folders import ROOT
from .rig import handlers

CLASSES = (*properties.CLASSES, *preferences.CLASSES, *operators.CLASSES, *panel.CLASSES)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(CLASSES)


def register() -> None:
    """What Blender calls when the add-on is switched on."""
    _register_classes()
    properties.register()
    handlers.register()
    operators.start()
    panel.register()
    bpy.utils.register_preset_path(str(ROOT))  # its folder "presets": the settings that keep a hand through an export


def unregister() -> None:
    """What Blender calls when the add-on is switched off."""
    bpy.utils.unregister_preset_path(str(ROOT))
    operators.stop()
    session.stop()
    panel.unregister()
    handlers.unregister()
    properties.unregister()
    _unregister_classes()
