"""What a request holds of Blender's window while it is on its way, and the one place where all of it is given back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from bpy.app.handlers import persistent

from ..ui import redraw
from .mixins import status

if TYPE_CHECKING:
    import bpy

    from .job import EngineJob

TICK: Final = 0.1  # seconds between two looks at the engine

_current: Watch | None = None


class Watch:
    """A request that is watched. Every end of it, whichever it is, leads through `close`.

    Args:
        job: what was asked.
        context: the window's, for a request that is watched by ticks; None for one that is waited for.

    Attributes:
        job: see above.
        closed: whether everything was given back.
    """

    def __init__(self, job: EngineJob, context: bpy.types.Context | None = None) -> None:
        global _current
        self.job, self.closed = job, False
        self._context = context
        self._timer: Any = None
        self._told: Any = None  # the workspace whose status bar holds the text
        if context is None:
            return
        end()
        _current, status.job = self, job
        status.message = status.advice = ""
        job.previewing = True
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)

    def tell(self, text: str | None) -> None:
        """Shows how far it is in the status bar of the workspace that is looked at, and in no other."""
        workspace = self._context.workspace if self._context else None
        if self._told is not None and self._told != workspace:
            _set_text(self._told, None)
        self._told = workspace
        _set_text(workspace, text)

    def close(self) -> None:
        """Gives back the timer, the preview, the status text and the buttons, and frees the engine where it is at work.

        It may be called again, and whatever one part of it meets, the others are done.
        """
        global _current  # noqa: PLW0603
        if self.closed:
            return
        self.closed = True
        with contextlib.ExitStack() as parts:  # the last is done first
            if not self.job.request.done:
                parts.callback(self.job.stop)
            if self.job.preview is not None:
                parts.callback(self.job.preview.close)
            if self._context is not None:
                parts.callback(self._give_window_back, self._context)
            if status.job is self.job:
                status.job = None
            if _current is self:
                _current = None

    def _give_window_back(self, context: Any) -> None:
        gone = contextlib.suppress(ReferenceError, RuntimeError, AttributeError, ValueError)  # with its window
        with gone:
            self.tell(None)
        if self._timer is not None:
            with gone:
                context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        with gone:
            redraw(context, "VIEW_3D")
            redraw(context, "PREFERENCES")


def end() -> None:
    """Ends what is watched now, whatever it waits for: a file is loaded, or the add-on switched off."""
    if _current is not None:
        _current.close()


@persistent
def before_load(*_: object) -> None:
    """What was asked for the file that is left has no place in the next."""
    end()


def _set_text(workspace: Any, text: str | None) -> None:
    with contextlib.suppress(ReferenceError, AttributeError):  # the workspace was deleted, or its window closed
        workspace.status_text_set(text)
