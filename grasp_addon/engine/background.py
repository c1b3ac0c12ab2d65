"""What operators share whose work goes on in a thread, with a log, while Blender stays usable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import bpy

from ..ui import redraw

if TYPE_CHECKING:
    from .install import Installation, State

TICK: Final = 0.2


class InBackground:
    """Waits for an `Installation` without blocking the window; in scripts it blocks."""

    def running(self) -> Installation | None:
        """The work; None when it was ended from elsewhere."""
        raise NotImplementedError

    def end(self, context: bpy.types.Context) -> set[str]:
        """What follows when the work is done."""
        raise NotImplementedError

    def begin(self, context: bpy.types.Context) -> set[str]:
        """Goes on from the operator's `execute`, once the work runs."""
        if bpy.app.background:
            self.running().wait()
            return self.end(context)
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        redraw(context, "PREFERENCES")
        work = self.running()
        if work is not None and not work.done:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self.end(context) if work is not None else {"CANCELLED"}

    def outcome(self, state: State, success: str) -> set[str]:
        """Says how it ended."""
        if state.state != "ready":
            self.report({"WARNING" if state.state == "cancelled" else "ERROR"}, state.reason)
            return {"CANCELLED"}
        self.report({"INFO"}, success)
        return {"FINISHED"}


class CopiesLog:
    """Puts a log on the clipboard."""

    bl_label = "Copy Log"
    bl_options = {"INTERNAL"}  # noqa: RUF012
    none = ""  # what is said where there is no log

    def log(self) -> Path:
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            context.window_manager.clipboard = self.log().read_text(encoding="utf-8")
        except OSError:
            self.report({"ERROR"}, self.none)
            return {"CANCELLED"}
        return {"FINISHED"}
