"""A window's context, which bpy has not, and an operator that is called in it as Blender calls it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import bpy

from grasp_addon.operators import generate, request_operator
from grasp_addon.operators.job import EngineJob

TICK = SimpleNamespace(type="TIMER", value="NOTHING")
ESCAPE = SimpleNamespace(type="ESC", value="PRESS")


class Window:
    """The context of a window, which bpy has not, over the real one."""

    def __init__(self) -> None:
        self.window = object()
        self.timers: list[object] = []
        self.told: list[str | None] = []
        self.window_manager = SimpleNamespace(windows=[], event_timer_add=self.add, event_timer_remove=self.remove,
                                              modal_handler_add=lambda _operator: None)
        self.workspace = SimpleNamespace(status_text_set=self.told.append)

    def add(self, seconds: float, window: object) -> object:
        assert window is self.window
        self.timers.append(seconds)
        return seconds

    def remove(self, timer: object) -> None:
        self.timers.remove(timer)

    def __getattr__(self, name: str) -> object:
        return getattr(bpy.context, name)


class Clicked(request_operator.EngineRequestMixin):
    """An operator that asks the engine, Generate Grasps where nothing else is said, with its reports kept."""

    def __init__(self, begin: Callable[[Any], EngineJob] = generate.begin) -> None:
        self.reports: list[tuple[str, str]] = []
        self.begun_by = begin

    @classmethod
    def poll_message_set(cls, text: str) -> None:
        cls.why_not = text

    def report(self, levels: set[str], text: str) -> None:
        self.reports.append((*levels, text))

    def begin(self, context: Any) -> EngineJob:
        return self.begun_by(context)
