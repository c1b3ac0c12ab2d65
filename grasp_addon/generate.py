"""grasp.generate: read the selection, ask the engine, write the hand back in one undo step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import bpy

from . import engine_link, preferences
from .build import place_candidates
from .errors import GraspError
from .objects_in import ObjectIn, check_size, selected_object
from .preview import Preview

if TYPE_CHECKING:
    from .hand_data import Candidate, HandShape

TICK: Final = 0.1


@dataclass
class Work:
    """One click of Generate Grasps, from the inputs read to the candidates that came."""

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

    @property
    def stage(self) -> str:
        return "Stopping" if self.cancelling else self.request.stage

    @property
    def done(self) -> bool:
        return self.request.done and (self.shape is not None and self.asked)

    asked: bool = False

    def take(self, message: dict, arrays: dict) -> None:
        """One reply of the engine: the handshake's brings the hand, then candidates come."""
        if not self.asked:
            engine_link.learn(message)
            self.shape = engine_link.hand_shape(message, arrays, self.settings["hand_length"])
            self.request = engine_link.generate(self.engine, self.item, self.settings)
            self.asked = True
        elif message["type"] == "candidate":
            self.found.append(engine_link.candidate(message, arrays))
            if self.previewing:
                self.preview = self.preview or Preview(self.shape.polygons, self.item.frame)
                self.preview.show(self.found[-1].vertices)
        elif arrays.get("order") is not None:
            self.found = [self.found[i] for i in arrays["order"].tolist()]


@dataclass
class Status:
    """What the panel shows."""

    work: Work | None = None
    message: str = ""
    advice: str = ""


status = Status()


def begin(context: bpy.types.Context) -> Work:
    """Reads all inputs and sends the first message; GraspError says what is wrong before anything is changed."""
    settings = context.scene.grasp
    item = selected_object(context)
    check_size(item, settings.hand_length)
    engine = engine_link.client(*preferences.engine_command(context))
    wishes = {"method": settings.method or "synthesis", "count": settings.count, "seed": settings.seed,
              "side": settings.side, "grasp_type": settings.type or "any", "intent": settings.intent,
              "hand_length": settings.hand_length, "device": settings.device,
              "hand_file": preferences.hand_file(context)}
    greeting = engine_link.hello(engine, settings.side, wishes["hand_file"])
    return Work(item, wishes, settings.parent, engine, greeting)


def finish(context: bpy.types.Context, work: Work) -> str:
    """Writes the candidates into the scene; returns what to tell. GraspError when there are none."""
    if not work.found:
        raise GraspError(f"No grasp of {work.item.name} was found: try another type, seed or hand length.",
                         "hand_length")
    found = work.found[: work.settings["count"]]
    place_candidates(context, work.item, work.shape, found, work.parent)
    short = f" of the {work.settings['count']} asked for" if len(found) < work.settings["count"] else ""
    return f"{len(found)} grasps{short} on {work.item.name}"


class GRASP_OT_generate(bpy.types.Operator):
    """Propose hands that hold the selected object"""

    bl_idname = "grasp.generate"
    bl_label = "Generate Grasps"
    bl_options = {"UNDO"}  # noqa: RUF012  Blender's form

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if status.work:
            cls.poll_message_set("Grasps are being generated: press ESC to stop")
            return False
        return context.scene is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            work = begin(context)
            while not work.done:
                for message, arrays in work.request.wait():
                    work.take(message, arrays)
            return self._end(context, work)
        except (GraspError, OSError) as error:
            return self._fail(error)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            status.work = begin(context)
        except (GraspError, OSError) as error:
            return self._fail(error)
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
                return self._fail(error)
            work.asked = work.request.done = True
        percent = round(100 * work.request.fraction)
        context.workspace.status_text_set(f"{work.stage}  {percent} %  {len(work.found)} grasps  |  ESC: Stop")
        _redraw(context)
        if not work.done and not (work.cancelling and work.request.done):
            return {"PASS_THROUGH"}
        self._close(context)
        try:
            return self._end(context, work)
        except GraspError as error:
            if work.cancelling:
                self.report({"INFO"}, "Stopped: nothing was changed")
                return {"CANCELLED"}
            return self._fail(error)

    def cancel(self, context: bpy.types.Context) -> None:
        if status.work:
            status.work.request.cancel()
        self._close(context)

    def _end(self, context: bpy.types.Context, work: Work) -> set[str]:
        status.message, status.advice = finish(context, work), ""
        self.report({"INFO"}, status.message)
        return {"FINISHED"}

    def _fail(self, error: Exception) -> set[str]:
        status.message, status.advice = str(error), getattr(error, "advice", "preferences")
        self.report({"ERROR"}, status.message)
        return {"CANCELLED"}

    def _close(self, context: bpy.types.Context) -> None:
        if status.work and status.work.preview:
            status.work.preview.close()
        status.work = None
        if getattr(self, "_timer", None):
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        context.workspace.status_text_set(None)
        _redraw(context)


class GRASP_OT_stop(bpy.types.Operator):
    """Stop generating and keep the grasps found so far"""

    bl_idname = "grasp.stop"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if status.work and not status.work.cancelling:
            status.work.cancelling = True
            status.work.request.cancel()
        return {"FINISHED"}


class GRASP_OT_add_hand(bpy.types.Operator):
    """Add the hand alone, to pose by its bones"""

    bl_idname = "grasp.add_hand"
    bl_label = "Add Hand"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        import numpy as np

        from .bone_frames import open_hand_beside
        from .rig import build_hand

        settings = context.scene.grasp
        try:
            engine = engine_link.client(*preferences.engine_command(context))
            message, arrays = next(engine_link.hello(engine, settings.side, preferences.hand_file(context)).wait(
                engine_link.HELLO_SECONDS))
        except (GraspError, OSError) as error:
            status.message, status.advice = str(error), getattr(error, "advice", "preferences")
            self.report({"ERROR"}, status.message)
            return {"CANCELLED"}
        engine_link.learn(message)
        shape = engine_link.hand_shape(message, arrays, settings.hand_length)
        nothing = np.zeros(3)
        frame = np.eye(4)
        frame[:3, 3] = context.scene.cursor.location
        rig = build_hand(context, shape, open_hand_beside(shape, nothing, nothing), frame, "")
        for item in context.selected_objects:
            item.select_set(False)
        rig.select_set(True)
        context.view_layer.objects.active = rig
        return {"FINISHED"}


def _redraw(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


CLASSES: Final = (GRASP_OT_generate, GRASP_OT_stop, GRASP_OT_add_hand)
