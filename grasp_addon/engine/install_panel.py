"""The preferences' part that gets an engine: a button, a dialog with size and place, a bar, a log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bpy
from bpy.props import EnumProperty

from ..errors import GraspError
from ..ui import progress
from . import install
from .background import CopiesLog, InBackground

if TYPE_CHECKING:
    from .install import Installation

PACKAGE: Final = __package__.rpartition(".grasp_addon")[0] or "grasp_addon"
ROOT: Final = Path(__file__).resolve().parents[2]
_running: Installation | None = None


def own_folder(name: str) -> Path:
    """A folder in the extension's own, or in a data folder when run from a checkout; not made yet."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name, create=False))
    except ValueError:
        return Path(bpy.utils.user_resource("DATAFILES", path=f"generate_grasps/{name}"))


def engine_folder() -> Path:
    """Where an engine is installed."""
    return own_folder("engine")


def draw(layout: bpy.types.UILayout) -> None:
    """What is there, and what can be done about it."""
    box = layout.box()
    if _running is not None:
        progress(box, _running.fraction, _running.stage, "grasp.cancel_install")
        for line in list(_running.lines)[-4:]:
            box.label(text=line[:110])
        return
    state = install.read_state(engine_folder())
    ready = state.state == "ready"
    if ready:
        box.label(text=f"An engine is installed in {engine_folder()}", icon="CHECKMARK")
        box.label(text=state.reason, icon="BLANK1")
    elif state.reason:
        box.label(text=state.reason[:160], icon="ERROR")
    row = box.row()
    row.operator("grasp.install_engine", icon="IMPORT",
                 text={"none": "Install Engine", "ready": "Repair Engine"}.get(state.state, "Go On Installing"))
    if state.state != "none":
        row.operator("grasp.copy_install_log", icon="COPYDOWN")
        row.operator("grasp.remove_engine", icon="TRASH")


def use_installed(context: bpy.types.Context) -> None:
    """Chooses the installed engine in the preferences."""
    addon = context.preferences.addons.get(PACKAGE)
    if addon:
        addon.preferences.source, addon.preferences.python = "PYTHON", str(install.engine_python(engine_folder()))


class GRASP_OT_install_engine(InBackground, bpy.types.Operator):
    """Make an environment for the engine in the extension's own folder and install its packages"""

    bl_idname = "grasp.install_engine"
    bl_label = "Install Engine"

    build: EnumProperty(name="PyTorch", default="cpu", items=(
        ("cpu", "For the Processor", "Small, and all that Synthesis needs"),
        ("cuda", "For NVIDIA Cards", "Large; from the package index pip is set to")))

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if _running is not None:
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
        column.label(text=f"Needs {install.GIGABYTES[self.build]:.0f} GB in {engine_folder()}")
        column.label(text="Blender's own Python is left as it is.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        global _running  # noqa: PLW0603
        if not self._online():
            return {"CANCELLED"}
        from .. import engine_link

        engine_link.stop()  # a repair makes the environment anew, and Windows deletes no program that runs
        folder = engine_folder()
        try:
            steps = install.installation_steps(sys.executable, folder, ROOT, self.build)
            _running = install.Installation(folder, steps, install.GIGABYTES[self.build])
        except GraspError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self.begin(context)

    def running(self) -> Installation | None:
        return _running

    def _online(self) -> bool:
        if not bpy.app.online_access:
            self.report({"ERROR"}, "Installing needs the network: switch on Allow Online Access in the preferences "
                                   "(System), or choose an existing Python")
            return False
        return True

    def end(self, context: bpy.types.Context) -> set[str]:
        global _running
        state, _running = _running.state, None
        if state.state == "ready":
            use_installed(context)
        return self.outcome(state, "The engine is installed and chosen")


class GRASP_OT_cancel_install(bpy.types.Operator):
    """Stop installing; what was fetched stays, to go on from"""

    bl_idname = "grasp.cancel_install"
    bl_label = "Stop Installing"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if _running is not None:
            _running.cancel()
        return {"FINISHED"}


class GRASP_OT_copy_install_log(CopiesLog, bpy.types.Operator):
    """Copy what the installation said, for a report"""

    bl_idname = "grasp.copy_install_log"
    none = "There is no log of an installation"

    def log(self) -> Path:
        return engine_folder() / install.LOG


class GRASP_OT_remove_engine(bpy.types.Operator):
    """Delete the installed engine from the extension's folder"""

    bl_idname = "grasp.remove_engine"
    bl_label = "Delete Engine"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        from .. import engine_link

        engine_link.stop()
        try:
            install.remove_engine(engine_folder())
        except GraspError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_install_engine, GRASP_OT_cancel_install, GRASP_OT_copy_install_log, GRASP_OT_remove_engine)


def stop() -> None:
    """Ends an installation that runs; the add-on is being switched off."""
    global _running  # noqa: PLW0603
    if _running is not None:
        _running.cancel()
        _running = None
