"""The mark on every datablock this add-on makes, so that it can be told from the user's own data and removed."""

from __future__ import annotations

from typing import Final

import bpy

MARK: Final = "generate_grasps"  # the name of a custom property


def marked(datablock: bpy.types.ID) -> bpy.types.ID:
    """The same datablock, marked as made by this add-on."""
    datablock[MARK] = True
    return datablock


def is_marked(datablock: bpy.types.ID) -> bool:
    """Whether this add-on made it."""
    return MARK in datablock
