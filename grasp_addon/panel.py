"""The sidebar tab Grasp of the 3D view."""

from __future__ import annotations

from typing import Final

import bpy

from .engine import command, session
from .operators.mixins import status
from .operators.refine import hand_to_refine
from .properties import GraspCandidate, good_for, type_label
from .rig.contact import waits
from .rig.hands import is_driven, rig_of, shown_candidate
from .rig.parts import fault
from .ui import progress, sentence

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
        if not command.has_engine(context):
            box = layout.box()
            sentence(box, "Generating needs an engine: choose or install one in the preferences.", "INFO")
            box.operator("grasp.open_preferences", icon="PREFERENCES")
        column = layout.column()
        column.enabled = status.job is None
        for name in ("method", "fit", "intent", "type", "side", "count", "seed", "hand_length", "device", "parent"):
            row = column.row()
            row.enabled = name != "fit" or settings.method not in session.info().fitting
            row.prop(settings, name)
            if name == "method" and good_for(settings.method):
                sentence(column, good_for(settings.method), "INFO")
        if status.job:
            job = status.job
            progress(layout, job.request.fraction, job.stage.partition(" (")[0], "grasp.stop")  # the count is below
            if job.told:
                layout.label(text=job.told)  # empty where a hand alone is fetched
            return
        row = layout.row()
        row.scale_y = 1.5
        row.operator("grasp.generate", icon="VIEW_PAN")
        layout.operator("grasp.add_hand", icon="ADD")
        layout.operator("grasp.refine", icon="MOD_SHRINKWRAP")
        layout.operator("grasp.imagine", icon="OUTLINER_OB_FORCE_FIELD")
        if status.message:
            box = layout.box()
            sentence(box, status.message, "ERROR" if status.advice else "INFO")
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
        return rig_of(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, rig = self.layout, rig_of(context)
        assert rig is not None  # as poll has seen
        record = rig.grasp
        layout.label(text=rig.name, icon="ARMATURE_DATA")
        count = len(record.candidates)
        wrong = fault(rig)
        if wrong:
            sentence(layout.box(), wrong, "ERROR")
        elif count:
            place = shown_candidate(rig)
            row = layout.row(align=True)
            row.operator("grasp.show", text="", icon="TRIA_LEFT").direction = "PREVIOUS"
            row.prop(record.sliders, f"of_{min(count, 128)}", text=f"of {count}", slider=True)
            row.operator("grasp.show", text="", icon="TRIA_RIGHT").direction = "NEXT"
            if place:
                _facts(layout, record.candidates[place - 1])
                if context.scene.grasp.method in session.info().keeping:
                    layout.label(text="Keep")
                    layout.row(align=True).prop(context.scene.grasp, "keep")
                    layout.operator("grasp.more_like_this", icon="DUPLICATE")
            row = layout.row()
            row.scale_y = 1.3
            row.operator("grasp.bake", icon="KEY_HLT")
            if record.looking:
                layout.operator("grasp.end_look", icon="LOOP_BACK")
            layout.prop(context.scene.grasp, "show_contact")
            if waits(rig):
                layout.label(text="Making the surface ready ...", icon="TIME")
            _see_colours(layout, context)
            if is_driven(rig):
                layout.operator("grasp.pose", icon="POSE_HLT")
        layout.operator("grasp.remove", icon="TRASH")


def _see_colours(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Offers what shows colour attributes in solid view, where the view shows something else."""
    shading = getattr(context.space_data, "shading", None)
    if context.scene.grasp.show_contact and shading and shading.type == "SOLID" and shading.color_type != "VERTEX":
        layout.prop_enum(shading, "color_type", "VERTEX", text="See It in Solid View", icon="COLOR")


def _facts(layout: bpy.types.UILayout, candidate: GraspCandidate) -> None:
    measures = {m.name: m.value for m in candidate.measures}
    column = layout.column(align=True)
    rows = [("Type", type_label(candidate.type) or "—")]
    if not candidate.own:  # the engine scores its own
        rows.append(("Score", f"{candidate.score:.0f}"))
    if measures.get("holds", 1.0) < 0.5:
        rows.append(("Hold test", "does not hold"))
    if measures.get("intent", 1.0) < 1.0:
        rows.append(("Intent", "held otherwise" if measures["intent"] > 0 else "not on its part"))
    rows += [(label, form.format(measures[name])) for name, label, form in SHOWN_MEASURES if name in measures]
    if candidate.kept:
        rows.append(("Baked" if candidate.baked else "Yours", "kept at the next click"))
    for label, text in rows:
        split = column.split(factor=0.35)
        split.label(text=label)
        split.label(text=text)


def _refine_entry(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    if hand_to_refine(context):
        self.layout.separator()
        self.layout.operator("grasp.refine", icon="MOD_SHRINKWRAP")


MENUS: Final = ("VIEW3D_MT_object_context_menu", "VIEW3D_MT_pose_context_menu")


def register() -> None:
    """Adds Refine Grasp to the context menus of the 3D view."""
    for name in MENUS:
        getattr(bpy.types, name).append(_refine_entry)


def unregister() -> None:
    """Takes Refine Grasp out of them."""
    for name in MENUS:
        getattr(bpy.types, name).remove(_refine_entry)


CLASSES: Final = (GRASP_PT_generate, GRASP_PT_candidates)
