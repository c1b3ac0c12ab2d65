"""grasp.bake: keys for the shown grasp at the current frame."""

from __future__ import annotations

from typing import Final

import bpy

from ..errors import GraspError
from ..rig.bake import bake
from ..rig.hands import rig_of
from .mixins import NeedsCandidatesMixin, ReportsErrorsMixin


class GRASP_OT_bake(NeedsCandidatesMixin, ReportsErrorsMixin, bpy.types.Operator):
    """Key the shown grasp at the current frame"""

    bl_idname = "grasp.bake"
    bl_label = "Bake to Keyframes"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender's form

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = rig_of(context)
        assert rig is not None  # as poll has seen
        try:
            frame = bake(context, rig)
        except GraspError as error:
            return self.fail(error)
        self.report({"INFO"}, f"Keyed {rig.name} at frame {frame}")
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_bake,)
