"""The operators, a verb a module."""

from __future__ import annotations

from typing import Final

import bpy

from . import (
    add_hand,
    bake,
    check_engine,
    end_look,
    fetch_weights,
    generate,
    imagine,
    install_engine,
    more_like_this,
    open_preferences,
    pose_by_hand,
    refine,
    remove,
    request_operator,
    set_hand_length,
    show,
    watch,
)

CLASSES: Final = (
    *check_engine.CLASSES, *open_preferences.CLASSES, *install_engine.CLASSES, *fetch_weights.CLASSES,
    *request_operator.CLASSES, *generate.CLASSES, *imagine.CLASSES, *add_hand.CLASSES, *refine.CLASSES,
    *more_like_this.CLASSES,
    *pose_by_hand.CLASSES, *show.CLASSES, *bake.CLASSES, *end_look.CLASSES, *remove.CLASSES, *set_hand_length.CLASSES,
)


def start() -> None:
    """Ends what is asked of the engine when another file is loaded."""
    bpy.app.handlers.load_pre.append(watch.before_load)


def stop() -> None:
    """Ends what runs in the background; the add-on is being switched off."""
    watch.end()
    if watch.before_load in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(watch.before_load)
    install_engine.task.stop()
    fetch_weights.task.stop()
