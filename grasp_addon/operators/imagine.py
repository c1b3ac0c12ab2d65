"""grasp.imagine: objects that nobody modelled, each with a hand on it, side by side at the 3D cursor.

Blender reads properties from annotations that are calls, which no type checker takes for types.
"""
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import bpy
import numpy as np
from bpy.props import IntProperty
from mathutils import Matrix

from ..engine import command, requests, session
from ..engine.mesh_export import selected_object
from ..errors import GraspError
from ..rig.modes import object_mode
from ..rig.placement import place_candidates
from .job import EngineJob
from .request_operator import EngineRequestMixin, request_settings

if TYPE_CHECKING:
    from ..engine.client import Arrays, Message
    from ..engine.types import ImaginedObject

#: from one object's middle to the next, hands' lengths
APART: Final = 2.0


@dataclass
class ImagineJob(EngineJob):
    """One click of Imagine Object and Grasp.

    Attributes:
        settings: what the message says of the hands and of how to compute.
        parent: whether the hands are to follow their objects.
        pairs: the objects that came, those of the same places in `found`.
        made: names of those that are in the scene, with their hands.
    """

    settings: dict[str, Any]
    parent: bool
    pairs: list[ImaginedObject] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return super().done and self.sent

    @property
    def told(self) -> str:
        return f"{len(self.found)} of {self.settings['count']} objects so far"

    def receive(self, message: Message, arrays: Arrays) -> None:
        """Takes one reply of the engine: the handshake's brings the hand, then objects with hands come."""
        if not self.sent:
            session.learn(message)
            self.shape = requests.hand_shape(message, arrays, self.settings["hand_length"])
            if not any(method.get("imagines") for method in message.get("methods") or []):
                raise GraspError("This engine cannot imagine objects: it is of an earlier version. Install it again "
                                 "with Install Engine in the preferences of Generate Grasps.")
            self.request = requests.imagine(self.engine, self.settings)
            self.sent = True
        elif message["type"] == "imagined":
            found = requests.candidate(message, arrays)
            if self.shape is None or len(found.vertices) != len(self.shape.vertices):
                self.request.give_up("The engine answers with a hand that is not the one it told of.")
            self.found.append(found)
            self.pairs.append(requests.imagined_object(arrays))

    def write(self, context: bpy.types.Context) -> bool:
        """Makes the next object and its hand."""
        place = len(self.made)
        if self.shape is None or place == len(self.pairs):
            return True
        with object_mode(context):
            item = new_object(context, self.pairs[place], place, self.settings["hand_length"])
            surface = selected_object(context, [item], labelled=False)
            place_candidates(context, surface, item, self.shape, [self.found[place]], self.parent)
        self.made.append(item.name)
        return place + 1 == len(self.pairs)

    def finish(self, context: bpy.types.Context) -> str:
        if not self.found or self.shape is None:
            raise GraspError("Nothing was imagined: try another seed.", "")
        while not self.write(context):
            pass
        made = [context.view_layer.objects[name] for name in self.made]
        for item in context.view_layer.objects:
            item.select_set(item in made)
        context.view_layer.objects.active = made[0]
        count = len(made)
        return f"{count} object{'s' * (count > 1)} with a hand on {'each' if count > 1 else 'it'}"


def new_object(context: bpy.types.Context, pair: ImaginedObject, place: int, hand_length: float) -> bpy.types.Object:
    """An imagined object as a mesh in the scene, in its place of a row along x that begins at the 3D cursor.

    Args:
        context: whose scene it goes into.
        pair: the object.
        place: 0 for the first.
        hand_length: wrist to middle fingertip, scene units.
    """
    mesh = bpy.data.meshes.new("Imagined")
    mesh.from_pydata(pair.vertices.tolist(), [], pair.faces.tolist())
    mesh.shade_smooth()
    item = bpy.data.objects.new("Imagined", mesh)
    context.collection.objects.link(item)
    middle = (pair.vertices.min(axis=0) + pair.vertices.max(axis=0)) / 2
    at = np.array(context.scene.cursor.location, dtype=np.float64) + [APART * place * hand_length, 0.0, 0.0] - middle
    item.matrix_world = Matrix.Translation(at.tolist())
    context.view_layer.update()
    return item


def begin(context: bpy.types.Context, count: int) -> ImagineJob:
    """Reads all inputs of Imagine Object and Grasp and sends the handshake.

    Raises:
        GraspError: no engine is chosen.
    """
    scene_settings = context.scene.grasp
    engine = session.client(*command.engine_command(context))
    settings = {**request_settings(context, scene_settings.side, scene_settings.hand_length), "count": count,
                "grasp_type": scene_settings.type or "any", "intent": scene_settings.intent,
                "fit": scene_settings.fit}
    greeting = requests.hello(engine, scene_settings.side, settings["hand_file"])
    return ImagineJob(settings, scene_settings.parent, engine=engine, request=greeting)


class GRASP_OT_imagine(EngineRequestMixin, bpy.types.Operator):
    """Make objects that nobody modelled, with a hand on each, in a row at the 3D cursor"""

    bl_idname = "grasp.imagine"
    bl_label = "Imagine Object and Grasp"
    bl_options = {"UNDO"}  # noqa: RUF012  Blender's form

    count: IntProperty(name="Count", default=8, min=1, max=64, description="How many objects")

    def begin(self, context: bpy.types.Context) -> ImagineJob:
        return begin(context, self.count)


CLASSES: Final = (GRASP_OT_imagine,)
