"""One fault on its way: buttons pressed as a person or a script presses them, and everything looked at."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import bpy
import numpy as np
from fake_engine import FakeEngine, random_candidates, tube_hand
from window import ESCAPE, TICK, Clicked, Window

from grasp_addon.engine import command, session
from grasp_addon.engine.types import ENGINE_HAND_LENGTH
from grasp_addon.operators import add_hand, generate, refine, request_operator
from grasp_addon.operators.mixins import UNFORESEEN, status
from grasp_addon.rig.hands import rigs

from .clock import Clock, Stopwatch, Stuck
from .surroundings import OTHER, data_names, difference, hers
from .verdict import Verdict

SLOWEST: Final = 0.2  # seconds of work that may hold the window
BLOCKED: Final = 0.5  # seconds of waiting that are more than a busy machine's, e.g. for a program to start
TICKS: Final = 4000  # after which a request in a window is stuck
RAISED: Final = r"^\w+(?:Error|Exception|Warning|Iteration)\b.*"
#: what is no sentence for an animator
RAW: Final = ("Traceback (most recent call last):\n", "KeyError", "TypeError", "ValueError", "IndexError",
              "object has no", UNFORESEEN)
BEGINNINGS: Final = {"generate": generate.begin, "refine": refine.begin, "add_hand": add_hand.begin}

Between = Callable[[int, Clicked, Window], object]  # what happens before a tick, by its number


@dataclass
class Trial:
    """One fault, done once.

    Attributes:
        verdict: gets what goes wrong.
        rng: draws when and how.
        target: the object that is to be grasped, for as long as it is there.
        clock: the made time; None where time passes.
        reshaped: whether no grasp that was asked for before can lie on the object any more.
        lost: parts of hands that the animator took out of all collections.
    """

    verdict: Verdict
    rng: random.Random
    target: bpy.types.Object | None
    clock: Clock | None = None
    reshaped: bool = False
    lost: set[str] = field(default_factory=set)

    def press(self, name: str, asks: bool = False, **settings: Any) -> bool:
        """Presses a button, or calls it as a script does.

        Args:
            name: of the operator, after "grasp.".
            asks: whether it asks the engine, and may take its time.
            settings: of the operator.

        Returns:
            whether it says that it succeeded.
        """
        if self.clock:
            self.clock.begin()
        watch, finished = Stopwatch(self.clock), False
        try:
            finished = getattr(bpy.ops.grasp, name)(**settings) == {"FINISHED"}
        except RuntimeError as error:  # what Blender makes of a reported error, and of an exception
            self.check_words(name, str(error))
        if not asks:
            self.check_time(name, watch)
        return finished

    def set_property(self, owner: bpy.types.bpy_struct, name: str, value: object) -> None:
        """Sets a property as the panel does; what its callback meets goes to the console alone."""
        watch, said = Stopwatch(self.clock), io.StringIO()
        with console(said):
            setattr(owner, name, value)
        self.check_words(name, said.getvalue())
        self.check_time(name, watch)

    def watch(self, name: str, between: Between | None = None, pause: Callable[[], object] | None = None) -> bool:
        """Clicks a button that asks the engine, and ticks as its window does until it ends.

        Args:
            name: of the operator, after "grasp.".
            between: what happens before each tick.
            pause: what passes the time between two ticks; None lets the made time pass.

        Returns:
            whether it says that it succeeded.
        """
        assert pause or self.clock, "either time passes or it is made"
        if self.clock:
            self.clock.begin()
        operator, window = Clicked(BEGINNINGS[name]), Window()
        with in_a_window():
            if not operator.poll(bpy.context):
                return False
            watch = Stopwatch(self.clock)
            result = operator.invoke(window, TICK)
            self.check_time(f"the click on {name}", watch)
            for number in range(TICKS):
                if result not in ({"RUNNING_MODAL"}, {"PASS_THROUGH"}):
                    break
                if between is not None:
                    between(number, operator, window)
                watch = Stopwatch(self.clock)
                result = operator.modal(window, TICK)
                self.check_time(f"a tick of {name}", watch)
                if pause:
                    pause()
                elif self.clock:
                    with contextlib.suppress(Stuck):
                        self.clock.sleep(0.1)
            else:
                self.verdict.add("stuck", f"{name} never ends in its window")
                operator.cancel(window)
        self._look_at_window(name, operator, window)
        return result == {"FINISHED"}

    def escape(self, operator: Clicked, window: Window) -> None:
        """Presses ESC in the window."""
        watch = Stopwatch(self.clock)
        operator.modal(window, ESCAPE)
        self.check_time("ESC", watch)

    def request(self, engine: FakeEngine, between: Between | None = None, name: str = "generate") -> None:
        """Asks an engine, watched or waited for, and looks at what has come of it.

        Args:
            engine: as it is for this request.
            between: what happens before each tick; a request with it is always watched.
            name: of the operator.
        """
        use(engine)
        before, everything = hers(), data_names()
        watched = between is not None or self.rng.random() < 0.5
        finished = self.watch(name, between) if watched else self.press(name, asks=True)
        self.check_end(name, finished, before, everything)

    def check_end(self, name: str, finished: bool, before: dict[str, tuple], everything: set[str]) -> None:
        """After a request: nothing of hers is changed, and a success is one."""
        if (after := hers()) != before:
            self.verdict.add("changed", difference(before, after))
        if finished and name == "generate":
            self.check_success()
        elif not finished and (more := [n for n in data_names() - everything if "Hand" in n or "Contact" in n]):
            self.verdict.add("leftover", f"no success, but {sorted(more)[0]}")

    def check_success(self) -> None:
        """A hand that was promised lies on the object as it is now."""
        bpy.context.view_layer.update()
        target = self.target
        if target is None or target.name not in bpy.context.scene.objects or self.reshaped:
            self.verdict.add("wrong success", "there is nothing for the hand to lie on")
            return
        found = [rig for rig in rigs(bpy.context.scene) if rig.grasp.target == target]
        if not found:
            self.verdict.add("wrong success", "no hand belongs to the object")
            return
        mesh = found[-1].grasp.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        points = np.array([mesh.matrix_world @ vertex.co for vertex in mesh.data.vertices])
        turn, place = np.array(target.matrix_world.to_3x3().normalized()), np.array(target.matrix_world.translation)
        told = (one.vertices @ turn.T + place for one in random_candidates(tube_hand("right"), 3, 0))
        if not any(points.shape == there.shape and np.abs(points - there).max() < 1e-4 for there in told):
            self.verdict.add("wrong success", "the hand does not lie on the object")

    def check_next_click(self, pause: Callable[[], object] | None = None) -> None:
        """The next click works, on an object that is there."""
        again = bpy.data.objects.get(OTHER) or next((o for o in bpy.data.objects if o.type == "MESH"), None)
        if again is None or again.name not in bpy.context.view_layer.objects:
            bpy.ops.mesh.primitive_cylinder_add(radius=0.04, depth=0.1)
            again = bpy.context.object
        if bpy.context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        for item in bpy.context.view_layer.objects:
            item.select_set(item == again)
        bpy.context.view_layer.objects.active = again
        settings = bpy.context.scene.grasp
        settings.hand_length, settings.count = ENGINE_HAND_LENGTH, 3
        if not (self.watch("generate", pause=pause) if self.rng.random() < 0.5 else self.press("generate", asks=True)):
            self.verdict.add("stuck", f"the next click does nothing: {status.message}")

    def check_words(self, name: str, text: str) -> None:
        """What a button says is a sentence."""
        if any(raw in text for raw in RAW) and Stuck.__name__ not in text:
            last = (re.findall(RAISED, text, re.MULTILINE) or [text.strip().splitlines()[0]])[-1]
            self.verdict.add("raw error", f"{name}: {last}")

    def check_time(self, name: str, watch: Stopwatch) -> None:
        """Nothing holds the window for long."""
        if (seconds := watch.worked()) > SLOWEST:
            self.verdict.add("slow", f"{name} took {seconds:.2f} s")
        elif (seconds := watch.blocked()) > BLOCKED:
            self.verdict.add("slow", f"{name} waited for {seconds:.2f} s")

    def _look_at_window(self, name: str, operator: Clicked, window: Window) -> None:
        for _level, text in operator.reports:
            self.check_words(name, text)
        if window.timers:
            self.verdict.add("leftover", "a timer")
        if window.told and window.told[-1] is not None:
            self.verdict.add("leftover", "the status bar's text")


def use(engine: FakeEngine) -> None:
    """All requests go to this engine."""
    session.client = lambda *_: engine


@contextlib.contextmanager
def made_engine() -> Iterator[None]:
    """An engine of our own in place of a program."""
    with (mock.patch.object(command, "engine_command", return_value=(["engine"], {})),
          mock.patch.object(session, "client", session.client)):  # for `use` to replace
        use(FakeEngine())
        yield


@contextlib.contextmanager
def console(said: io.StringIO) -> Iterator[None]:
    """Keeps what is written to the console, by Blender itself too."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        there = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(there, 2)
            os.close(there)
            kept.seek(0)
            said.write(kept.read().decode(errors="replace"))


@contextlib.contextmanager
def in_a_window() -> Iterator[None]:
    """The operators take this Blender for one with windows."""
    shown = SimpleNamespace(app=SimpleNamespace(background=False))
    with mock.patch.object(request_operator, "bpy", shown):
        yield
