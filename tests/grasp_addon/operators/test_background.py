"""Work in the background whose window is closed, or whose file is left, before it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from window import TICK, Window

from grasp_addon.engine.install import Installation, Step
from grasp_addon.operators import background
from grasp_addon.operators.background import BackgroundTask, BackgroundTaskMixin


class Works(BackgroundTaskMixin):
    """An operator with work that takes a moment, with its reports kept."""

    task = BackgroundTask()
    success = "It is done"
    followed: list[str] = []  # noqa: RUF012  of all of them together

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []

    def report(self, levels: set[str], text: str) -> None:
        self.reports.append((*levels, text))

    @classmethod
    def ready(cls, context: bpy.types.Context) -> None:
        cls.followed.append("ready")


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Works, Window]]:
    """Work that has begun in a window and takes half a second."""
    shown = SimpleNamespace(app=SimpleNamespace(background=False, timers=bpy.app.timers), context=bpy.context)
    monkeypatch.setattr(background, "bpy", shown)
    monkeypatch.setattr(Works, "followed", [])
    python = tmp_path / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    code = f"import pathlib, time; p = pathlib.Path({str(python)!r}); p.parent.mkdir(parents=True); p.touch(); " \
           "time.sleep(0.5); print('Python 3')"
    Works.task.start(Installation(tmp_path, [Step("Working", (sys.executable, "-c", code))], 0.0))
    operator, window = Works(), Window()
    assert operator.watch(window) == {"RUNNING_MODAL"}
    yield operator, window
    Works.task.stop()
    assert not bpy.app.timers.is_registered(Works.task.settle)


def test_watched_it_tells_its_end(begun: tuple[Works, Window]) -> None:
    operator, window = begun
    until = time.monotonic() + 30
    while (result := operator.modal(window, TICK)) == {"PASS_THROUGH"} and time.monotonic() < until:
        time.sleep(0.02)
    assert result == {"FINISHED"}
    assert operator.reports == [("INFO", "It is done")]
    assert Works.followed == ["ready"]
    assert window.timers == []


def test_when_its_window_closes_the_work_goes_on_and_the_buttons_come_back(begun: tuple[Works, Window]) -> None:
    operator, window = begun
    operator.cancel(window)
    assert window.timers == []
    assert Works.task.running is not None
    assert bpy.app.timers.is_registered(Works.task.settle)
    until = time.monotonic() + 30
    while Works.task.settle() is not None and time.monotonic() < until:  # what Blender does in its main loop
        time.sleep(0.02)
    assert Works.task.running is None
    assert Works.task.last.state == "ready"
    assert Works.followed == ["ready"]


def test_switched_off_nothing_goes_on(begun: tuple[Works, Window]) -> None:
    operator, window = begun
    work = Works.task.running
    operator.cancel(window)
    Works.task.stop()
    work.wait(30)
    assert work.done
    assert work.state.state == "cancelled"
    assert Works.followed == []
