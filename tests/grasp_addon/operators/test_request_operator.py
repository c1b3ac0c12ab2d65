"""A request watched from a window: a tick after the other, ESC, the cross, and an engine that fails."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest
from fake_engine import FakeEngine
from scene import names
from window import ESCAPE, TICK, Clicked, Window

from grasp_addon.engine import session
from grasp_addon.operators import mixins, request_operator
from grasp_addon.operators.mixins import status
from grasp_addon.rig.hands import rigs


class OneByOne(FakeEngine):
    """Gives one reply each time it is asked."""

    def poll(self) -> list[tuple[dict, dict]]:
        return [self.waiting.pop(0)] if self.waiting else []


@pytest.fixture
def slow_engine(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> OneByOne:
    made = OneByOne()
    monkeypatch.setattr(session, "client", lambda *_: made)
    monkeypatch.setattr(request_operator, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    bpy.context.scene.grasp.count = 4
    return made


def started() -> tuple[Clicked, Window]:
    operator, window = Clicked(), Window()
    assert operator.invoke(window, TICK) == {"RUNNING_MODAL"}
    assert status.job is not None
    return operator, window


def ended(operator: Clicked, window: Window, ticks: int = 20) -> set[str]:
    for _ in range(ticks):
        result = operator.modal(window, TICK)
        if result != {"PASS_THROUGH"}:
            assert status.job is None
            assert window.timers == []
            assert window.told[-1] is None
            return result
    raise AssertionError("it never ended")


def test_ticks_bring_the_candidates_and_then_the_hand(slow_engine: OneByOne, mug: bpy.types.Object) -> None:
    operator, window = started()
    assert not Clicked.poll(bpy.context)
    assert "press ESC" in Clicked.why_not
    for _ in range(3):  # the handshake and two candidates
        assert operator.modal(window, TICK) == {"PASS_THROUGH"}
    assert len(status.job.found) == 2
    assert status.job.preview is not None
    assert "2 grasps" in window.told[-1]
    assert not rigs()
    assert operator.modal(window, SimpleNamespace(type="MOUSEMOVE", value="NOTHING")) == {"PASS_THROUGH"}
    assert ended(operator, window) == {"FINISHED"}
    assert operator.reports == [("INFO", "4 grasps on Mug")]
    assert len(rigs()[0].grasp.candidates) == 4


@pytest.mark.parametrize("stop", ["escape", "cross"])
def test_stopped_what_came_is_kept(slow_engine: OneByOne, mug: bpy.types.Object, stop: str) -> None:
    operator, window = started()
    for _ in range(3):
        operator.modal(window, TICK)
    if stop == "escape":
        assert operator.modal(window, ESCAPE) == {"RUNNING_MODAL"}
    else:
        assert bpy.ops.grasp.stop() == {"FINISHED"}
    assert status.job.stage == "Stopping"
    assert ended(operator, window) == {"FINISHED"}
    assert [c.score for c in rigs()[0].grasp.candidates] == pytest.approx([0.6, 0.4])
    assert operator.reports[-1] == ("INFO", "2 grasps of the 4 asked for on Mug")


def test_stopped_before_anything_came_nothing_is_changed(slow_engine: OneByOne, mug: bpy.types.Object) -> None:
    before = names()
    operator, window = started()
    operator.modal(window, TICK)
    operator.modal(window, ESCAPE)
    assert ended(operator, window) == {"CANCELLED"}
    assert operator.reports == [("INFO", "Stopped: nothing was changed")]
    assert names() == before


def test_an_engine_that_fails_is_a_sentence_in_the_panel(slow_engine: OneByOne, mug: bpy.types.Object) -> None:
    slow_engine.fails = "The weights are missing."
    operator, window = started()
    assert ended(operator, window) == {"CANCELLED"}
    assert operator.reports == [("ERROR", "The weights are missing.")]
    assert status.message == "The weights are missing."


def test_an_error_before_the_engine_is_asked_is_drawn(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(mixins, "redraw", lambda _context, kind: drawn.append(kind))
    with pytest.raises(RuntimeError, match="Nothing is selected"):
        bpy.ops.grasp.generate()
    assert drawn == ["VIEW_3D"]


def test_closing_blender_stops_the_engine(slow_engine: OneByOne, mug: bpy.types.Object) -> None:
    operator, window = started()
    operator.modal(window, TICK)
    operator.cancel(window)
    assert slow_engine.sent[-1][0]["type"] == "cancel"
    assert status.job is None
    assert window.timers == []
