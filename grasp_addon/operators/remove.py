"""grasp.remove: the hand with all that was made for it, and nothing else.

Blender reads properties from annotations that are calls, which no type checker takes for types.
"""
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from typing import Final

import bpy
from bpy.props import BoolProperty

from ..rig.hands import rig_of, rigs
from ..rig.remove import remove_hand, why_it_stays


class GRASP_OT_remove(bpy.types.Operator):
    """Remove the hand with its grasps and keys, and nothing else"""

    bl_idname = "grasp.remove"
    bl_label = "Remove Grasps"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender's form

    everything: BoolProperty(name="All Hands", description="Every hand in the file", default=False)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if rig_of(context) is None:
            cls.poll_message_set("There is no hand of this add-on in the scene")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        kept = []
        for rig in rigs() if self.everything else [rig_of(context)]:
            sentence = why_it_stays(rig)
            if sentence:
                kept.append(sentence)
            else:
                remove_hand(rig)
        if not kept:
            return {"FINISHED"}
        self.report({"WARNING" if self.everything else "ERROR"}, ". ".join(kept))
        return {"FINISHED" if self.everything else "CANCELLED"}


CLASSES: Final = (GRASP_OT_remove,)
