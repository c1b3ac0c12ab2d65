"""grasp.generate: read the selection, ask the engine, write the hand back in one undo step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import bpy

from ..engine import command, requests, session
from ..engine.mesh_export import check_size, selected_object
from ..errors import GraspError
from ..rig.placement import place_candidates
from ..rig.targets import as_it_is_now
from .job import CandidateJob
from .request_operator import EngineRequestMixin, request_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.types import Candidate


@dataclass
class GenerateJob(CandidateJob):
    """One click of Generate Grasps."""

    def send(self) -> requests.Request:
        return requests.generate(self.engine, self.item, self.settings)

    def finish(self, context: bpy.types.Context) -> str:
        found = self.best
        if not found or self.shape is None:
            raise GraspError(f"No grasp of {self.item.name} was found: try another type, seed or hand length.",
                             "hand_length")
        item, target = as_it_is_now(context, self.item)
        note = place_candidates(context, item, target, self.shape, found, self.parent)
        short = f" of the {self.settings['count']} asked for" if len(found) < self.settings["count"] else ""
        return f"{len(found)} grasps{short} on {item.name}{told_loose(found)}{self.told_note}{note}"


def told_loose(found: Sequence[Candidate]) -> str:
    """What a sentence on candidates adds where the engine found that some do not hold, or ""."""
    loose = sum(one.measures.get("holds", 1.0) < 0.5 for one in found)
    if not loose:
        return ""
    return ", none of which holds" if loose == len(found) else f", {loose} of which do{'es' * (loose == 1)} not hold"


def begin(context: bpy.types.Context) -> GenerateJob:
    """Reads all inputs of Generate Grasps and sends the handshake.

    Raises:
        GraspError: something is wrong with an input, or no engine is chosen.
    """
    scene_settings = context.scene.grasp
    item = selected_object(context)
    check_size(item, scene_settings.hand_length)
    engine = session.client(*command.engine_command(context))
    settings = {**request_settings(context, scene_settings.side, scene_settings.hand_length),
                "method": scene_settings.method or "synthesis", "grasp_type": scene_settings.type or "any",
                "intent": scene_settings.intent, "fit": scene_settings.fit}
    greeting = requests.hello(engine, scene_settings.side, settings["hand_file"])
    return GenerateJob(item, settings, scene_settings.parent, engine=engine, request=greeting)


class GRASP_OT_generate(EngineRequestMixin, bpy.types.Operator):
    """Propose hands that hold the selected object"""

    bl_idname = "grasp.generate"
    bl_label = "Generate Grasps"
    bl_options = {"UNDO"}  # noqa: RUF012  Blender's form

    def begin(self, context: bpy.types.Context) -> GenerateJob:
        return begin(context)


CLASSES: Final = (GRASP_OT_generate,)
