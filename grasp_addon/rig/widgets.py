"""The wire shapes bones are shown and picked by; shared by all hands of a file, linked to no scene."""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np

from .marks import is_marked, marked

SEGMENTS: Final = 24
NAMES: Final = {"finger": "WGT-grasp-finger", "hand": "WGT-grasp-hand"}


def bone_widgets() -> dict[str, bpy.types.Object]:
    """The widget objects by use, made at the first call in a file. A bone's length is one unit, along Y."""
    return {use: _existing(name) or _made(use, name) for use, name in NAMES.items()}


def _existing(name: str) -> bpy.types.Object | None:
    found = bpy.data.objects.get(name)
    return found if found and is_marked(found) else None


def _made(use: str, name: str) -> bpy.types.Object:
    turn = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    if use == "finger":  # a ring about the middle of the segment, clear of the flesh
        points = np.stack([0.34 * np.cos(turn), np.full(SEGMENTS, 0.5), 0.34 * np.sin(turn)], axis=-1)
    else:  # a rounded plate about the wrist
        x, z = np.cos(turn), np.sin(turn)
        points = np.stack([0.5 * np.sign(x) * np.abs(x) ** 0.5, np.full(SEGMENTS, -0.06),
                           0.36 * np.sign(z) * np.abs(z) ** 0.5], axis=-1)
    mesh = marked(bpy.data.meshes.new(name))
    mesh.from_pydata(points.tolist(), [(i, (i + 1) % SEGMENTS) for i in range(SEGMENTS)], [])
    return marked(bpy.data.objects.new(name, mesh))
