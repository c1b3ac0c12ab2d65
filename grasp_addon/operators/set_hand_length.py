"""grasp.set_hand_length: the hand's length in the scene, by the selected object's size."""

from __future__ import annotations

from typing import Final

import bpy

from ..engine.mesh_export import comfortable_hand_length, selected_object
from ..errors import GraspError
from .mixins import ReportsErrorsMixin


class GRASP_OT_set_hand_length(ReportsErrorsMixin, bpy.types.Operator):
    """Set the hand's length in this scene so that the selected object is a comfortable size"""

    bl_idname = "grasp.set_hand_length"
    bl_label = "Set Hand Length for This Object"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender's form

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            length = comfortable_hand_length(selected_object(context, labelled=False))
        except GraspError as error:
            return self.fail(error)
        context.scene.grasp.hand_length = length
        self.report({"INFO"}, f"The hand is {length:.3g} units long in this scene")
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_set_hand_length,)
