"""Which command starts the engine, by the add-on's preferences.

The preferences are read through Blender, so that this module needs none of the interface that draws them.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path, PureWindowsPath
from typing import Final

import bpy

from ..errors import GraspError
from .fetch import WEIGHTS_VARIABLE
from .folders import PACKAGE, ROOT, weights_folder

#: a command that begins like this is written as on Windows, where a backslash parts folders
WINDOWS_PATH: Final = re.compile(r"""\s*["']?([A-Za-z]:[\\/]|\\\\)""")


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
        GraspError: no engine is chosen, its program is not there, or the command cannot be read.
    """
    chosen = preferences(context)
    if chosen and chosen.source == "COMMAND" and chosen.command.strip():
        program, *arguments = words(chosen.command)
        return [found(program), *arguments], {}
    return ([engine_python(context), "-m", "core.worker"],
            {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", WEIGHTS_VARIABLE: str(weights_folder())})


def words(line: str) -> list[str]:
    """The words of a command line, as a shell reads them; on Windows a backslash is a letter like others.

    Raises:
        GraspError: a quotation does not end, or there is no word.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if os.name == "nt" or WINDOWS_PATH.match(line):
        lexer.escape = ""
    try:
        read = list(lexer)
    except ValueError as error:
        raise GraspError("The engine's command cannot be read: a quotation mark or a backslash in it has no second "
                         "half. Mend it in the preferences.", "preferences") from error
    if not read or not read[0]:
        raise GraspError("The engine's command names no program: write it in the preferences.", "preferences")
    return read


def found(program: str) -> str:
    """The whole path of a program, looked for where programs are, and never in the folder Blender happens to be in.

    Raises:
        GraspError: it is not there, or its path is not whole.
    """
    if Path(program).is_absolute() or PureWindowsPath(program).is_absolute():
        return program
    if "/" in program or "\\" in program:
        raise GraspError(f"The engine's command must begin with a whole path or a program's name, not {program}. "
                         "Mend it in the preferences.", "preferences")
    endings = ["", *os.environ.get("PATHEXT", ".EXE").split(os.pathsep)] if os.name == "nt" else [""]
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for ending in endings:
            path = os.path.join(folder, program + ending)
            if os.path.isabs(folder) and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    raise GraspError(f"There is no program {program} for the engine: write its whole path in the preferences.",
                     "preferences")


def engine_python(context: bpy.types.Context) -> str:
    """The Python that runs the engine on this machine.

    Raises:
        GraspError: none is chosen, or it is not there.
    """
    chosen = preferences(context)
    python = chosen.python if chosen and chosen.source == "PYTHON" else ""
    if not python:
        raise GraspError("No engine is chosen: choose or install one in the preferences of Generate Grasps.",
                         "preferences")
    if not Path(python).is_absolute():
        raise GraspError("The engine's Python must be a whole path, not one that is looked up beside the open file: "
                         f"{python}. Choose it anew in the preferences, with Relative Path off.", "preferences")
    if not Path(python).is_file():
        raise GraspError(f"The engine's Python is not there: {python}. Choose another in the preferences.",
                         "preferences")
    return str(python)
