"""grasp.add_hand: the hand alone, at the cursor, to pose by its bones."""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np

from ..engine import command, requests, session
from ..errors import GraspError
from ..rig.build import build_hand
from ..rig.frames import open_hand_beside
from .mixins import ReportsErrorsMixin, status


class GRASP_OT_add_hand(ReportsErrorsMixin, bpy.types.Operator):
    """Add the hand alone, to pose by its bones"""

    bl_idname = "grasp.add_hand"
    bl_label = "Add Hand"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender's form

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.grasp
        try:
            engine = session.client(*command.engine_command(context))
            message, arrays = requests.greet(engine, settings.side, command.hand_file(context))
        except (GraspError, OSError) as error:
            return self.fail(error)
        status.message = status.advice = ""
        shape = requests.hand_shape(message, arrays, settings.hand_length)
        nothing = np.zeros(3)
        frame = np.eye(4)
        frame[:3, 3] = context.scene.cursor.location
        rig = build_hand(context, shape, open_hand_beside(shape, nothing, nothing), frame, "")
        for item in context.selected_objects:
            item.select_set(False)
        rig.select_set(True)
        context.view_layer.objects.active = rig
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_add_hand,)
