"""The operators, a verb a module."""

from __future__ import annotations

from typing import Final

from . import (
    add_hand,
    bake,
    check_engine,
    end_look,
    fetch_weights,
    generate,
    install_engine,
    open_preferences,
    pose_by_hand,
    refine,
    remove,
    request_operator,
    set_hand_length,
    show,
)

CLASSES: Final = (
    *check_engine.CLASSES, *open_preferences.CLASSES, *install_engine.CLASSES, *fetch_weights.CLASSES,
    *request_operator.CLASSES, *generate.CLASSES, *add_hand.CLASSES, *refine.CLASSES, *pose_by_hand.CLASSES,
    *show.CLASSES, *bake.CLASSES, *end_look.CLASSES, *remove.CLASSES, *set_hand_length.CLASSES,
)


def stop() -> None:
    """Ends what runs in the background; the add-on is being switched off."""
    install_engine.task.stop()
    fetch_weights.task.stop()
