"""The Blender side of Generate Grasps."""

from __future__ import annotations

import bpy

from . import asking, engine_link, generate, operators, panel, preferences, properties, refine, scrub
from .engine import fetch_panel, install_panel

CLASSES = (*properties.CLASSES, *preferences.CLASSES, *install_panel.CLASSES, *fetch_panel.CLASSES,
           *asking.CLASSES, *generate.CLASSES, *refine.CLASSES, *operators.CLASSES, *panel.CLASSES)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(CLASSES)


def register() -> None:
    _register_classes()
    properties.register()
    scrub.register()
    panel.register()


def unregister() -> None:
    engine_link.stop()
    install_panel.stop()
    fetch_panel.stop()
    panel.unregister()
    scrub.unregister()
    properties.unregister()
    _unregister_classes()
