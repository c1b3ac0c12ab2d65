"""grasp.check_engine: start the engine and tell what it can do."""

from __future__ import annotations

from typing import Final

import bpy

from ..engine import command, requests, session
from ..errors import GraspError


class GRASP_OT_check_engine(bpy.types.Operator):
    """Start the engine and ask it what it can do"""

    bl_idname = "grasp.check_engine"
    bl_label = "Check Engine"

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = command.preferences(context)
        try:
            engine = session.client(*command.engine_command(context))
            requests.greet(engine, "right", "")
            answer, level = session.info().sentence, "INFO"
        except (GraspError, OSError) as error:
            answer, level = str(error), "ERROR"
        if chosen:
            chosen.answer = answer
        self.report({level}, answer)
        return {"FINISHED"} if level == "INFO" else {"CANCELLED"}


CLASSES: Final = (GRASP_OT_check_engine,)
