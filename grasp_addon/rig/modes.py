"""State of the user's that has to be put back: mode, active object and selection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy


@contextmanager
def object_mode(context: bpy.types.Context, edit: bpy.types.Object | None = None) -> Iterator[None]:
    """Object mode inside (or edit mode on `edit`); mode, active object and selection as before afterwards."""
    layer = context.view_layer
    layer.update()  # else objects just removed stand in it as None
    active, mode = layer.objects.active, context.mode
    selected = [o for o in layer.objects if o.select_get()]
    if active and active.mode != "OBJECT":
        active_mode = active.mode
        bpy.ops.object.mode_set(mode="OBJECT")
    else:
        active_mode = "OBJECT"
    try:
        if edit:
            layer.objects.active = edit
            bpy.ops.object.mode_set(mode="EDIT")
        yield
    finally:
        if edit:
            bpy.ops.object.mode_set(mode="OBJECT")
        for o in layer.objects:
            if o.select_get() != (o in selected):
                o.select_set(o in selected)
        layer.objects.active = active
        if active_mode != "OBJECT" and context.mode != mode:
            bpy.ops.object.mode_set(mode=active_mode)
