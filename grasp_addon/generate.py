"""grasp.generate: read the selection, ask the engine, write the hand back in one undo step. grasp.add_hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import bpy
import numpy as np

from . import engine_link, preferences
from .asking import Asks, Tells, Work, status, wishes_of
from .bone_frames import open_hand_beside
from .build import place_candidates
from .errors import GraspError
from .objects_in import check_size, selected_object
from .rig import build_hand


@dataclass
class Generating(Work):
    """One click of Generate Grasps."""

    def ask(self) -> engine_link.Request:
        return engine_link.generate(self.engine, self.item, self.settings)

    def finish(self, context: bpy.types.Context) -> str:
        found = self.best
        if not found:
            raise GraspError(f"No grasp of {self.item.name} was found: try another type, seed or hand length.",
                             "hand_length")
        place_candidates(context, self.item, self.shape, found, self.parent)
        short = f" of the {self.settings['count']} asked for" if len(found) < self.settings["count"] else ""
        return f"{len(found)} grasps{short} on {self.item.name}"


def begin(context: bpy.types.Context) -> Generating:
    settings = context.scene.grasp
    item = selected_object(context)
    check_size(item, settings.hand_length)
    engine = engine_link.client(*preferences.engine_command(context))
    wishes = {**wishes_of(context, settings.side, settings.hand_length), "method": settings.method or "synthesis",
              "grasp_type": settings.type or "any", "intent": settings.intent, "fit": settings.fit}
    greeting = engine_link.hello(engine, settings.side, wishes["hand_file"])
    return Generating(item, wishes, settings.parent, engine, greeting)


class GRASP_OT_generate(Asks, bpy.types.Operator):
    """Propose hands that hold the selected object"""

    bl_idname = "grasp.generate"
    bl_label = "Generate Grasps"
    bl_options = {"UNDO"}  # noqa: RUF012  Blender's form

    def begin(self, context: bpy.types.Context) -> Generating:
        return begin(context)


class GRASP_OT_add_hand(Tells, bpy.types.Operator):
    """Add the hand alone, to pose by its bones"""

    bl_idname = "grasp.add_hand"
    bl_label = "Add Hand"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.grasp
        try:
            engine = engine_link.client(*preferences.engine_command(context))
            message, arrays = engine_link.greet(engine, settings.side, preferences.hand_file(context))
        except (GraspError, OSError) as error:
            return self.fail(error)
        status.message = status.advice = ""
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


CLASSES: Final = (GRASP_OT_generate, GRASP_OT_add_hand)
