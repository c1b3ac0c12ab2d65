"""What those that ask the engine share: a modal operator that watches a request and writes it back in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bpy

from ..engine import command
from ..ui import redraw
from .mixins import ReportsErrorsMixin, status
from .watch import Watch, end

if TYPE_CHECKING:
    from .job import EngineJob


def request_settings(context: bpy.types.Context, side: str, hand_length: float) -> dict[str, Any]:
    """What every request says of the hand and of how to compute.

    Args:
        context: whose scene and preferences hold the settings.
        side: "right" or "left".
        hand_length: wrist to middle fingertip, scene units.
    """
    settings = context.scene.grasp
    if settings.method and context.scene.library is None:
        settings.method = settings.method  # written into the file, whichever the first choice is in later versions
    return {"count": settings.count, "seed": settings.seed, "device": settings.device, "side": side,
            "hand_length": hand_length, "hand_file": command.hand_file(context)}


class EngineRequestMixin(ReportsErrorsMixin):
    """Operators that ask the engine for something: modal in a window, waiting in scripts and in the background."""

    _watch: Watch | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if status.job:
            cls.poll_message_set("The engine is at work: press ESC to stop it")
            return False
        return context.scene is not None

    def begin(self, context: bpy.types.Context) -> EngineJob:
        """Reads all inputs and sends the handshake.

        Raises:
            GraspError: something is wrong with an input; nothing was changed.
        """
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        watch = None
        try:
            watch = Watch(self.begin(context))
            watch.job.wait()
            return self._end(context, watch)
        except Exception as error:
            return self.fail(error)
        finally:
            if watch is not None:
                watch.close()

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            self._watch = Watch(self.begin(context), context)
            context.window_manager.modal_handler_add(self)
        except Exception as error:
            self.cancel(context)
            return self.fail(error)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        watch = self._watch
        if watch is None or watch.closed or status.job is not watch.job:
            self.cancel(context)
            return {"CANCELLED"}
        try:
            return self._step(context, event, watch)
        except Exception as error:
            watch.close()
            return self.fail(error)

    def cancel(self, _context: bpy.types.Context) -> None:
        """What Blender calls when its window closes or another file is loaded while the operator runs."""
        if self._watch is not None:
            self._watch.close()

    def _step(self, context: bpy.types.Context, event: bpy.types.Event, watch: Watch) -> set[str]:
        job = watch.job
        if event.type == "ESC" and event.value == "PRESS" and not job.cancelling:
            job.stop()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"} if job.writing else {"PASS_THROUGH"}  # what is half written is not to be undone
        job.look()
        percent, found = round(100 * job.request.fraction), f"{len(job.found)} grasps  |  " if job.told else ""
        watch.tell(f"{job.stage}  {percent} %  {found}ESC: Stop")
        redraw(context, "VIEW_3D")
        if not job.over:
            return {"PASS_THROUGH"}
        if job.cancelling and not job.found:
            watch.close()
            self.report({"INFO"}, "Stopped: nothing was changed")
            return {"CANCELLED"}
        job.writing = not job.write(context)
        return {"RUNNING_MODAL"} if job.writing else self._end(context, watch)

    def _end(self, context: bpy.types.Context, watch: Watch) -> set[str]:
        watch.close()
        status.message, status.advice = watch.job.finish(context), ""
        if status.message:
            self.report({"INFO"}, status.message)
        return {"FINISHED"}


class GRASP_OT_stop(bpy.types.Operator):
    """Stop the engine and keep the grasps found so far"""

    bl_idname = "grasp.stop"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}  # noqa: RUF012  Blender's form

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if status.job is not None and status.job.cancelling:
            end()  # pressed again: nobody waits any longer
        elif status.job is not None:
            status.job.stop()
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_stop,)
