"""grasp.show: one candidate, by its number or the next one.

Blender reads properties from annotations that are calls, which no type checker takes for types.
"""
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from typing import Final

import bpy
from bpy.props import EnumProperty, IntProperty

from ..errors import GraspError
from ..rig import scrub
from ..rig.hands import rig_of, shown_candidate
from .mixins import NeedsCandidatesMixin, ReportsErrorsMixin


class GRASP_OT_show(NeedsCandidatesMixin, ReportsErrorsMixin, bpy.types.Operator):
    """Show a candidate"""

    bl_idname = "grasp.show"
    bl_label = "Show Grasp"
    bl_options = {"REGISTER", "UNDO_GROUPED"}  # noqa: RUF012  Blender's form
    bl_undo_group = "grasp.show"

    candidate: IntProperty(name="Candidate", description="Which one, from 1; 0 is the open hand", default=1, min=0)
    direction: EnumProperty(name="Direction", default="NUMBER", options={"SKIP_SAVE"}, items=(
        ("NUMBER", "By Number", "The candidate of this number"),
        ("NEXT", "Next", "The next one; after the last the first"),
        ("PREVIOUS", "Previous", "The one before; before the first the last")))

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = rig_of(context)
        assert rig is not None  # as poll has seen
        count, now = len(rig.grasp.candidates), shown_candidate(rig)
        if self.direction == "NUMBER" and self.candidate > count:
            self.report({"ERROR"}, f"There is no grasp {self.candidate}: this hand has {count}")
            return {"CANCELLED"}
        place = {"NUMBER": self.candidate, "NEXT": now % count + 1, "PREVIOUS": (now - 2) % count + 1 if now else count}
        self.candidate = place[self.direction]
        try:
            turned = scrub.show(rig, self.candidate)
        except GraspError as error:
            return self.fail(error)
        if turned:
            several = " and others" if len(turned) > 3 else ""
            self.report({"INFO"}, f"{', '.join(turned[:3])}{several} set to Quaternion (WXYZ) rotation while a grasp "
                        "is shown; Bake to Keyframes sets them back")
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_show,)
