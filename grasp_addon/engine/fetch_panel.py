"""The preferences' part that fetches weights: there only while some are named, not here, and on the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bpy

from ..errors import GraspError
from ..ui import progress
from . import fetch, install_panel
from .background import CopiesLog, InBackground
from .install import State

if TYPE_CHECKING:
    from .fetch import Fetching, Missing

ROOT: Final = install_panel.ROOT
NO_NETWORK: Final = ("Fetching needs the network: switch on Allow Online Access in the preferences (System), or fetch "
                     "in a shell with python -m core weights fetch")
_running: Fetching | None = None
_last = State()


def weights_folder() -> Path:
    """Where fetched weights go: the extension's own folder, or what the environment names."""
    return Path(os.environ[fetch.VARIABLE]) if os.environ.get(fetch.VARIABLE) else install_panel.own_folder("weights")


def variables() -> dict[str, str]:
    """What tells the engine where fetched weights are."""
    return {fetch.VARIABLE: str(weights_folder())}


def missing() -> list[Missing]:
    return fetch.missing(ROOT / "weights", weights_folder())


def draw(layout: bpy.types.UILayout) -> None:
    """What is not here and can be fetched; nothing where there is nothing of that kind."""
    if _running is not None:
        progress(layout.box(), _running.fraction, _running.stage, "grasp.cancel_fetch")
        return
    wanted = missing()
    if not wanted:
        return
    box = layout.box()
    box.label(text=f"Not here: {_names(wanted)}", icon="INFO")
    if _last.reason:
        box.label(text=_last.reason[:160], icon="ERROR" if _last.state == "failed" else "BLANK1")
    row = box.row()
    row.operator("grasp.fetch_weights", icon="IMPORT",
                 text="Go On Fetching" if _last.state in ("failed", "cancelled") else "Fetch Weights")
    if _last.state == "failed":
        row.operator("grasp.copy_fetch_log", icon="COPYDOWN")


class GRASP_OT_fetch_weights(InBackground, bpy.types.Operator):
    """Fetch the trained weights that are not here from the hub, check them, and keep them in the extension's folder"""

    bl_idname = "grasp.fetch_weights"
    bl_label = "Fetch Weights"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if reason := _why_not(context):
            cls.poll_message_set(reason)
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, width=520, confirm_text="Fetch")

    def draw(self, _context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        for item in missing():
            column.label(text=f"{item.name}: {item.bytes / 1e6:.1f} MB from {item.repo}, commit {item.revision[:12]}")
        column.label(text=f"They go into {weights_folder()}")
        column.label(text="Size and SHA-256 are checked before anything is put there.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        global _running, _last
        from .. import preferences

        try:
            if reason := _why_not(context):
                raise GraspError(reason)
            wanted = missing()
            steps = fetch.fetch_steps(preferences.engine_python(context), ROOT, weights_folder(), wanted)
            gigabytes = fetch.GIGABYTES + 2e-9 * sum(item.bytes for item in wanted)
            _last, _running = State(), fetch.Fetching(weights_folder(), steps, gigabytes)
        except GraspError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self.begin(context)

    def running(self) -> Fetching | None:
        return _running

    def end(self, _context: bpy.types.Context) -> set[str]:
        global _running, _last
        _last, _running = _running.state, None
        return self.outcome(_last, "The weights are here")


class GRASP_OT_cancel_fetch(bpy.types.Operator):
    """Stop fetching; what has come stays, to go on from"""

    bl_idname = "grasp.cancel_fetch"
    bl_label = "Stop Fetching"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if _running is not None:
            _running.cancel()
        return {"FINISHED"}


class GRASP_OT_copy_fetch_log(CopiesLog, bpy.types.Operator):
    """Copy what the fetching said, for a report"""

    bl_idname = "grasp.copy_fetch_log"
    none = "There is no log of fetching"

    def log(self) -> Path:
        return weights_folder() / fetch.Fetching.log_name


CLASSES: Final = (GRASP_OT_fetch_weights, GRASP_OT_cancel_fetch, GRASP_OT_copy_fetch_log)


def stop() -> None:
    """Ends a fetch that runs; the add-on is being switched off."""
    global _running, _last
    if _running is not None:
        _running.cancel()
    _running, _last = None, State()


def _why_not(context: bpy.types.Context) -> str:
    """What is missing before weights can be fetched, as a sentence; "" for nothing."""
    from .. import preferences

    if _running is not None:
        return "Weights are being fetched"
    chosen = preferences.preferences(context)
    if chosen and chosen.source == "COMMAND":
        return ("The engine is a command, perhaps on another machine: fetch there, with python -m core weights fetch "
                "NAME")
    try:
        preferences.engine_python(context)
    except GraspError as error:
        return str(error).removesuffix(".")
    if not missing():
        return "All weights that the hub has are here"
    return "" if bpy.app.online_access else NO_NETWORK


def _names(wanted: list[Missing]) -> str:
    return ", ".join(f"{item.name} ({item.bytes / 1e6:.1f} MB)" for item in wanted)
