"""What operators share whose work goes on in a thread, with a log, while Blender stays usable."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bpy

from ..engine.install import Installation, State
from ..ui import redraw
from .mixins import OperatorBase

if TYPE_CHECKING:
    from collections.abc import Callable

TICK: Final = 0.2  # seconds between two looks at the work


class BackgroundTask:
    """The one piece of work of a kind that may run in this Blender.

    Attributes:
        running: the work; None where there is none.
        last: how the last one ended.
        settle: looks whether work that nobody watches has ended; when to look again, None for never.
    """

    def __init__(self) -> None:
        self.running: Installation | None = None
        self.last = State()
        self._then: Callable[[bpy.types.Context], None] | None = None
        self.settle = self._settle  # one and the same at each look: that is how Blender knows a timer again

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

    def go_on_unwatched(self, then: Callable[[bpy.types.Context], None]) -> None:
        """Ends by itself, for its operator has gone with its window or file; `then` follows where it succeeded."""
        self._then = then
        if not bpy.app.timers.is_registered(self.settle):
            bpy.app.timers.register(self.settle, first_interval=TICK, persistent=True)

    def _settle(self) -> float | None:
        if self.running is not None and not self.running.done:
            return TICK
        if self.running is not None and self.end().state == "ready" and self._then is not None:
            self._then(bpy.context)
        return None

    def stop(self) -> None:
        """Ends the work and forgets it; the add-on is being switched off."""
        if bpy.app.timers.is_registered(self.settle):
            bpy.app.timers.unregister(self.settle)
        self.cancel()
        self.running, self.last = None, State()


class BackgroundTaskMixin(OperatorBase):
    """Waits for a task without blocking the window; in scripts it blocks. A subclass names `task` and `success`."""

    task: BackgroundTask
    success = ""  # what is told at the end
    _timer: Any = None

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
        self._give_back(context)
        return self._end(context) if work is not None else {"CANCELLED"}

    def cancel(self, context: bpy.types.Context) -> None:
        """What Blender calls when its window closes or another file is loaded: the work goes on all the same."""
        self._give_back(context)
        self.task.go_on_unwatched(self.ready)

    def _give_back(self, context: bpy.types.Context) -> None:
        if self._timer is not None:
            with contextlib.suppress(ReferenceError, RuntimeError, AttributeError):  # it has gone with its window
                context.window_manager.event_timer_remove(self._timer)
        self._timer = None

    @classmethod
    def ready(cls, context: bpy.types.Context) -> None:
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
