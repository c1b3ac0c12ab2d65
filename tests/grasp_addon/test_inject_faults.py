"""The script that injects faults: it sees what is planted, and nothing where nothing is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import bpy
import pytest

from grasp_addon.operators.generate import GenerateJob
from grasp_addon.operators.mixins import status
from grasp_addon.rig import scrub
from scripts import inject_faults
from scripts.inject_faults import Verdict, inject, table

usual = GenerateJob.finish


def moves_the_other_object(job: GenerateJob, context: bpy.types.Context) -> str:
    bpy.data.objects[inject_faults.OTHER].location.x += 1
    return usual(job, context)


def promises_a_hand(_job: GenerateJob, _context: bpy.types.Context) -> str:
    return "3 grasps on Mug"


def lays_it_beside(job: GenerateJob, context: bpy.types.Context) -> str:
    text = usual(job, context)
    inject_faults.rigs(context.scene)[-1].location.x += 0.01
    return text


def divides_by_nothing(_job: GenerateJob, _context: bpy.types.Context) -> str:
    return str(1 / 0)


def keeps_the_panel_busy(job: GenerateJob, context: bpy.types.Context) -> str:
    status.job = job
    return usual(job, context)


def waits_for_ever(_job: GenerateJob, _context: bpy.types.Context) -> str:
    while True:
        time.sleep(1.0)


def leaves_a_handler(job: GenerateJob, context: bpy.types.Context) -> str:
    bpy.app.handlers.undo_pre.append(print)
    return usual(job, context)


def leaves_a_thread(job: GenerateJob, context: bpy.types.Context) -> str:
    over.clear()
    threading.Thread(target=over.wait, daemon=True).start()
    return usual(job, context)


over = threading.Event()
PLANTED = {moves_the_other_object: "changed", promises_a_hand: "wrong success", lays_it_beside: "wrong success",
           divides_by_nothing: "raw error", keeps_the_panel_busy: "stuck", waits_for_ever: "stuck",
           leaves_a_handler: "leftover", leaves_a_thread: "leftover"}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_slow_engine_is_no_fault_of_the_addon(seed: int) -> None:
    assert inject("engine slow", seed).found == {}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_seen(planted: Callable[[GenerateJob, bpy.types.Context], str],
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GenerateJob, "finish", planted)
    try:
        found = inject("engine slow", 0).found
    finally:
        status.job = None
        over.set()
        if print in bpy.app.handlers.undo_pre:
            bpy.app.handlers.undo_pre.remove(print)
    assert PLANTED[planted] in found


def test_a_button_that_takes_its_time_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def dawdle(*_: object) -> None:
        end = time.thread_time() + 0.25
        while time.thread_time() < end:
            pass

    monkeypatch.setattr(scrub, "show", dawdle)
    assert "show took" in inject("hand key renamed", 0).found["slow"]


def test_time_passes_again_and_the_engine_is_the_one_of_before() -> None:
    from grasp_addon.engine import session

    before = time.sleep, time.monotonic, session.client
    inject("engine silent", 0)
    assert (time.sleep, time.monotonic, session.client) == before


def test_the_table_counts_and_gives_an_example() -> None:
    bad = Verdict("scene moved", {"wrong success": "the hand does not lie on the object"})
    text = table([Verdict("engine slow"), bad, Verdict("scene moved"), bad])
    line = next(line for line in text.splitlines() if line.startswith("scene moved"))
    assert line.split() == ["scene", "moved", "3", "-", "2", "-", "-", "-", "-"]
    assert "  scene moved, wrong success: the hand does not lie on the object" in text
    assert text.endswith("4 faults, 2 of them without consequence")


def test_it_ends_with_one_where_something_was_counted(monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert inject_faults.main(["--count", "2", "--only", "engine slow"]) == 0
    monkeypatch.setattr(GenerateJob, "finish", promises_a_hand)
    assert inject_faults.main(["--count", "1", "--only", "engine slow"]) == 1
    assert "wrong success: no hand belongs to the object" in capsys.readouterr().out
