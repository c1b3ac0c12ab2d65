"""What operators share whose work goes on in a thread, with a log, while Blender stays usable."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import bpy

from ..engine.install import Installation, State
from ..ui import redraw
from .mixins import OperatorBase

TICK: Final = 0.2  # seconds between two looks at the work


class BackgroundTask:
    """The one piece of work of a kind that may run in this Blender.

    Attributes:
        running: the work; None where there is none.
        last: how the last one ended.
    """

    def __init__(self) -> None:
        self.running: Installation | None = None
        self.last = State()

    def start(self, work: Installation) -> None:
        """Takes work that runs already."""
        self.running, self.last = work, State()

    def cancel(self) -> None:
        """Asks the work to stop, if there is some."""
        if self.running is not None:
            self.running.cancel()

    def end(self) -> State:
        """Lets go of work that has ended; how it did."""
        if self.running is not None:
            self.last, self.running = self.running.state, None
        return self.last

    def stop(self) -> None:
        """Ends the work and forgets it; the add-on is being switched off."""
        self.cancel()
        self.running, self.last = None, State()


class BackgroundTaskMixin(OperatorBase):
    """Waits for a task without blocking the window; in scripts it blocks. A subclass names `task` and `success`."""

    task: BackgroundTask
    success = ""  # what is told at the end

    def watch(self, context: bpy.types.Context) -> set[str]:
        """Goes on from the operator's `execute`, once the work runs."""
        if bpy.app.background:
            if self.task.running is not None:
                self.task.running.wait()
            return self._end(context)
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        redraw(context, "PREFERENCES")
        work = self.task.running
        if work is not None and not work.done:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._end(context) if work is not None else {"CANCELLED"}

    def ready(self, context: bpy.types.Context) -> None:
        """What follows when the work succeeded."""

    def _end(self, context: bpy.types.Context) -> set[str]:
        state = self.task.end()
        if state.state != "ready":
            self.report({"WARNING" if state.state == "cancelled" else "ERROR"}, state.reason)
            return {"CANCELLED"}
        self.ready(context)
        self.report({"INFO"}, self.success)
        return {"FINISHED"}


class CopiesLogMixin(OperatorBase):
    """Puts a log on the clipboard. A subclass says in `none` what is told where there is no log."""

    bl_label = "Copy Log"
    bl_options = {"INTERNAL"}  # noqa: RUF012  Blender's form
    none = ""

    def log(self) -> Path:
        """The log's file."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            context.window_manager.clipboard = self.log().read_text(encoding="utf-8")
        except OSError:
            self.report({"ERROR"}, self.none)
            return {"CANCELLED"}
        return {"FINISHED"}
