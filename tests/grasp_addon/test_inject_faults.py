"""The script that injects faults: it sees what is planted, and of over a hundred faults nothing is to be seen."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import pytest

from grasp_addon.operators.generate import GenerateJob
from grasp_addon.operators.job import EngineJob
from grasp_addon.operators.mixins import status
from grasp_addon.rig import scrub
from grasp_addon.rig.hands import rigs
from scripts.faults.run import KINDS, MADE, inject, main
from scripts.faults.surroundings import OTHER
from scripts.faults.verdict import Verdict, table

usual = GenerateJob.finish
WAITED, WATCHED = 1, 0  # seeds with which the made engine is asked by a script, and in a window


def moves_the_other_object(job: GenerateJob, context: bpy.types.Context) -> str:
    bpy.data.objects[OTHER].location.x += 1
    return usual(job, context)


def promises_a_hand(_job: GenerateJob, _context: bpy.types.Context) -> str:
    return "3 grasps on Mug"


def lays_it_beside(job: GenerateJob, context: bpy.types.Context) -> str:
    text = usual(job, context)
    rigs(context.scene)[-1].location.x += 0.01
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


def leaves_a_program(job: GenerateJob, context: bpy.types.Context) -> str:
    import subprocess

    subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    return usual(job, context)


over = threading.Event()
PLANTED = {moves_the_other_object: "changed", promises_a_hand: "wrong success", lays_it_beside: "wrong success",
           divides_by_nothing: "raw error", keeps_the_panel_busy: "stuck", waits_for_ever: "stuck",
           leaves_a_handler: "leftover", leaves_a_thread: "leftover", leaves_a_program: "leftover"}
#: a tenth of what the command does: each kind that needs no waiting once, and of the others what test_worker and
#: test_misbehaving_engines do not do already
TENTH = [kind for kind in KINDS if kind in MADE or kind.startswith(("file", "disk", "pipe"))]


def test_there_are_more_than_a_hundred_kinds() -> None:
    assert len(TENTH) > 100


@pytest.mark.parametrize("kind", TENTH)
def test_a_fault_is_without_consequence(kind: str) -> None:
    assert inject(kind, 0).found == {}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_seen(planted: Callable[[GenerateJob, bpy.types.Context], str],
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GenerateJob, "finish", planted)
    try:
        found = inject("engine slow", WAITED).found
    finally:
        status.job = None
        over.set()
        if print in bpy.app.handlers.undo_pre:
            bpy.app.handlers.undo_pre.remove(print)
    assert PLANTED[planted] in found


def test_a_drawing_that_stays_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = EngineJob.stop
    monkeypatch.setattr(EngineJob, "stop", lambda job: (setattr(job, "preview", None), stop(job)))
    assert inject("stop by ESC", 0).found == {"leftover": "a drawing in the view"}


def test_a_tick_that_takes_its_time_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    look, first = EngineJob.look, iter([dawdle])
    monkeypatch.setattr(EngineJob, "look", lambda job: (next(first, lambda: None)(), look(job))[1])
    assert "a tick of generate took" in inject("engine slow", WATCHED).found["slow"]


def dawdle(*_: object) -> None:
    end = time.thread_time() + 0.25
    while time.thread_time() < end:
        pass


def test_a_button_that_takes_its_time_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "show", dawdle)
    assert "show took" in inject("hand key renamed", 0).found["slow"]


def test_the_garbage_of_tests_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = []
    monkeypatch.setattr(GenerateJob, "finish", lambda job, context: (
        frozen.append(gc.get_freeze_count()), usual(job, context))[1])
    before, objects = gc.get_freeze_count(), len(gc.get_objects())
    assert inject("engine slow", WAITED).found == {}
    assert frozen[0] - before > 0.5 * objects
    assert gc.get_freeze_count() == before


def test_time_passes_again_and_the_engine_is_the_one_of_before() -> None:
    from grasp_addon.engine import session

    before = time.sleep, time.monotonic, session.client
    inject("engine silent", 0)
    assert (time.sleep, time.monotonic, session.client) == before


def test_the_table_counts_and_gives_an_example() -> None:
    bad = Verdict("scene moved", {"wrong success": "the hand does not lie on the object"}, 7)
    text = table([Verdict("engine slow"), bad, Verdict("scene moved"), bad])
    line = next(line for line in text.splitlines() if line.startswith("scene moved"))
    assert line.split() == ["scene", "moved", "3", "-", "2", "-", "-", "-", "-"]
    assert "  scene moved, wrong success: the hand does not lie on the object (seed 7)" in text
    assert text.endswith("4 faults, 2 of them without consequence")


def test_it_ends_with_one_where_something_was_counted(monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "2", "--only", "engine slow"]) == 0
    monkeypatch.setattr(GenerateJob, "finish", promises_a_hand)
    assert main(["--count", "1", "--only", "engine slow", "--seed", str(WAITED)]) == 1
    assert "wrong success: no hand belongs to the object" in capsys.readouterr().out


def test_slices_together_are_the_whole_and_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = str(tmp_path / "faults.jsonl")
    for part in ("1/2", "2/2"):
        assert main(["--count", "3", "--only", "engine killed,engine slow", "--slice", part, "--record", record]) == 0
    assert "3 faults, 3 of them without consequence" in capsys.readouterr().out
    for wrong in ("0/2", "3/2", "a/b", "2"):
        with pytest.raises(SystemExit):
            main(["--slice", wrong])
    with pytest.raises(SystemExit):
        main(["--only", "nothing of the kind"])
