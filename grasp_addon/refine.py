"""grasp.fit: candidates around the pose an animator gave the hand, which itself is kept; grasp.pose frees the bones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import bpy
import numpy as np

from . import engine_link, preferences, scrub
from .asking import Asks, Work, wishes_of
from .build import place_refined
from .errors import GraspError
from .hand_data import ENGINE_HAND_LENGTH, Candidate, HandShape
from .objects_in import ObjectIn, check_size, graspable, selected_object
from .posed import free_bones, hand_scale, read_pose

FARTHEST: Final = 1.0  # hand lengths between hand and object: nothing that far is a grasp of it


@dataclass
class Refining(Work):
    """One click of Refine Grasp: `pose` is the animator's, of the hand named `hand`, `scale` times its made size.

    `method` is the panel's: one that refines hands, as JointDiffusion does, makes some of the candidates.
    """

    hand: str = ""
    method: str = ""
    scale: float = 1.0
    pose: Candidate | None = None

    def hand_of(self, message: dict, arrays: dict) -> HandShape:
        """The hand as large as the one in the scene, whatever the setting says by now."""
        record = self.rig.grasp
        usual = engine_link.hand_shape(message, arrays, ENGINE_HAND_LENGTH)
        if len(usual.vertices) != len(self.pose.rest_vertices):
            raise GraspError(f"{self.hand} is not the engine's hand any more: its mesh was edited, or the preferences "
                             "name another hand file. Press Add Hand and pose that one.")
        self.settings["hand_length"] = ENGINE_HAND_LENGTH * record.hand_length * self.scale / usual.length
        return engine_link.hand_shape(message, arrays, self.settings["hand_length"])

    def ask(self) -> engine_link.Request:
        wishes = {**self.settings, "method": self.method}
        return engine_link.fit(self.engine, self.item, wishes, self.pose.rotations[None],
                               self.pose.translation[None])

    def finish(self, context: bpy.types.Context) -> str:
        found = self.best
        if not found:
            raise GraspError(f"No grasp of {self.item.name} was found near this pose: move the palm and the fingers "
                             "closer to where they should touch.")
        place_refined(context, self.rig, self.item, self.pose, found, self.scale, self.parent)
        return f"{len(found)} grasps around your pose on {self.item.name}"

    @property
    def rig(self) -> bpy.types.Object:
        found = next((r for r in scrub.rigs(bpy.context.scene) if r.name == self.hand), None)
        if found is None:
            raise GraspError(f"{self.hand} was removed meanwhile: nothing was changed.")
        return found


def hand_meant(context: bpy.types.Context) -> bpy.types.Object | None:
    """The hand to refine: the active one, else one that is selected, else the last on a selected object."""
    found = scrub.rigs(context.scene)
    selected = list(context.selected_objects or ())
    for item in (context.view_layer.objects.active, *selected):
        rig = item.grasp.armature if item and item.grasp.role == "MESH" else item
        if rig in found:
            return rig
    return next((rig for rig in reversed(found) if rig.grasp.target in selected), None)


def objects_meant(context: bpy.types.Context, rig: bpy.types.Object) -> list[bpy.types.Object]:
    """What it should hold: the selected objects, else the one it belongs to."""
    target = rig.grasp.target
    return graspable(context) or ([target] if target and target.name in context.view_layer.objects else [])


def begin(context: bpy.types.Context) -> Refining:
    settings, rig = context.scene.grasp, hand_meant(context)
    item = selected_object(context, objects_meant(context, rig))
    _, scale = hand_scale(context, rig)
    check_size(item, rig.grasp.hand_length * scale)
    pose = read_pose(context, rig, item.frame)
    away = distance_to_box(pose.vertices, item) / (rig.grasp.hand_length * scale)
    if away > FARTHEST:
        raise GraspError(f"{rig.name} is {away:.2g} hand lengths away from {item.name}: pose it at the object, as "
                         "the grasp should be, then press Refine Grasp.")
    engine = engine_link.client(*preferences.engine_command(context))
    wishes = wishes_of(context, rig.grasp.side, rig.grasp.hand_length * scale)
    greeting = engine_link.hello(engine, rig.grasp.side, wishes["hand_file"])
    return Refining(item, wishes, settings.parent, engine, greeting, hand=rig.name,
                    method=settings.method, scale=scale, pose=pose)


def distance_to_box(points: np.ndarray, item: ObjectIn) -> float:
    """How far the nearest of (V, 3) points is from the object's bounding box."""
    low, high = item.vertices.min(axis=0), item.vertices.max(axis=0)
    return float(np.linalg.norm(np.maximum(np.maximum(low - points, points - high), 0.0), axis=1).min())


class GRASP_OT_fit(Asks, bpy.types.Operator):
    """Find grasps around the pose the hand is in now. Pose it near the object first; your pose is kept as well"""

    bl_idname = "grasp.fit"
    bl_label = "Refine Grasp"
    bl_options = {"UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        rig = hand_meant(context)
        if rig is None:
            there = scrub.rigs(context.scene)
            cls.poll_message_set("Select the hand you posed, and with it the object it should hold" if there else
                                 "There is no hand yet: press Add Hand and pose it at an object")
            return False
        if "EDIT" in (rig.mode, rig.grasp.mesh.mode):
            cls.poll_message_set("The hand is in Edit Mode: pose it in Pose Mode")
            return False
        if not objects_meant(context, rig):
            cls.poll_message_set("Select the object the hand should hold too: Shift-click it in Object Mode")
            return False
        return True

    def begin(self, context: bpy.types.Context) -> Refining:
        return begin(context)


class GRASP_OT_pose(bpy.types.Operator):
    """Free the bones from the shown grasp, to pose them yourself. Choosing a candidate takes them back"""

    bl_idname = "grasp.pose"
    bl_label = "Pose by Hand"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = scrub.rig_of(context)
        if rig is None or not scrub.driven(rig):
            cls.poll_message_set("The bones are free already" if rig else "There is no hand yet")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = scrub.rig_of(context)
        free_bones(context, rig)
        if context.mode == "OBJECT" and rig.visible_get():
            for item in context.selected_objects:
                item.select_set(False)
            rig.select_set(True)
            context.view_layer.objects.active = rig
            bpy.ops.object.mode_set(mode="POSE")
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_fit, GRASP_OT_pose)
