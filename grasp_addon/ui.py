"""What more than one part of the interface draws."""

from __future__ import annotations

import textwrap
from typing import Final

import bpy

LINE: Final = 36  # characters that fit the sidebar as it opens


def redraw(context: bpy.types.Context, kind: str) -> None:
    """Has every area of this kind drawn anew."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == kind:
                area.tag_redraw()


def progress(layout: bpy.types.UILayout, fraction: float, text: str, stop: str) -> None:
    """A bar, and beside it the operator that stops what it measures."""
    row = layout.row(align=True)
    row.progress(factor=fraction, text=text)
    row.operator(stop, text="", icon="X")


def sentence(layout: bpy.types.UILayout, text: str, icon: str) -> None:
    """A message, wrapped to the sidebar."""
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, LINE)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")
