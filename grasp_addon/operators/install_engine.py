"""grasp.install_engine: an engine in a folder of our own, with its stop, its log and its end.

Blender reads properties from annotations that are calls, which no type checker takes for types.
"""
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import bpy
from bpy.props import EnumProperty

from ..engine import command, folders, install, session
from ..errors import GraspError
from .background import BackgroundTask, BackgroundTaskMixin, CopiesLogMixin

task: Final = BackgroundTask()


class GRASP_OT_install_engine(BackgroundTaskMixin, bpy.types.Operator):
    """Make an environment for the engine in the extension's own folder and install its packages"""

    bl_idname = "grasp.install_engine"
    bl_label = "Install Engine"
    task = task
    success = "The engine is installed and chosen"

    build: EnumProperty(name="PyTorch", default="cpu", items=(
        ("cpu", "For the Processor", "Small, and all that Synthesis needs"),
        ("cuda", "For NVIDIA Cards", "Large; from the package index pip is set to")))

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if task.running is not None:
            cls.poll_message_set("The engine is being installed")
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if not self._online():
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self, width=520, confirm_text="Install")

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.prop(self, "build", expand=True)
        column = layout.column(align=True)
        column.label(text=f"Fetches about {install.FETCHED[self.build]} of Python packages with pip, mostly PyTorch.")
        column.label(text=f"Needs {install.GIGABYTES[self.build]:.0f} GB in {folders.engine_folder()}")
        column.label(text="Blender's own Python is left as it is.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self._online():
            return {"CANCELLED"}
        session.stop()  # a repair makes the environment anew, and Windows deletes no program that runs
        folder = folders.engine_folder()
        try:
            steps = install.installation_steps(sys.executable, folder, folders.ROOT, self.build)
            task.start(install.Installation(folder, steps, install.GIGABYTES[self.build]))
        except GraspError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self.watch(context)

    @classmethod
    def ready(cls, context: bpy.types.Context) -> None:
        chosen = command.preferences(context)
        if chosen:
            chosen.source, chosen.python = "PYTHON", str(install.engine_python(folders.engine_folder()))

    def _online(self) -> bool:
        if not bpy.app.online_access:
            self.report({"ERROR"}, "Installing needs the network: switch on Allow Online Access in the preferences "
                                   "(System), or choose an existing Python")
            return False
        return True


class GRASP_OT_cancel_install(bpy.types.Operator):
    """Stop installing; what was fetched stays, to go on from"""

    bl_idname = "grasp.cancel_install"
    bl_label = "Stop Installing"
    bl_options = {"INTERNAL"}  # noqa: RUF012  Blender's form

    def execute(self, _context: bpy.types.Context) -> set[str]:
        task.cancel()
        return {"FINISHED"}


class GRASP_OT_copy_install_log(CopiesLogMixin, bpy.types.Operator):
    """Copy what the installation said, for a report"""

    bl_idname = "grasp.copy_install_log"
    none = "There is no log of an installation"

    def log(self) -> Path:
        return folders.engine_folder() / install.LOG


class GRASP_OT_remove_engine(bpy.types.Operator):
    """Delete the installed engine from the extension's folder"""

    bl_idname = "grasp.remove_engine"
    bl_label = "Delete Engine"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        session.stop()
        try:
            install.remove_engine(folders.engine_folder())
        except GraspError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_install_engine, GRASP_OT_cancel_install, GRASP_OT_copy_install_log, GRASP_OT_remove_engine)
