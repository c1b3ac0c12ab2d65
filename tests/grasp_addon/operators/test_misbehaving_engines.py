"""Whatever an engine does, a request ends with a sentence, nothing is changed or left, and the next click works."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import bpy
import misbehaving_engine
import pytest
from good_replies import write_replies
from misbehaving_engine import AT_GENERATE, AT_HELLO, KINDS
from real_engine import COMMAND
from scene import names
from window import ESCAPE, TICK, Clicked, Window

import grasp_addon
from grasp_addon.engine import client, command, requests, session
from grasp_addon.operators import add_hand, request_operator
from grasp_addon.operators.mixins import status
from grasp_addon.rig.hands import rigs
from scripts.faults.clock import Stopwatch, own_garbage

CASES = [*((kind, when) for kind in KINDS for when in ("hello", "generate")), *((kind, "hello") for kind in AT_HELLO),
         *((kind, "generate") for kind in AT_GENERATE)]
#: what is said of a fault of our own: none of these is the animator's to read
RAW = ("nobody foresaw", "Traceback (most recent call last):\n", "KeyError", "TypeError", "ValueError", "object has no")
AT_ONCE = 0.2  # seconds of work that may hold a window
WAITS = 0.5  # seconds of waiting, e.g. for a program to start, where others are at work


def check_at_once(watch: Stopwatch) -> None:
    assert watch.worked() < AT_ONCE
    assert watch.blocked() < WAITS


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A good answer to the handshake and a candidate, as files."""
    return write_replies(tmp_path_factory.mktemp("replies"))


@pytest.fixture
def engine_that(replies: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Chooses an engine by its misbehaviour; afterwards no process and no thread of any is left."""
    before = set(threading.enumerate())
    started: list[int] = []
    popen = client.subprocess.Popen

    def start(*arguments: object, **keys: object) -> object:
        process = popen(*arguments, **keys)
        started.append(process.pid)
        return process

    monkeypatch.setattr(client.subprocess, "Popen", start)
    for name, seconds in (("HELLO_SECONDS", 1.0), ("SILENT_SECONDS", 1.0), ("STILL_SECONDS", 0.7)):
        monkeypatch.setattr(requests, name, seconds)
    monkeypatch.setattr(request_operator, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))

    def choose(kind: str, when: str = "generate") -> None:
        line = [sys.executable, "-S", "-E", misbehaving_engine.__file__, kind, when, *replies]
        monkeypatch.setattr(command, "engine_command", lambda _context: (line, {}))

    bpy.context.scene.grasp.count = 1
    choose.started = started
    with own_garbage():
        yield choose
    session.stop()
    until = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.02)
    assert set(threading.enumerate()) <= before
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def ticked(operator: Clicked, window: Window, seconds: float = 15.0) -> set[str]:
    """Ticks until the operator ends, each of them short; then nothing is held any more."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        watch = Stopwatch()
        result = operator.modal(window, TICK)
        check_at_once(watch)
        if result != {"PASS_THROUGH"}:
            assert status.job is None
            assert window.timers == []
            assert not window.told or window.told[-1] is None
            return result
        time.sleep(0.01)
    raise AssertionError("it never ended")


def clicked(begin: Callable | None = None) -> tuple[Clicked, Window]:
    operator, window = Clicked(begin) if begin else Clicked(), Window()
    watch = Stopwatch()
    assert operator.invoke(window, TICK) == {"RUNNING_MODAL"}
    check_at_once(watch)
    return operator, window


def running(started: list[int]) -> list[int]:
    """Which of the processes have not ended."""
    found = []
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            found.append(pid)
    return found


def wait_until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    assert true()


def check_sentence(text: str) -> None:
    assert text.endswith("."), text
    assert not [raw for raw in RAW if raw in text], text


def check_the_next_click_works(engine_that: Callable[[str], None]) -> None:
    engine_that("good")
    assert Clicked.poll(bpy.context)
    assert ticked(*clicked()) == {"FINISHED"}
    assert len(rigs()) == 1


@pytest.mark.parametrize("kind, when", CASES)
def test_watched_in_a_window(engine_that: Callable, mug: bpy.types.Object, kind: str, when: str) -> None:
    engine_that(kind, when)
    before = names()
    operator, window = clicked()
    assert ticked(operator, window) == {"CANCELLED"}
    (level, text), = operator.reports
    assert level == "ERROR"
    check_sentence(text)
    assert status.message == text
    assert names() == before
    check_the_next_click_works(engine_that)


@pytest.mark.skipif(os.name == "nt", reason="there is no asking for a process by its number there")
def test_an_engine_that_has_closed_its_output_is_ended(engine_that: Callable, mug: bpy.types.Object) -> None:
    engine_that("a closed output")
    operator, window = clicked()
    engine = status.job.engine
    assert ticked(operator, window) == {"CANCELLED"}
    assert "ended without a word" in operator.reports[0][1]
    assert os.waitpid(engine.pid, 0)[0] == engine.pid, "it would be waited for without end where it goes on"


@pytest.mark.parametrize("kind, when", [case for case in CASES if case[1] == "generate" or case[0] not in KINDS])
def test_waited_for_in_a_script(engine_that: Callable, mug: bpy.types.Object, kind: str, when: str) -> None:
    engine_that(kind, when)
    before = names()
    with pytest.raises(RuntimeError) as caught:
        bpy.ops.grasp.generate("EXEC_DEFAULT")
    check_sentence(str(caught.value).strip())
    assert status.job is None
    assert names() == before
    engine_that("good")
    assert bpy.ops.grasp.generate("EXEC_DEFAULT") == {"FINISHED"}


@pytest.mark.parametrize("kind", ["silence", "ends", "words", "another form", "a result without a hand"])
@pytest.mark.parametrize("button", ["add_hand", "check_engine"])
def test_the_buttons_that_only_greet(engine_that: Callable, button: str, kind: str) -> None:
    engine_that(kind, "hello")
    before = names()
    with pytest.raises(RuntimeError) as caught:
        getattr(bpy.ops.grasp, button)()
    check_sentence(str(caught.value).strip())
    assert names() == before
    engine_that("good")
    assert getattr(bpy.ops.grasp, button)() == {"FINISHED"}


@pytest.mark.parametrize("stop", ["escape", "cross"])
@pytest.mark.parametrize("kind", ["silence", "half a line, then silence", "progress of others without end"])
def test_stopped_while_the_engine_starts(engine_that: Callable, mug: bpy.types.Object, kind: str, stop: str) -> None:
    engine_that(kind, "hello")
    before = names()
    operator, window = clicked()
    operator.modal(window, TICK)
    if stop == "escape":
        assert operator.modal(window, ESCAPE) == {"RUNNING_MODAL"}
    else:
        assert bpy.ops.grasp.stop() == {"FINISHED"}
    assert ticked(operator, window, 1.0) == {"CANCELLED"}
    assert operator.reports == [("INFO", "Stopped: nothing was changed")]
    assert names() == before
    check_the_next_click_works(engine_that)


def test_an_engine_that_hears_no_cancel_is_started_anew(engine_that: Callable, mug: bpy.types.Object,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "STILL_SECONDS", 60.0)
    engine_that("deaf")
    operator, window = clicked()
    until = time.monotonic() + 10
    while not status.job.found and time.monotonic() < until:
        operator.modal(window, TICK)
        time.sleep(0.02)
    old = status.job.engine
    operator.modal(window, ESCAPE)
    stopped = time.monotonic()
    assert ticked(operator, window, 5.0) == {"FINISHED"}
    assert time.monotonic() - stopped < 3.0
    assert len(rigs()[0].grasp.candidates) == 1
    assert not old.alive
    line, variables = command.engine_command(bpy.context)
    until = time.monotonic() + 2
    while session.client(line, variables).pid == old.pid and time.monotonic() < until:
        time.sleep(0.02)
    assert session.client(line, variables).alive, "another is there already"
    engine_that("good")
    assert ticked(*clicked()) == {"FINISHED"}


def test_the_click_after_a_cancel_does_not_wait_for_the_old_work(engine_that: Callable, mug: bpy.types.Object) -> None:
    engine_that("deaf")
    line, variables = command.engine_command(bpy.context)
    first = session.client(line, variables)
    first.send({"type": "generate"})
    first.send({"type": "cancel", "target": 1})
    assert first.stopping
    watch = Stopwatch()
    second = session.client(line, variables)
    check_at_once(watch)
    assert second.pid != first.pid
    assert not first.alive


def test_the_click_after_a_cancel_finds_an_engine_that_started_before_it(engine_that: Callable,
                                                                         mug: bpy.types.Object) -> None:
    """An engine takes two seconds to start: one that does not stop at once has a spare beside it by the next click."""
    engine_that("deaf")
    line, variables = command.engine_command(bpy.context)
    first = session.client(line, variables)
    first.send({"type": "generate"})
    first.send({"type": "cancel", "target": 1})
    wait_until(lambda: len(engine_that.started) == 2, client.FREE_SECONDS - 0.5)
    spare = engine_that.started[-1]
    assert session.client(line, variables).pid == spare
    assert not first.alive
    time.sleep(client.FREE_SECONDS)
    assert session.client(line, variables).pid == spare
    assert running(engine_that.started) == [spare]


def test_the_spare_starts_so_soon_that_hello_is_answered_in_two_seconds(engine_that: Callable) -> None:
    """1.9 s are the import of torch; on a busy machine a timer comes late, so that the soonest of some tries counts."""
    taken = []
    for _ in range(4):
        engine_that("deaf")
        engine_that.started.clear()
        line, variables = command.engine_command(bpy.context)
        one = session.client(line, variables)
        one.send({"type": "generate"})
        begun = time.monotonic()
        one.send({"type": "cancel", "target": 1})
        wait_until(lambda: len(engine_that.started) == 2)
        taken.append(time.monotonic() - begun)
        session.stop()
    assert min(taken) < 0.2, taken


def test_a_spare_engine_goes_when_it_is_not_needed(engine_that: Callable, mug: bpy.types.Object) -> None:
    engine_that("slow to stop")
    line, variables = command.engine_command(bpy.context)
    one = session.client(line, variables)
    one.send({"type": "cancel", "target": 1})
    wait_until(lambda: len(engine_that.started) == 2)
    wait_until(lambda: running(engine_that.started) == [one.pid])
    assert session.client(line, variables) is one


def test_an_engine_that_is_free_after_a_cancel_stays(engine_that: Callable) -> None:
    engine_that("good")
    line, variables = command.engine_command(bpy.context)
    one = session.client(line, variables)
    one.send({"type": "cancel", "target": 7})
    until = time.monotonic() + 5
    while one.stopping and time.monotonic() < until:
        time.sleep(0.02)
    assert not one.stopping
    time.sleep(client.FREE_SECONDS + 0.2)
    assert session.client(line, variables) is one
    assert one.alive


@pytest.mark.parametrize("when", ["hello", "generate"])
def test_another_file_ends_it(engine_that: Callable, mug: bpy.types.Object, when: str) -> None:
    engine_that("silence", when)
    operator, window = clicked()
    operator.modal(window, TICK)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert status.job is None
    assert window.timers == []
    assert operator.modal(window, TICK) == {"CANCELLED"}
    assert operator.reports == []


@pytest.mark.parametrize("when", ["hello", "generate"])
def test_the_add_on_switched_off_ends_it(engine_that: Callable, mug: bpy.types.Object, when: str,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "STILL_SECONDS", 60.0)
    engine_that("deaf" if when == "generate" else "silence", when)
    operator, window = clicked()
    until = time.monotonic() + 1
    while time.monotonic() < until and not (when == "generate" and status.job.preview):
        operator.modal(window, TICK)
        time.sleep(0.02)
    job = status.job
    assert (job.preview is not None) == (when == "generate")
    grasp_addon.unregister()
    try:
        assert status.job is None
        assert window.timers == []
        assert not job.engine.alive
        assert not [handler for handler in bpy.app.handlers.load_pre if "grasp_addon" in handler.__module__]
    finally:
        grasp_addon.register()
    assert operator.modal(window, TICK) == {"CANCELLED"}


def test_a_closed_window_ends_it(engine_that: Callable, mug: bpy.types.Object) -> None:
    engine_that("silence")
    operator, window = clicked()
    operator.modal(window, TICK)
    operator.cancel(window)
    assert status.job is None
    assert window.timers == []
    check_the_next_click_works(engine_that)


def test_another_workspace_does_not_keep_the_text(engine_that: Callable, mug: bpy.types.Object) -> None:
    engine_that("silence", "hello")
    operator, window = clicked()
    operator.modal(window, TICK)
    told: list[str | None] = []
    window.workspace = SimpleNamespace(status_text_set=told.append)
    operator.modal(window, TICK)
    assert window.told[-1] is None
    assert "ESC" in told[-1]
    operator.modal(window, ESCAPE)
    operator.modal(window, TICK)
    assert told[-1] is None


def test_while_it_works_the_other_buttons_wait(engine_that: Callable, mug: bpy.types.Object) -> None:
    engine_that("silence", "hello")
    operator, window = clicked()
    for button in ("generate", "add_hand", "check_engine", "refine", "fit"):
        assert not getattr(bpy.ops.grasp, button).poll(), button
    assert bpy.ops.grasp.stop() == {"FINISHED"}
    assert bpy.ops.grasp.stop() == {"FINISHED"}, "pressed again, nobody waits"
    assert status.job is None
    assert operator.modal(window, TICK) == {"CANCELLED"}
    for button in ("generate", "add_hand", "check_engine"):
        assert getattr(bpy.ops.grasp, button).poll(), button


def test_add_hand_does_not_hold_the_window_while_the_engine_starts(engine_that: Callable) -> None:
    engine_that("silence", "hello")
    operator, window = clicked(add_hand.begin)
    assert operator.modal(window, TICK) == {"PASS_THROUGH"}
    assert "Starting the engine" in window.told[-1]
    operator.modal(window, ESCAPE)
    assert ticked(operator, window, 1.0) == {"CANCELLED"}
    assert not rigs()
    engine_that("good")
    assert ticked(*clicked(add_hand.begin)) == {"FINISHED"}
    assert len(rigs()) == 1


@pytest.mark.skipif(os.name == "nt", reason="there a program that is ended so tells no other number than its own")
def test_an_engine_that_the_system_ends_is_told_from_others(engine_that: Callable, mug: bpy.types.Object) -> None:
    engine_that("is ended by the system")
    with pytest.raises(RuntimeError, match="ended suddenly, as programs do when the memory runs out"):
        bpy.ops.grasp.generate("EXEC_DEFAULT")
    assert status.advice == ""
    engine_that("ends with last words")
    with pytest.raises(RuntimeError, match="ended: ImportError: no module named torch"):
        bpy.ops.grasp.generate("EXEC_DEFAULT")


def test_a_fault_of_our_own_is_told_and_gives_everything_back(engine_that: Callable, mug: bpy.types.Object,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    engine_that("good")
    monkeypatch.setattr(requests, "candidate", lambda *_: {}["nothing"])
    operator, window = clicked()
    assert ticked(operator, window) == {"CANCELLED"}
    (level, text), = operator.reports
    assert level == "ERROR"
    assert "KeyError" in text
    monkeypatch.undo()


def test_what_lies_in_blenders_folder_is_no_part_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A harmless module of a name that the engine imports, in the folder that Blender was started from."""
    for name in ("core.py", "json.py", "numpy.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').write(__name__)\nraise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    chosen = SimpleNamespace(source="PYTHON", python=COMMAND[0], hand_file="", command="", answer="")
    monkeypatch.setattr(command, "preferences", lambda _context: chosen)
    try:
        assert bpy.ops.grasp.check_engine() == {"FINISHED"}
    finally:
        session.stop()
    assert chosen.answer.startswith("Engine ")
    assert not (tmp_path / "loaded").exists()
