"""What operators of this add-on share: errors told in sentences, and a hand to act on."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import bpy

from ..errors import GraspError
from ..rig import hands
from ..ui import redraw

if TYPE_CHECKING:
    from typing import TypeAlias

    from .job import EngineJob

    OperatorBase: TypeAlias = bpy.types.Operator
else:
    OperatorBase = object  # Blender registers the class that mixes these in, with its own Operator


#: how a sentence begins that tells an error for which there is none
UNFORESEEN: Final = "This failed in a way nobody foresaw"


@dataclass
class Status:
    """What the panel shows.

    Attributes:
        job: what the engine works at now.
        message: the last sentence for the animator.
        advice: which button helps, as `GraspError` says.
    """

    job: EngineJob | None = None
    message: str = ""
    advice: str = ""


status = Status()


class ReportsErrorsMixin(OperatorBase):
    """Operators whose errors are sentences for the animator."""

    def fail(self, error: Exception) -> set[str]:
        """Reports the error, and keeps it in the panel with the button that helps."""
        status.message, status.advice = sentence_of(error), getattr(error, "advice", "preferences")
        redraw(bpy.context, "VIEW_3D")  # a cancelled operator has Blender draw nothing anew
        self.report({"ERROR"}, status.message)
        return {"CANCELLED"}


def sentence_of(error: Exception) -> str:
    """What to tell the animator. What nobody foresaw is written to the console, too, for a report."""
    if isinstance(error, GraspError) or (isinstance(error, OSError) and str(error)):
        return str(error)
    if isinstance(error, MemoryError):
        return "Blender ran out of memory: use a lighter mesh or fewer candidates."
    traceback.print_exception(error)
    return (f"{UNFORESEEN} ({type(error).__name__}: {str(error)[:200]}). Look at what was "
            "changed, or undo it; the console holds the details for a report.")


class NeedsCandidatesMixin(OperatorBase):
    """Operators that need a hand with candidates."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = hands.rig_of(context)
        if rig is None or not rig.grasp.candidates:
            cls.poll_message_set("There are no grasps yet: select an object and press Generate Grasps")
            return False
        return True
