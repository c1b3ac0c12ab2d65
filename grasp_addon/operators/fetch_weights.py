"""grasp.fetch_weights: the trained weights that are named, not here, and on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import bpy

from ..engine import command, fetch, folders
from ..errors import GraspError
from .background import BackgroundTask, BackgroundTaskMixin, CopiesLogMixin

NO_NETWORK: Final = ("Fetching needs the network: switch on Allow Online Access in the preferences (System), or fetch "
                     "in a shell with python -m core weights fetch")
task: Final = BackgroundTask()


def missing() -> list[fetch.Missing]:
    """What can be fetched and is not here."""
    return fetch.missing(folders.ROOT / "weights", folders.weights_folder())


def reason_not_to(context: bpy.types.Context) -> str:
    """What stands in the way of fetching, as a sentence; "" for nothing."""
    if task.running is not None:
        return "Weights are being fetched"
    chosen = command.preferences(context)
    if chosen and chosen.source == "COMMAND":
        return ("The engine is a command, perhaps on another machine: fetch there, with python -m core weights fetch "
                "NAME")
    try:
        command.engine_python(context)
    except GraspError as error:
        return str(error).removesuffix(".")
    if not missing():
        return "All weights that the hub has are here"
    return "" if bpy.app.online_access else NO_NETWORK


class GRASP_OT_fetch_weights(BackgroundTaskMixin, bpy.types.Operator):
    """Fetch the trained weights that are not here from the hub, check them, and keep them in the extension's folder"""

    bl_idname = "grasp.fetch_weights"
    bl_label = "Fetch Weights"
    task = task
    success = "The weights are here"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if reason := reason_not_to(context):
            cls.poll_message_set(reason)
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, width=520, confirm_text="Fetch")

    def draw(self, _context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        for item in missing():
            column.label(text=f"{item.name}: {item.bytes / 1e6:.1f} MB from {item.repo}, commit {item.revision[:12]}")
        column.label(text=f"They go into {folders.weights_folder()}")
        column.label(text="Size and SHA-256 are checked before anything is put there.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            if reason := reason_not_to(context):
                raise GraspError(reason)
            wanted, folder = missing(), folders.weights_folder()
            steps = fetch.fetch_steps(command.engine_python(context), folders.ROOT, folder, wanted)
            gigabytes = fetch.GIGABYTES + 2e-9 * sum(item.bytes for item in wanted)
            task.start(fetch.Fetching(folder, steps, gigabytes))
        except GraspError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self.watch(context)


class GRASP_OT_cancel_fetch(bpy.types.Operator):
    """Stop fetching; what has come stays, to go on from"""

    bl_idname = "grasp.cancel_fetch"
    bl_label = "Stop Fetching"
    bl_options = {"INTERNAL"}  # noqa: RUF012  Blender's form

    def execute(self, _context: bpy.types.Context) -> set[str]:
        task.cancel()
        return {"FINISHED"}


class GRASP_OT_copy_fetch_log(CopiesLogMixin, bpy.types.Operator):
    """Copy what the fetching said, for a report"""

    bl_idname = "grasp.copy_fetch_log"
    none = "There is no log of fetching"

    def log(self) -> Path:
        return folders.weights_folder() / fetch.Fetching.log_name


CLASSES: Final = (GRASP_OT_fetch_weights, GRASP_OT_cancel_fetch, GRASP_OT_copy_fetch_log)
