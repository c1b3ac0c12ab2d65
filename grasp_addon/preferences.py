"""Which engine computes the grasps, whether it answers, and what gets it and its weights.

Blender reads properties from annotations that are calls, which no type checker takes for types.
"""
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from typing import Final

import bpy
from bpy.props import EnumProperty, StringProperty

from .engine import install
from .engine.folders import PACKAGE, engine_folder
from .operators import fetch_weights, install_engine
from .ui import progress


class GraspPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    source: EnumProperty(name="Engine", default="PYTHON", items=(
        ("PYTHON", "Existing Python", "A Python that has PyTorch and the engine's other packages"),
        ("COMMAND", "Command", "Any command that starts the engine, e.g. on another machine")))
    python: StringProperty(name="Python", subtype="FILE_PATH", description="The python program of an environment")
    command: StringProperty(name="Command", description="E.g. ssh gpu-host python -m core.worker")
    hand_file: StringProperty(
        name="MANO Hand", subtype="FILE_PATH",
        description="Your own MANO_RIGHT.pkl or MANO_LEFT.pkl, where you have MANO's licence; empty: the hand that "
        "comes with Generate Grasps. The file lies on the machine where the engine runs")
    answer: StringProperty(options={"SKIP_SAVE"})

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "source", expand=True)
        layout.prop(self, "python" if self.source == "PYTHON" else "command")
        layout.operator("grasp.check_engine", icon="CHECKMARK")
        if self.answer:
            layout.label(text=self.answer)
        layout.prop(self, "hand_file")
        draw_engine(layout)
        draw_weights(layout)


def draw_engine(layout: bpy.types.UILayout) -> None:
    """What is installed, and what can be done about it."""
    box = layout.box()
    running = install_engine.task.running
    if running is not None:
        progress(box, running.fraction, running.stage, "grasp.cancel_install")
        for line in list(running.lines)[-4:]:
            box.label(text=line[:110])
        return
    state = install.read_state(engine_folder())
    ready = state.state == "ready"
    if ready:
        box.label(text=f"An engine is installed in {engine_folder()}", icon="CHECKMARK")
        box.label(text=state.reason, icon="BLANK1")
    elif state.reason:
        box.label(text=state.reason[:160], icon="ERROR")
    row = box.row()
    row.operator("grasp.install_engine", icon="IMPORT",
                 text={"none": "Install Engine", "ready": "Repair Engine"}.get(state.state, "Go On Installing"))
    if state.state != "none":
        row.operator("grasp.copy_install_log", icon="COPYDOWN")
        row.operator("grasp.remove_engine", icon="TRASH")


def draw_weights(layout: bpy.types.UILayout) -> None:
    """What is not here and can be fetched; nothing where there is nothing of that kind."""
    running, last = fetch_weights.task.running, fetch_weights.task.last
    if running is not None:
        progress(layout.box(), running.fraction, running.stage, "grasp.cancel_fetch")
        return
    wanted = fetch_weights.missing()
    if not wanted:
        return
    box = layout.box()
    names = ", ".join(f"{item.name} ({item.bytes / 1e6:.1f} MB)" for item in wanted)
    box.label(text=f"Not here: {names}", icon="INFO")
    if last.reason:
        box.label(text=last.reason[:160], icon="ERROR" if last.state == "failed" else "BLANK1")
    row = box.row()
    row.operator("grasp.fetch_weights", icon="IMPORT",
                 text="Go On Fetching" if last.state in ("failed", "cancelled") else "Fetch Weights")
    if last.state == "failed":
        row.operator("grasp.copy_fetch_log", icon="COPYDOWN")


CLASSES: Final = (GraspPreferences,)
