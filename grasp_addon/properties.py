"""What the add-on keeps in a file: the settings of a scene, and of each hand its candidates.

Blender reads properties from annotations that are calls, which no type checker takes for types.
"""
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Final

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .engine import session
from .engine.types import ENGINE_HAND_LENGTH
from .errors import GraspError
from .naming import PARTS, readable
from .rig import hands, parts, scrub

MOST_CANDIDATES: Final = 64
# Label of each method, and when it is the one to take, as the engine's registry has them: known before it was asked.
METHODS: Final = {
    "synthesis": ("Synthesis", "The surest, and the lightest touch, in known grasp types; the slowest."),
    "fastgrasp": ("FastGrasp", "What it proposes slips least: for things that are hard to hold."),
    "grasptta": ("GraspTTA", "Hugs the surface closely: for more hands to choose from."),
    "dvqvae": ("DVQ-VAE", "A good first choice: the quickest, and keeps the fingers you like."),
    "jointdiffusion": ("JointDiffusion", "For Refine Grasp: it also says what your rough pose may mean."),
    "jhod": ("JHOD", "Nearly as quick; looks at the whole object, and can imagine one."),
}
DEFAULT_METHOD: Final = "dvqvae"  # offers 16 hands that hold soonest of all (docs/results/speed.md)
# What synthesis makes, by the names of the engine's taxonomy: offered before an engine was asked; it knows the labels.
TYPES: Final = (
    "large_diameter",
    "medium_wrap",
    "small_diameter",
    "adducted_thumb",
    "index_extension",
    "fixed_hook",
    "power_sphere",
    "power_disk",
    "precision_disk",
    "precision_sphere",
    "prismatic_four",
    "quadpod",
    "tripod",
    "palmar_pinch",
    "lateral",
    "parallel_extension",
    "extension",
    "writing_tripod",
)
_kept: dict[str, list[tuple[str, str, str, int]]] = {}  # Blender keeps no reference to the texts of dynamic items


def _number(name: str, first: str) -> int:
    """A number that stays the same whichever other names an engine offers; files store it."""
    return 0 if name == first else zlib.crc32(name.encode()) & 0x3FFFFFFF


def type_label(name: str) -> str:
    """What an animator reads for a grasp type: the engine's label, or its name as words before the engine was asked."""
    return session.info().type_labels.get(name) or readable(name)


def good_for(name: str) -> str:
    """When a method is the one to take, as the engine says, or as it is known before one was asked."""
    return session.info().good_for.get(name) or METHODS.get(name, ("", ""))[1]


def _methods(_self: object, _context: object) -> list[tuple[str, str, str, int]]:
    offered = session.info().methods or {name: label for name, (label, _) in METHODS.items()}
    _kept["methods"] = [(n, label, good_for(n), _number(n, "synthesis")) for n, label in offered.items()]
    return _kept["methods"]


def _types(_self: object, _context: object) -> list[tuple[str, str, str, int]]:
    offered = session.info().types or TYPES
    names = ("any", *(n for n in offered if n != "any"))
    _kept["types"] = [(n, type_label(n), f"Grasps of this type: {type_label(n)}", _number(n, "any")) for n in names]
    return _kept["types"]


def _contact_switched(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    scrub.show_contacts(context, settings.id_data)


class GraspSettings(bpy.types.PropertyGroup):
    """scene.grasp: what Generate Grasps and Refine Grasp are asked for."""

    method: EnumProperty(name="Method", description="What proposes the grasps", items=_methods,
                         default=_number(DEFAULT_METHOD, "synthesis"))
    count: IntProperty(name="Count", description="How many candidates to make", default=16, min=1,
                       max=MOST_CANDIDATES)
    seed: IntProperty(name="Seed", description="Another seed gives other candidates", default=0, min=0)
    side: EnumProperty(name="Side", description="Which hand grasps", default="right",
                       items=(("right", "Right", "The right hand"), ("left", "Left", "The left hand")))
    intent: EnumProperty(
        name="Intent", description="What the hand wants with the object. Vertex groups tell the object's parts: "
        "handle, grip, trigger, blade, edge, head, mouth, tip, lens and the like", default="any",
        items=(("any", "Any", "Whatever holds"),
               ("use", "Use", "By the handle or grip, the working end beyond the thumb; needs vertex groups"),
               ("hold", "Hold", "Anywhere but on edges, tips and mouths"),
               ("handover", "Hand Over", "The handle left free for somebody else; needs a vertex group for it"),
               ("lift", "Lift", "Near the middle of the object")))
    type: EnumProperty(name="Type", description="The type of grasp wanted", items=_types, default=0)
    hand_length: FloatProperty(
        name="Hand Length", description="How long the hand is in this scene, from the wrist to the middle fingertip",
        default=ENGINE_HAND_LENGTH, min=1e-4, max=1e5, precision=3, subtype="DISTANCE", unit="LENGTH")
    device: EnumProperty(name="Device", description="What the engine computes on", default="auto",
                         items=(("auto", "Automatic", "The graphics card where there is one"),
                                ("cpu", "CPU", "The processor"), ("cuda", "CUDA", "An NVIDIA graphics card")))
    fit: BoolProperty(
        name="Fit to Surface", default=True,
        description="Closes the proposed fingers on the object's real surface and takes them out of it, before the "
        "grasps are scored. Methods that do so themselves need no such step")
    show_contact: BoolProperty(
        name="Show Contact", default=False, update=_contact_switched,
        description="Red where the shown grasp touches: on the hand, and on a film laid on the object, whose own mesh "
        "and colours stay as they are. In Solid view set Shading > Color to Attribute to see it on the hand")
    keep: EnumProperty(
        name="Keep", description="What More Like This keeps of the hand shown: other fingers are proposed anew, and "
        "without the palm the hand is laid another way", options={"ENUM_FLAG"}, default={"thumb", "palm"},
        items=tuple((name, label, f"Keep the {name}" if name == "palm" else f"Keep the {name} bent as it is")
                    for name, label in PARTS.items()))
    parent: BoolProperty(name="Parent to Object", description="The hand follows the object it grasps", default=True)


class GraspMeasure(bpy.types.PropertyGroup):
    value: FloatProperty()  # `name` comes with every property group


class GraspCandidate(bpy.types.PropertyGroup):
    """One candidate of a hand; its mesh is the shape key named `key`."""

    number: IntProperty()
    key: StringProperty()
    type: StringProperty()
    score: FloatProperty()
    baked: BoolProperty()
    own: BoolProperty()  # posed or edited by the animator
    content: StringProperty()  # what its shape key was made like
    measures: CollectionProperty(type=GraspMeasure)
    turns_1: FloatVectorProperty(size=32)  # a vector property holds at most 32 numbers: eight bones' quaternions
    turns_2: FloatVectorProperty(size=32)
    location: FloatVectorProperty(size=3)

    @property
    def kept(self) -> bool:
        """Whether it stays when others are replaced."""
        return self.baked or self.own

    @property
    def channels(self) -> list[float]:
        """The 67 numbers that pose the bones: sixteen quaternions, and the location of the wrist's bone."""
        return [*self.turns_1, *self.turns_2, *self.location]

    @channels.setter
    def channels(self, numbers: list[float]) -> None:
        self.turns_1, self.turns_2, self.location = numbers[:32], numbers[32:64], numbers[64:]


def _scrub_slider(last: int) -> IntProperty:
    return IntProperty(name="Candidate", description="Which candidate is shown; 0 is the open hand", min=0, max=last,
                       get=lambda self: hands.shown_candidate(self.id_data),
                       set=lambda self, n: _slide(self.id_data, n), options={"SKIP_SAVE"})


def _slide(rig: bpy.types.Object, number: int) -> None:
    """A slider has no place for a sentence: the panel says in its stead what is wrong with the hand."""
    if not parts.fault(rig):
        with suppress(GraspError):  # a candidate whose shape key was deleted: the slider stays where it is
            scrub.show(rig, number)


class GraspSliders(bpy.types.PropertyGroup):
    """One slider for each number of candidates, because a slider's end cannot change."""


GraspSliders.__annotations__ = {f"of_{n}": _scrub_slider(n) for n in range(1, 2 * MOST_CANDIDATES + 1)}


class GraspRecord(bpy.types.PropertyGroup):
    """object.grasp: what the add-on knows about a hand it made."""

    role: StringProperty()  # "ARMATURE", "MESH", "CONTACT" or ""
    side: StringProperty()
    armature: PointerProperty(type=bpy.types.Object)
    mesh: PointerProperty(type=bpy.types.Object)
    target: PointerProperty(type=bpy.types.Object)
    contact: PointerProperty(type=bpy.types.Object)
    collection: PointerProperty(type=bpy.types.Collection)
    hand_length: FloatProperty()
    placed: FloatVectorProperty(size=16)
    wrist: FloatVectorProperty(size=3)
    made: StringProperty()  # what the hand was made like, so that the animator's edits are known
    looking: BoolProperty(description="The drivers pose a baked hand for a look; a change of frame ends it")
    posing: BoolProperty(description="The animator poses the bones; the drivers wait until a candidate is chosen")
    look: IntProperty()  # the place looked at, and the frame at which
    look_frame: FloatProperty()
    candidates: CollectionProperty(type=GraspCandidate)
    sliders: PointerProperty(type=GraspSliders)


CLASSES: Final = (GraspSettings, GraspMeasure, GraspCandidate, GraspSliders, GraspRecord)


def register() -> None:
    """Gives every scene and object its `grasp`."""
    bpy.types.Scene.grasp = PointerProperty(type=GraspSettings)
    bpy.types.Object.grasp = PointerProperty(type=GraspRecord)


def unregister() -> None:
    """Takes `grasp` away; files keep what is in it."""
    del bpy.types.Scene.grasp
    del bpy.types.Object.grasp
