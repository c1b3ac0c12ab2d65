"""grasp.end_look: back from a candidate looked at to the baked keys."""

from __future__ import annotations

from typing import Final

import bpy

from ..rig import scrub
from ..rig.hands import rig_of
from .mixins import NeedsCandidatesMixin


class GRASP_OT_end_look(NeedsCandidatesMixin, bpy.types.Operator):
    """Leave the grasp looked at and show the baked keys again (so does any change of frame)"""

    bl_idname = "grasp.end_look"
    bl_label = "Back to Animation"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender's form

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = rig_of(context)
        assert rig is not None  # as poll has seen
        scrub.end_look(rig)
        context.scene.frame_set(context.scene.frame_current, subframe=context.scene.frame_subframe)
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_end_look,)
