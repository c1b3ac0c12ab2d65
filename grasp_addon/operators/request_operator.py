"""What generating and refining share: a modal operator that watches a request and writes it back in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bpy

from ..engine import command
from ..errors import GraspError
from ..ui import redraw
from .mixins import ReportsErrorsMixin, status

if TYPE_CHECKING:
    from .job import CandidateJob

TICK: Final = 0.1  # seconds between two looks at the engine


def request_settings(context: bpy.types.Context, side: str, hand_length: float) -> dict[str, Any]:
    """What every request says of the hand and of how to compute.

    Args:
        context: whose scene and preferences hold the settings.
        side: "right" or "left".
        hand_length: wrist to middle fingertip, scene units.
    """
    settings = context.scene.grasp
    return {"count": settings.count, "seed": settings.seed, "device": settings.device, "side": side,
            "hand_length": hand_length, "hand_file": command.hand_file(context)}


class EngineRequestMixin(ReportsErrorsMixin):
    """Operators that ask the engine for candidates: modal in a window, waiting in scripts and in the background."""

    _timer: Any = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if status.job:
            cls.poll_message_set("The engine is at work: press ESC to stop it")
            return False
        return context.scene is not None

    def begin(self, context: bpy.types.Context) -> CandidateJob:
        """Reads all inputs and sends the handshake.

        Raises:
            GraspError: something is wrong with an input; nothing was changed.
        """
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            job = self.begin(context)
            while not job.done:
                for message, arrays in job.request.wait():
                    job.receive(message, arrays)
            return self._end(context, job)
        except (GraspError, OSError) as error:
            return self.fail(error)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            status.job = self.begin(context)
        except (GraspError, OSError) as error:
            return self.fail(error)
        status.message = status.advice = ""
        status.job.previewing = True
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        job = status.job
        if job is None:
            self._close(context)
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS" and not job.cancelling:
            job.cancelling = True
            job.request.cancel()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            for message, arrays in job.request.poll():
                job.receive(message, arrays)
                if job.cancelling and job.sent and not job.found and message["type"] == "result":
                    break
        except (GraspError, OSError) as error:
            if not (job.cancelling and job.found):
                self._close(context)
                return self.fail(error)
            job.sent = job.request.done = True
        percent = round(100 * job.request.fraction)
        context.workspace.status_text_set(f"{job.stage}  {percent} %  {len(job.found)} grasps  |  ESC: Stop")
        redraw(context, "VIEW_3D")
        if not job.done and not (job.cancelling and job.request.done):
            return {"PASS_THROUGH"}
        self._close(context)
        try:
            return self._end(context, job)
        except GraspError as error:
            if job.cancelling:
                self.report({"INFO"}, "Stopped: nothing was changed")
                return {"CANCELLED"}
            return self.fail(error)

    def cancel(self, context: bpy.types.Context) -> None:
        """What Blender calls when it closes while the operator runs."""
        if status.job:
            status.job.request.cancel()
        self._close(context)

    def _end(self, context: bpy.types.Context, job: CandidateJob) -> set[str]:
        status.message, status.advice = job.finish(context), ""
        self.report({"INFO"}, status.message)
        return {"FINISHED"}

    def _close(self, context: bpy.types.Context) -> None:
        if status.job and status.job.preview:
            status.job.preview.close()
        status.job = None
        if self._timer:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        context.workspace.status_text_set(None)
        redraw(context, "VIEW_3D")


class GRASP_OT_stop(bpy.types.Operator):
    """Stop the engine and keep the grasps found so far"""

    bl_idname = "grasp.stop"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}  # noqa: RUF012  Blender's form

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if status.job and not status.job.cancelling:
            status.job.cancelling = True
            status.job.request.cancel()
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_stop,)
