"""The sidebar tab Grasp of the 3D view."""

from __future__ import annotations

import textwrap
from typing import Final

import bpy

from . import preferences, scrub
from .generate import status
from .naming import readable
from .properties import TYPES

LINE: Final = 36  # characters that fit the sidebar as it opens
SHOWN_MEASURES: Final = (
    ("overlap_cm3", "Overlap", "{:.2f} cm³"),
    ("depth_mm", "Depth", "{:.1f} mm"),
    ("contacts", "Contacts", "{:.0f}"),
)


class GRASP_PT_generate(bpy.types.Panel):
    bl_idname = "GRASP_PT_generate"
    bl_label = "Generate Grasps"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Grasp"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.grasp
        layout.use_property_split = True
        layout.use_property_decorate = False
        if not preferences.has_engine(context):
            box = layout.box()
            _sentence(box, "Generating needs an engine: choose or install one in the preferences.", "INFO")
            box.operator("grasp.open_preferences", icon="PREFERENCES")
        column = layout.column()
        column.enabled = status.work is None
        for name in ("method", "intent", "type", "side", "count", "seed", "hand_length", "device", "parent"):
            column.prop(settings, name)
        if status.work:
            work = status.work
            row = layout.row(align=True)
            row.progress(factor=work.request.fraction, text=work.stage.partition(" (")[0])  # the count stands below
            row.operator("grasp.stop", text="", icon="X")
            layout.label(text=f"{len(work.found)} of {work.settings['count']} grasps so far")
            return
        row = layout.row()
        row.scale_y = 1.5
        row.operator("grasp.generate", icon="VIEW_PAN")
        layout.operator("grasp.add_hand", icon="ADD")
        if status.message:
            box = layout.box()
            _sentence(box, status.message, "ERROR" if status.advice else "INFO")
            if status.advice == "hand_length":
                box.operator("grasp.set_hand_length")
            elif status.advice == "preferences":
                box.operator("grasp.open_preferences", icon="PREFERENCES")


class GRASP_PT_candidates(bpy.types.Panel):
    bl_idname = "GRASP_PT_candidates"
    bl_label = "Candidates"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Grasp"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return scrub.rig_of(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, rig = self.layout, scrub.rig_of(context)
        record = rig.grasp
        layout.label(text=rig.name, icon="ARMATURE_DATA")
        count = len(record.candidates)
        if count:
            place = scrub.shown(rig)
            row = layout.row(align=True)
            row.operator("grasp.show", text="", icon="TRIA_LEFT").direction = "PREVIOUS"
            row.prop(record.sliders, f"of_{min(count, 128)}", text=f"of {count}", slider=True)
            row.operator("grasp.show", text="", icon="TRIA_RIGHT").direction = "NEXT"
            if place:
                _facts(layout, record.candidates[place - 1])
            row = layout.row()
            row.scale_y = 1.3
            row.operator("grasp.bake", icon="KEY_HLT")
            if record.looking:
                layout.operator("grasp.end_look", icon="LOOP_BACK")
        layout.operator("grasp.remove", icon="TRASH")


def _facts(layout: bpy.types.UILayout, candidate: object) -> None:
    measures = {m.name: m.value for m in candidate.measures}
    column = layout.column(align=True)
    rows = [("Type", TYPES.get(candidate.type) or readable(candidate.type) or "—"), ("Score", f"{candidate.score:.0f}")]
    rows += [(label, form.format(measures[name])) for name, label, form in SHOWN_MEASURES if name in measures]
    if candidate.baked:
        rows.append(("Baked", "kept at the next click"))
    for label, text in rows:
        split = column.split(factor=0.35)
        split.label(text=label)
        split.label(text=text)


def _sentence(layout: bpy.types.UILayout, text: str, icon: str) -> None:
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, LINE)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


CLASSES: Final = (GRASP_PT_generate, GRASP_PT_candidates)
