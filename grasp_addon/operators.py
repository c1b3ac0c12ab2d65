"""The operators that act on a hand that is there: show, bake, remove, and the hand length."""

from __future__ import annotations

from typing import Final

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty

from . import scrub
from .asking import Tells
from .bake import bake
from .errors import GraspError
from .objects_in import comfortable_hand_length, selected_object
from .remove import remove_hand


class OnHand:
    """Operators that need a hand with candidates."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = scrub.rig_of(context)
        if rig is None or not rig.grasp.candidates:
            cls.poll_message_set("There are no grasps yet: select an object and press Generate Grasps")
            return False
        return True


class GRASP_OT_show(OnHand, bpy.types.Operator):
    """Show a candidate"""

    bl_idname = "grasp.show"
    bl_label = "Show Grasp"
    bl_options = {"REGISTER", "UNDO_GROUPED"}  # noqa: RUF012
    bl_undo_group = "grasp.show"

    candidate: IntProperty(name="Candidate", description="Which one, from 1; 0 is the open hand", default=1, min=0)
    direction: EnumProperty(name="Direction", default="NUMBER", options={"SKIP_SAVE"}, items=(
        ("NUMBER", "By Number", "The candidate of this number"),
        ("NEXT", "Next", "The next one; after the last the first"),
        ("PREVIOUS", "Previous", "The one before; before the first the last")))

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = scrub.rig_of(context)
        count, now = len(rig.grasp.candidates), scrub.shown(rig)
        if self.direction == "NUMBER" and self.candidate > count:
            self.report({"ERROR"}, f"There is no grasp {self.candidate}: this hand has {count}")
            return {"CANCELLED"}
        place = {"NUMBER": self.candidate, "NEXT": now % count + 1, "PREVIOUS": (now - 2) % count + 1 if now else count}
        self.candidate = place[self.direction]
        scrub.show(rig, self.candidate)
        return {"FINISHED"}


class GRASP_OT_bake(OnHand, bpy.types.Operator):
    """Key the shown grasp at the current frame"""

    bl_idname = "grasp.bake"
    bl_label = "Bake to Keyframes"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = scrub.rig_of(context)
        frame = bake(context, rig)
        self.report({"INFO"}, f"Keyed {rig.name} at frame {frame}")
        return {"FINISHED"}


class GRASP_OT_end_look(OnHand, bpy.types.Operator):
    """Leave the grasp looked at and show the baked keys again (so does any change of frame)"""

    bl_idname = "grasp.end_look"
    bl_label = "Back to Animation"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        scrub.end_look(scrub.rig_of(context))
        context.scene.frame_set(context.scene.frame_current, subframe=context.scene.frame_subframe)
        return {"FINISHED"}


class GRASP_OT_remove(bpy.types.Operator):
    """Remove the hand with its grasps and keys, and nothing else"""

    bl_idname = "grasp.remove"
    bl_label = "Remove Grasps"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    everything: BoolProperty(name="All Hands", description="Every hand in the file", default=False)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if scrub.rig_of(context) is None:
            cls.poll_message_set("There is no hand of this add-on in the scene")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        for rig in scrub.rigs() if self.everything else [scrub.rig_of(context)]:
            remove_hand(rig)
        return {"FINISHED"}


class GRASP_OT_set_hand_length(Tells, bpy.types.Operator):
    """Set the hand's length in this scene so that the selected object is a comfortable size"""

    bl_idname = "grasp.set_hand_length"
    bl_label = "Set Hand Length for This Object"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            length = comfortable_hand_length(selected_object(context))
        except GraspError as error:
            return self.fail(error)
        context.scene.grasp.hand_length = length
        self.report({"INFO"}, f"The hand is {length:.3g} units long in this scene")
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_show, GRASP_OT_bake, GRASP_OT_end_look, GRASP_OT_remove, GRASP_OT_set_hand_length)
