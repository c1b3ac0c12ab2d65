"""grasp.refine: candidates around the pose an animator gave the hand, which itself is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import bpy
import numpy as np

from ..engine import command, requests, session
from ..engine.client import Arrays, Message
from ..engine.mesh_export import ExportedObject, check_size, graspable, selected_object
from ..engine.parts import hangs_on, is_in
from ..engine.types import ENGINE_HAND_LENGTH, Candidate, HandShape
from ..errors import GraspError
from ..rig.hands import hand_at, rigs
from ..rig.placement import place_refined
from ..rig.pose_reader import hand_scale, read_pose
from ..rig.targets import as_it_is_now
from .job import CandidateJob
from .request_operator import EngineRequestMixin, request_settings

FARTHEST: Final = 1.0  # hand lengths between hand and object: nothing that far is a grasp of it


@dataclass(kw_only=True)
class RefineJob(CandidateJob):
    """One click of Refine Grasp.

    Attributes:
        hand: the name of the hand's armature when it was asked for.
        hand_uid: the number by which it is found, whatever its name is by now.
        pose: the animator's, in the object's frame.
        method: the panel's: one that refines hands, as JointDiffusion does, makes some of the candidates.
        scale: how much larger the hand is than it was made.
    """

    hand: str
    hand_uid: int
    pose: Candidate
    method: str
    scale: float

    def hand_of(self, message: Message, arrays: Arrays) -> HandShape:
        """The hand as large as the one in the scene, whatever the setting says by now."""
        record = self.rig.grasp
        usual = requests.hand_shape(message, arrays, ENGINE_HAND_LENGTH)
        if len(usual.vertices) != len(self.pose.rest_vertices):
            raise GraspError(f"{self.hand} is not the engine's hand any more: its mesh was edited, or the preferences "
                             "name another hand file. Press Add Hand and pose that one.")
        self.settings["hand_length"] = ENGINE_HAND_LENGTH * record.hand_length * self.scale / usual.length
        return requests.hand_shape(message, arrays, self.settings["hand_length"])

    def send(self) -> requests.Request:
        settings = {**self.settings, "method": self.method}
        return requests.refine(self.engine, self.item, settings, self.pose.rotations[None],
                               self.pose.translation[None])

    def finish(self, context: bpy.types.Context) -> str:
        found = self.best
        if not found:
            raise GraspError(self.nothing)
        item, target = as_it_is_now(context, self.item)
        note = place_refined(context, self.rig, item, target, self.pose, found, self.scale, self.parent)
        return f"{self.summary(item.name)}{note}"

    @property
    def nothing(self) -> str:
        """What is said where no candidate came."""
        return (f"No grasp of {self.item.name} was found near this pose: move the palm and the fingers closer to where "
                "they should touch.")

    def summary(self, name: str) -> str:
        """What came, on an object of that name."""
        return f"{len(self.best)} grasps around your pose on {name}"

    @property
    def rig(self) -> bpy.types.Object:
        """The hand's armature.

        Raises:
            GraspError: it was removed.
        """
        found = next((r for r in rigs(bpy.context.scene) if r.session_uid == self.hand_uid), None)
        if found is None:
            raise GraspError(f"{self.hand} was removed meanwhile: nothing was changed.")
        return found


def hand_to_refine(context: bpy.types.Context) -> bpy.types.Object | None:
    """The hand to refine: the active one, else one that is selected, else the last on what is selected."""
    found = rigs(context.scene)
    selected = list(context.selected_objects or ())
    for item in (context.view_layer.objects.active, *selected):
        rig = item.grasp.armature if item and item.grasp.role == "MESH" else item
        if rig in found:
            return rig
    return next((rig for rig in (hand_at(item, found) for item in selected) if rig), None)


def objects_to_hold(context: bpy.types.Context, rig: bpy.types.Object) -> list[bpy.types.Object]:
    """What it should hold: the selected objects, but where they are parts of the one it belongs to, that one."""
    target, chosen = rig.grasp.target, graspable(context)
    if target and is_in(target, context.view_layer.objects) and all(hangs_on(item, target) for item in chosen):
        return [target]
    return chosen


def begin(context: bpy.types.Context, make: type[RefineJob] = RefineJob, **more: Any) -> RefineJob:
    """Reads all inputs of Refine Grasp and sends the handshake.

    Args:
        context: whose scene, selection and preferences are read.
        make: the job, of `RefineJob`'s attributes.
        more: attributes of the job besides.

    Raises:
        GraspError: something is wrong with an input, or no engine is chosen.
    """
    scene_settings, rig = context.scene.grasp, hand_to_refine(context)
    if rig is None:
        raise GraspError("There is no hand yet: press Add Hand and pose it at an object.", "")
    item = selected_object(context, objects_to_hold(context, rig))
    _, scale = hand_scale(context, rig)
    check_size(item, rig.grasp.hand_length * scale)
    pose = read_pose(context, rig, item.frame)
    away = distance_to_box(pose.vertices, item) / (rig.grasp.hand_length * scale)
    if away > FARTHEST:
        raise GraspError(f"{rig.name} is {away:.2g} hand lengths away from {item.name}: pose it at the object, as "
                         "the grasp should be, then press Refine Grasp.")
    engine = session.client(*command.engine_command(context))
    settings = request_settings(context, rig.grasp.side, rig.grasp.hand_length * scale)
    greeting = requests.hello(engine, rig.grasp.side, settings["hand_file"])
    return make(item, settings, scene_settings.parent, engine=engine, request=greeting, hand=rig.name,
                hand_uid=rig.session_uid, pose=pose, method=scene_settings.method, scale=scale, **more)


def distance_to_box(points: np.ndarray, item: ExportedObject) -> float:
    """How far points are from the object's bounding box.

    Args:
        points: (V, 3) in the object's frame.
        item: the object.

    Returns:
        the distance of the nearest one, 0 inside, scene units.
    """
    low, high = item.box
    return float(np.linalg.norm(np.maximum(np.maximum(low - points, points - high), 0.0), axis=1).min())


class RefineMixin(EngineRequestMixin):
    """Refine Grasp, under whichever name it is called."""

    bl_label = "Refine Grasp"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        rig = hand_to_refine(context)
        if rig is None:
            there = rigs(context.scene)
            cls.poll_message_set("Select the hand you posed, and with it the object it should hold" if there else
                                 "There is no hand yet: press Add Hand and pose it at an object")
            return False
        if "EDIT" in (rig.mode, rig.grasp.mesh.mode):
            cls.poll_message_set("The hand is in Edit Mode: pose it in Pose Mode")
            return False
        if not objects_to_hold(context, rig):
            cls.poll_message_set("Select the object the hand should hold too: Shift-click it in Object Mode")
            return False
        return True

    def begin(self, context: bpy.types.Context) -> RefineJob:
        return begin(context)


class GRASP_OT_refine(RefineMixin, bpy.types.Operator):
    """Find grasps around the pose the hand is in now. Pose it near the object first; your pose is kept as well"""

    bl_idname = "grasp.refine"
    bl_options = {"UNDO"}  # noqa: RUF012  Blender's form


class GRASP_OT_fit(RefineMixin, bpy.types.Operator):
    """Refine Grasp by the name it had in 0.1.0, for keymaps, files and scripts"""

    bl_idname = "grasp.fit"
    bl_options = {"UNDO", "INTERNAL"}  # noqa: RUF012  not offered twice in menu search


CLASSES: Final = (GRASP_OT_refine, GRASP_OT_fit)
