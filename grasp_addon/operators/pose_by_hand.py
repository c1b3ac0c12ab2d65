"""grasp.pose: the bones are freed from the shown grasp, for the animator to pose."""

from __future__ import annotations

from typing import Final

import bpy

from ..errors import GraspError
from ..rig.hands import is_driven, rig_of
from ..rig.pose_reader import free_bones
from .mixins import ReportsErrorsMixin


class GRASP_OT_pose(ReportsErrorsMixin, bpy.types.Operator):
    """Free the bones from the shown grasp, to pose them yourself. Choosing a candidate takes them back"""

    bl_idname = "grasp.pose"
    bl_label = "Pose by Hand"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender's form

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = rig_of(context)
        if rig is None or not is_driven(rig):
            cls.poll_message_set("The bones are free already" if rig else "There is no hand yet")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = rig_of(context)
        assert rig is not None  # as poll has seen
        try:
            free_bones(context, rig)
        except GraspError as error:
            return self.fail(error)
        if context.mode == "OBJECT" and rig.visible_get():
            for item in context.selected_objects:
                item.select_set(False)
            rig.select_set(True)
            context.view_layer.objects.active = rig
            bpy.ops.object.mode_set(mode="POSE")
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_pose,)
