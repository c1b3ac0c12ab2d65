"""Which engine computes the grasps, and whether it answers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

import bpy
from bpy.props import EnumProperty, StringProperty

from . import engine_link
from .engine import fetch_panel, install_panel
from .errors import GraspError

PACKAGE: Final = __package__.rpartition(".")[0] or __package__
ROOT: Final = Path(__file__).resolve().parent.parent  # where core/ lies, in the repository and in the installed zip


class GraspPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    source: EnumProperty(name="Engine", default="PYTHON", items=(
        ("PYTHON", "Existing Python", "A Python that has PyTorch and the engine's other packages"),
        ("COMMAND", "Command", "Any command that starts the engine, e.g. on another machine")))
    python: StringProperty(name="Python", subtype="FILE_PATH", description="The python program of an environment")
    command: StringProperty(name="Command", description="E.g. ssh gpu-host python -m core.worker")
    hand_file: StringProperty(
        name="MANO Hand", subtype="FILE_PATH",
        description="Your own MANO_RIGHT.pkl or MANO_LEFT.pkl, where you have MANO's licence; empty: the hand that "
        "comes with Generate Grasps. The file lies on the machine where the engine runs")
    answer: StringProperty(options={"SKIP_SAVE"})

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "source", expand=True)
        layout.prop(self, "python" if self.source == "PYTHON" else "command")
        layout.operator("grasp.check_engine", icon="CHECKMARK")
        if self.answer:
            layout.label(text=self.answer)
        layout.prop(self, "hand_file")
        install_panel.draw(layout)
        fetch_panel.draw(layout)


def preferences(context: bpy.types.Context) -> GraspPreferences | None:
    addon = context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon else None


def has_engine(context: bpy.types.Context) -> bool:
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
    return chosen.hand_file if chosen.source == "COMMAND" else bpy.path.abspath(chosen.hand_file)


def engine_command(context: bpy.types.Context) -> tuple[list[str], dict[str, str]]:
    """The engine's command line and what it adds to the environment; GraspError where none is chosen."""
    chosen = preferences(context)
    if chosen and chosen.source == "COMMAND" and chosen.command.strip():
        return shlex.split(chosen.command), {}
    return [engine_python(context), "-m", "core.worker"], {"PYTHONPATH": str(ROOT), **fetch_panel.variables()}


def engine_python(context: bpy.types.Context) -> str:
    """The Python that runs the engine on this machine; GraspError where none is chosen."""
    chosen = preferences(context)
    python = bpy.path.abspath(chosen.python) if chosen and chosen.source == "PYTHON" and chosen.python else ""
    if not python:
        raise GraspError("No engine is chosen: choose or install one in the preferences of Generate Grasps.",
                         "preferences")
    if not Path(python).is_file():
        raise GraspError(f"The engine's Python is not there: {python}. Choose another in the preferences.",
                         "preferences")
    return python


class GRASP_OT_check_engine(bpy.types.Operator):
    """Start the engine and ask it what it can do"""

    bl_idname = "grasp.check_engine"
    bl_label = "Check Engine"

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = preferences(context)
        try:
            engine = engine_link.client(*engine_command(context))
            engine_link.greet(engine, "right", "")
            answer, level = engine_link.known().sentence, "INFO"
        except (GraspError, OSError) as error:
            answer, level = str(error), "ERROR"
        if chosen:
            chosen.answer = answer
        self.report({level}, answer)
        return {"FINISHED"} if level == "INFO" else {"CANCELLED"}


class GRASP_OT_open_preferences(bpy.types.Operator):
    """Open the preferences of Generate Grasps"""

    bl_idname = "grasp.open_preferences"
    bl_label = "Engine Preferences"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        bpy.ops.preferences.addon_show(module=PACKAGE)
        return {"FINISHED"}


CLASSES: Final = (GraspPreferences, GRASP_OT_check_engine, GRASP_OT_open_preferences)
