"""What there is around a request: the animator's things, and what must not be left behind."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Any, Final
from unittest import mock

import bpy
import numpy as np

import grasp_addon
from grasp_addon.operators import preview
from grasp_addon.operators.mixins import status
from grasp_addon.rig.marks import is_marked

from .verdict import Verdict

ACTION: Final = "Her Walk"
OTHER: Final = "Hers"  # the animator's other object
OWN: Final = "Mine On The Hand"  # what hangs on a hand and moves with it: that it is there is all that is looked at
#: of the file, in which what has no mark is the animator's
GROUPS: Final = ("objects", "meshes", "armatures", "actions", "materials", "collections", "scenes")
SETTLING: Final = 3.0  # seconds in which threads and programs that were told to end have ended


def fresh_scene() -> bpy.types.Object:
    """An empty file with the add-on, an object to grasp (selected) and another of the animator's."""
    if hasattr(bpy.types.Scene, "grasp"):
        grasp_addon.unregister()
    status.job, status.message, status.advice = None, "", ""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    grasp_addon.register()
    for name, place in ((OTHER, (2.0, 0.0, 0.0)), ("Mug", (0.3, -0.2, 0.5))):
        bpy.ops.mesh.primitive_cylinder_add(radius=0.04, depth=0.1, location=place)
        bpy.context.object.name = name
        bpy.context.object.select_set(name == "Mug")
    bpy.data.objects[OTHER].select_set(False)
    bpy.context.scene.grasp.count = 3
    bpy.context.view_layer.update()
    return bpy.data.objects["Mug"]


def hers() -> dict[str, tuple]:
    """What is the animator's: objects, where they are and what they look like, and whatever else has no mark."""
    bpy.context.view_layer.update()
    found: dict[str, tuple] = {}
    for group in GROUPS:
        for item in getattr(bpy.data, group):
            if not (is_marked(item) or (isinstance(item, bpy.types.Object) and item.grasp.role)):
                found[f"{group}/{item.name}"] = _looks(item)
    # an action of ours has a mark until the animator's keys in it are all that is left
    return {name: looks for name, looks in found.items() if not name.startswith("actions/") or ACTION in name}


def _looks(item: bpy.types.ID) -> tuple:
    if not isinstance(item, bpy.types.Object) or item.name.startswith(OWN):
        return ()
    place = tuple(round(x, 5) for row in item.matrix_world for x in row)
    shape: tuple = ()
    if item.type == "MESH":
        item.update_from_editmode()
        points = np.empty(3 * len(item.data.vertices), np.float32)
        item.data.vertices.foreach_get("co", points)
        shape = (hash(points.tobytes()), tuple(a.name for a in item.data.color_attributes))
    return (place, shape, item.parent.name if item.parent else "", tuple(m.name for m in item.modifiers),
            tuple(c.name for c in item.constraints), item.animation_data is None, item.hide_viewport,
            tuple(c.name for c in item.users_collection))


def difference(before: dict[str, tuple], after: dict[str, tuple]) -> str:
    """Which of what is hers is gone, new or other than before."""
    return ", ".join(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))


def data_names() -> set[str]:
    """All that is in the file."""
    return {f"{group}/{item.name}" for group in GROUPS for item in getattr(bpy.data, group)}


def nowhere() -> set[str]:
    """The parts of hands that are in no collection."""
    return {item.name for item in bpy.data.objects if item.grasp.role and not item.users_collection}


class Traces:
    """What is there now of handlers, threads, timers, programs and drawings, to be compared with later.

    A context: while it is entered, programs and drawings that are begun are known.
    """

    def __init__(self) -> None:
        self._handlers, self._threads = _handlers(), set(threading.enumerate())
        self._programs: list[subprocess.Popen] = []
        self._drawn: list[Any] = []
        self._patches: list[Any] = []

    def __enter__(self) -> Traces:
        popen, draws = subprocess.Popen, preview.Preview

        def start(*arguments: Any, **settings: Any) -> subprocess.Popen:
            self._programs.append(popen(*arguments, **settings))
            return self._programs[-1]

        class Counted(draws):  # type: ignore[valid-type,misc]  # a class that is known here alone
            """Tells when it begins and ends."""

            def __init__(made, *arguments: Any) -> None:  # noqa: N805  `self` is the traces
                super().__init__(*arguments)
                self._drawn.append(made)

            def close(made) -> None:  # noqa: N805
                super().close()
                if made in self._drawn:
                    self._drawn.remove(made)

        self._patches = [mock.patch.object(subprocess, "Popen", start),
                         mock.patch("grasp_addon.operators.job.Preview", Counted)]
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patch in self._patches:
            patch.stop()

    @property
    def running(self) -> list[subprocess.Popen]:
        """The programs that were started and have not ended."""
        return [program for program in self._programs if program.poll() is None]

    def look(self, verdict: Verdict, known: set[str]) -> None:
        """Counts what should not be there after all is over, but for the objects that are known to be nowhere."""
        if status.job is not None:
            verdict.add("stuck", "the panel still shows a job")
        if _handlers() != self._handlers:
            verdict.add("leftover", "handlers")
        if self._drawn:
            verdict.add("leftover", "a drawing in the view")
        until = time.monotonic() + SETTLING
        while (self.running or self._more_threads()) and time.monotonic() < until:
            threading.Event().wait(0.01)  # really, whatever the clock is
        for program in self.running:
            verdict.add("leftover", "a program")
            program.kill()
            program.wait()
        if more := self._more_threads():
            verdict.add("leftover", f"a thread ({sorted(more)[0]})")
        if lost := nowhere() - known:
            verdict.add("leftover", f"{sorted(lost)[0]} is in no collection")

    def _more_threads(self) -> set[str]:
        return {thread.name for thread in set(threading.enumerate()) - self._threads if thread.is_alive()}


def _handlers() -> dict[str, int]:
    return {name: len(getattr(bpy.app.handlers, name)) for name in dir(bpy.app.handlers)
            if isinstance(getattr(bpy.app.handlers, name), list)}
