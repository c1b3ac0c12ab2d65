"""grasp.add_hand: the hand alone, at the cursor, to pose by its bones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import bpy
import numpy as np

from ..engine import command, requests, session
from ..engine.client import Arrays, Message
from ..errors import GraspError
from ..rig.build import build_hand
from ..rig.frames import open_hand_beside
from .job import EngineJob
from .request_operator import EngineRequestMixin


@dataclass(kw_only=True)
class HandJob(EngineJob):
    """One click of Add Hand.

    Attributes:
        hand_length: wrist to middle fingertip, scene units.
    """

    hand_length: float

    def receive(self, message: Message, arrays: Arrays) -> None:
        session.learn(message)
        self.shape = requests.hand_shape(message, arrays, self.hand_length)

    def finish(self, context: bpy.types.Context) -> str:
        if self.shape is None:
            raise GraspError("The engine has brought no hand: press Add Hand again.")
        nothing = np.zeros(3)
        frame = np.eye(4)
        frame[:3, 3] = context.scene.cursor.location
        rig = build_hand(context, self.shape, open_hand_beside(self.shape, nothing, nothing), frame, "")
        for item in context.selected_objects:
            item.select_set(False)
        rig.select_set(True)
        context.view_layer.objects.active = rig
        return ""


def begin(context: bpy.types.Context) -> HandJob:
    """Sends the handshake that brings the hand.

    Raises:
        GraspError: no engine is chosen.
    """
    settings = context.scene.grasp
    engine = session.client(*command.engine_command(context))
    greeting = requests.hello(engine, settings.side, command.hand_file(context))
    return HandJob(engine=engine, request=greeting, hand_length=settings.hand_length)


class GRASP_OT_add_hand(EngineRequestMixin, bpy.types.Operator):
    """Add the hand alone, to pose by its bones"""

    bl_idname = "grasp.add_hand"
    bl_label = "Add Hand"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender's form

    def begin(self, context: bpy.types.Context) -> HandJob:
        return begin(context)


CLASSES: Final = (GRASP_OT_add_hand,)
