"""grasp.open_preferences: Blender's preferences at this add-on."""

from __future__ import annotations

from typing import Final

import bpy

from ..engine.folders import PACKAGE


class GRASP_OT_open_preferences(bpy.types.Operator):
    """Open the preferences of Generate Grasps"""

    bl_idname = "grasp.open_preferences"
    bl_label = "Engine Preferences"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        bpy.ops.preferences.addon_show(module=PACKAGE)
        return {"FINISHED"}


CLASSES: Final = (GRASP_OT_open_preferences,)
