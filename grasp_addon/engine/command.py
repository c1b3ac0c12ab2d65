"""Which command starts the engine, by the add-on's preferences.

The preferences are read through Blender, so that this module needs none of the interface that draws them.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import bpy

from ..errors import GraspError
from .fetch import WEIGHTS_VARIABLE
from .folders import PACKAGE, ROOT, weights_folder


def preferences(context: bpy.types.Context) -> bpy.types.AddonPreferences | None:
    """The add-on's preferences; None where it runs without being enabled, as in tests."""
    addon = context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon else None


def has_engine(context: bpy.types.Context) -> bool:
    """Whether an engine is chosen and there."""
    try:
        engine_command(context)
    except GraspError:
        return False
    return True


def hand_file(context: bpy.types.Context) -> str:
    """The animator's own hand model, "" for the embedded one."""
    chosen = preferences(context)
    if not chosen or not chosen.hand_file:
        return ""
    return str(chosen.hand_file if chosen.source == "COMMAND" else bpy.path.abspath(chosen.hand_file))


def engine_command(context: bpy.types.Context) -> tuple[list[str], dict[str, str]]:
    """The engine's command line, and what it adds to the environment.

    Raises:
        GraspError: no engine is chosen, or its Python is not there.
    """
    chosen = preferences(context)
    if chosen and chosen.source == "COMMAND" and chosen.command.strip():
        return shlex.split(chosen.command), {}
    return ([engine_python(context), "-m", "core.worker"],
            {"PYTHONPATH": str(ROOT), WEIGHTS_VARIABLE: str(weights_folder())})


def engine_python(context: bpy.types.Context) -> str:
    """The Python that runs the engine on this machine.

    Raises:
        GraspError: none is chosen, or it is not there.
    """
    chosen = preferences(context)
    python = bpy.path.abspath(chosen.python) if chosen and chosen.source == "PYTHON" and chosen.python else ""
    if not python:
        raise GraspError("No engine is chosen: choose or install one in the preferences of Generate Grasps.",
                         "preferences")
    if not Path(python).is_file():
        raise GraspError(f"The engine's Python is not there: {python}. Choose another in the preferences.",
                         "preferences")
    return str(python)
