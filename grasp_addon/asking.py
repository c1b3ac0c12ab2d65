"""What generating and refining share: a request on its way, watched by a modal operator, written back in one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import bpy

from . import engine_link, preferences
from .errors import GraspError
from .preview import Preview
from .ui import redraw

if TYPE_CHECKING:
    from .hand_data import Candidate, HandShape
    from .objects_in import ObjectIn

TICK: Final = 0.1


@dataclass
class Work:
    """One click, from the inputs read to the candidates that came. A kind of work says how it asks and what it makes.

    The handshake comes first, for it brings the hand; `asked` tells that it has, and that `request` is the second.
    """

    item: ObjectIn
    settings: dict
    parent: bool
    engine: object
    request: engine_link.Request
    shape: HandShape | None = None
    found: list[Candidate] = field(default_factory=list)
    preview: Preview | None = None
    previewing: bool = False
    cancelling: bool = False
    asked: bool = False
    ordered: bool = False

    def hand_of(self, message: dict, arrays: dict) -> HandShape:
        """The hand of the handshake's result, in scene units."""
        return engine_link.hand_shape(message, arrays, self.settings["hand_length"])

    def ask(self) -> engine_link.Request:
        """Sends the request itself, once the hand is known."""
        raise NotImplementedError

    def finish(self, context: bpy.types.Context) -> str:
        """Writes the candidates into the scene; returns what to tell. GraspError when there are none."""
        raise NotImplementedError

    @property
    def stage(self) -> str:
        return "Stopping" if self.cancelling else self.request.stage

    @property
    def done(self) -> bool:
        return self.request.done and self.shape is not None and self.asked

    @property
    def best(self) -> list[Candidate]:
        """At most as many as were asked for, best first: as the engine says, or by score where it was stopped."""
        found = self.found if self.ordered else sorted(self.found, key=lambda c: -c.score)
        return found[: self.settings["count"]]

    def take(self, message: dict, arrays: dict) -> None:
        """One reply of the engine: the handshake's brings the hand, then candidates come."""
        if not self.asked:
            engine_link.learn(message)
            self.shape = self.hand_of(message, arrays)
            self.request = self.ask()
            self.asked = True
        elif message["type"] == "candidate":
            self.found.append(engine_link.candidate(message, arrays))
            if self.previewing:
                self.preview = self.preview or Preview(self.shape.polygons, self.item.frame)
                self.preview.show(self.found[-1].vertices)
        elif arrays.get("order") is not None:
            self.found = [self.found[i] for i in arrays["order"].tolist()]
            self.ordered = True


@dataclass
class Status:
    """What the panel shows."""

    work: Work | None = None
    message: str = ""
    advice: str = ""


status = Status()


def wishes_of(context: bpy.types.Context, side: str, hand_length: float) -> dict:
    """What every request says of the hand and of how to compute."""
    settings = context.scene.grasp
    return {"count": settings.count, "seed": settings.seed, "device": settings.device, "side": side,
            "hand_length": hand_length, "hand_file": preferences.hand_file(context)}


class Tells:
    """Operators whose errors are sentences for the animator."""

    def fail(self, error: Exception) -> set[str]:
        """Reports the error, and keeps it in the panel with the button that helps."""
        status.message, status.advice = str(error), getattr(error, "advice", "preferences")
        self.report({"ERROR"}, status.message)
        return {"CANCELLED"}


class Asks(Tells):
    """Operators that ask the engine for candidates: modal in a window, waiting in scripts and in the background."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if status.work:
            cls.poll_message_set("The engine is at work: press ESC to stop it")
            return False
        return context.scene is not None

    def begin(self, context: bpy.types.Context) -> Work:
        """Reads all inputs and sends the handshake; GraspError says what is wrong before anything is changed."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            work = self.begin(context)
            while not work.done:
                for message, arrays in work.request.wait():
                    work.take(message, arrays)
            return self._end(context, work)
        except (GraspError, OSError) as error:
            return self.fail(error)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            status.work = self.begin(context)
        except (GraspError, OSError) as error:
            return self.fail(error)
        status.message = status.advice = ""
        status.work.previewing = True
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        work = status.work
        if event.type == "ESC" and event.value == "PRESS" and not work.cancelling:
            work.cancelling = True
            work.request.cancel()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            for message, arrays in work.request.poll():
                work.take(message, arrays)
                if work.cancelling and work.asked and not work.found and message["type"] == "result":
                    break
        except (GraspError, OSError) as error:
            if not (work.cancelling and work.found):
                self._close(context)
                return self.fail(error)
            work.asked = work.request.done = True
        percent = round(100 * work.request.fraction)
        context.workspace.status_text_set(f"{work.stage}  {percent} %  {len(work.found)} grasps  |  ESC: Stop")
        redraw(context, "VIEW_3D")
        if not work.done and not (work.cancelling and work.request.done):
            return {"PASS_THROUGH"}
        self._close(context)
        try:
            return self._end(context, work)
        except GraspError as error:
            if work.cancelling:
                self.report({"INFO"}, "Stopped: nothing was changed")
                return {"CANCELLED"}
            return self.fail(error)

    def cancel(self, context: bpy.types.Context) -> None:
        if status.work:
            status.work.request.cancel()
        self._close(context)

    def _end(self, context: bpy.types.Context, work: Work) -> set[str]:
        status.message, status.advice = work.finish(context), ""
        self.report({"INFO"}, status.message)
        return {"FINISHED"}

    def _close(self, context: bpy.types.Context) -> None:
        if status.work and status.work.preview:
            status.work.preview.close()
        status.work = None
        if getattr(self, "_timer", None):
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        context.workspace.status_text_set(None)
        redraw(context, "VIEW_3D")


class GRASP_OT_stop(bpy.types.Operator):
    """Stop the engine and keep the grasps found so far"""

    bl_idname = "grasp.stop"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if status.work and not status.work.cancelling:
            status.work.cancelling = True
            status.work.request.cancel()
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_stop,)
