"""Where things of the add-on lie: its code, its preferences' name, the engine and the weights of the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import bpy

from .fetch import WEIGHTS_VARIABLE

#: The extension's module, under which Blender keeps its preferences; in a checkout the add-on's own.
PACKAGE: Final = (__package__ or "").rpartition(".grasp_addon")[0] or "grasp_addon"
#: Where core/ lies, in the repository and in the installed extension.
ROOT: Final = Path(__file__).resolve().parents[2]


def user_folder(name: str) -> Path:
    """A folder in the extension's own, or in Blender's data folder when run from a checkout; not made yet."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name, create=False))
    except ValueError:
        return Path(bpy.utils.user_resource("DATAFILES", path=f"generate_grasps/{name}"))


def engine_folder() -> Path:
    """Where an engine is installed."""
    return user_folder("engine")


def weights_folder() -> Path:
    """Where fetched weights go: the extension's own folder, or what the environment names."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named) if named else user_folder("weights")
