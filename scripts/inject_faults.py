"""Does to the add-on what goes wrong around it, again and again, and counts what it should not have done.

    python scripts/inject_faults.py --count 200 --seed 0        with a Python that has bpy
    python scripts/inject_faults.py --only hand,engine          kinds that begin so

The engine is the tests' made one, which dies, falls silent, talks nonsense or dawdles, or during whose work the scene
is changed; or a hand is edited afterwards. All goes through the operators that the buttons call. Time in which the
add-on only waits is not waited for. Counted are, for each kind: what of the animator's was changed, a success that is
none (the hand does not lie on the object), an error that is no sentence, a button (of those that ask no engine) that
takes over 0.2 s, a click after which the next is impossible, and what is left over: data, threads, handlers. Ends with
1 where anything was counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

import bpy
import numpy as np

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "grasp_addon")]

from fake_engine import FakeEngine, random_candidates, tube_hand  # noqa: E402

import grasp_addon  # noqa: E402
from grasp_addon.engine import command, session  # noqa: E402
from grasp_addon.errors import GraspError  # noqa: E402
from grasp_addon.operators.mixins import UNFORESEEN, status  # noqa: E402
from grasp_addon.rig.hands import rigs  # noqa: E402
from grasp_addon.rig.marks import is_marked  # noqa: E402

COLUMNS: Final = ("changed", "wrong success", "raw error", "slow", "stuck", "leftover")
SLOWEST: Final = 0.2  # processor seconds that a button may take
ACTION: Final = "Her Walk"
PATIENCE: Final = 1000.0  # seconds, not really waited for, after which a request is stuck
RAISED: Final = r"^\w+(?:Error|Exception|Warning|Iteration)\b.*"
OTHER: Final = "Hers"  # the animator's other object

Change = Callable[[random.Random, bpy.types.Object], None]


@dataclass
class Verdict:
    """What one fault led to.

    Attributes:
        kind: of the fault.
        found: name of a column of `COLUMNS` -> what was seen.
    """

    kind: str
    found: dict[str, str] = field(default_factory=dict)

    def add(self, column: str, seen: str) -> None:
        """Counts the first of its column."""
        self.found.setdefault(column, seen)


class Stuck(Exception):  # noqa: N818  an end, told by the clock
    """Nothing ends this request."""


class Clock:
    """Time that passes by itself wherever somebody sleeps."""

    def __init__(self) -> None:
        self.slept, self.gave_up = 0.0, 0
        self._monotonic = time.monotonic

    def monotonic(self) -> float:
        return self._monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Waits for nothing.

        Raises:
            Stuck: all patience is used up.
        """
        self.slept += max(seconds, 1e-3)
        if self.slept > PATIENCE:
            self.slept, self.gave_up = 0.0, self.gave_up + 1
            raise Stuck(f"still waiting after {PATIENCE:.0f} s")


class FaultyEngine(FakeEngine):  # type: ignore[misc]  # a module of the tests, found at run time
    """Answers one reply each time it is asked, until `fault` makes of a reply, by its place, what goes wrong."""

    def __init__(self, fault: Callable[[int, tuple], list[tuple]] | None = None) -> None:
        super().__init__()
        self.fault, self.place = fault, 0

    def poll(self) -> list[tuple[dict, dict]]:
        if not self.waiting:
            return []
        reply = self.waiting.pop(0)
        self.place += 1
        return [reply] if self.fault is None else self.fault(self.place, reply)


# Faults of the engine: what each makes of the reply at a place


def killed(rng: random.Random, _target: object) -> FaultyEngine:
    at = rng.randint(1, 6)

    def fault(place: int, reply: tuple) -> list[tuple]:
        if place >= at:
            raise GraspError("The engine ended without a word. Generate again to start it anew, or check it in the "
                             "preferences.", "preferences")
        return [reply]

    return FaultyEngine(fault)


def silent(rng: random.Random, _target: object) -> FaultyEngine:
    at = rng.randint(1, 6)
    return FaultyEngine(lambda place, reply: [reply] if place < at else [])


def slow(_rng: random.Random, _target: object) -> FaultyEngine:
    def fault(_place: int, reply: tuple) -> list[tuple]:
        time.sleep(3.0)  # the clock's
        return [reply]

    return FaultyEngine(fault)


def nonsense(rng: random.Random, _target: object) -> FaultyEngine:
    at, how = rng.randint(1, 6), rng.randrange(8)

    def fault(place: int, reply: tuple) -> list[tuple]:
        message, arrays = dict(reply[0]), dict(reply[1])
        if place != at:
            return [reply]
        some = rng.choice(sorted(arrays)) if arrays else ""
        if how == 0:
            message.pop("type")
        elif how == 1:
            message["type"] = "progress"
            message["fraction"] = "soon"
        elif how == 2 and some:
            del arrays[some]
        elif how == 3 and some:
            arrays[some] = arrays[some][:1]
        elif how == 4 and some:
            arrays[some] = np.full(arrays[some].shape, np.nan)
        elif how == 5:
            message["type"], arrays["order"] = "result", np.array([0, 99], np.int32)
        elif how == 6:
            message["measures"], message["methods"] = 7, "all"
        elif some:
            arrays[some] = arrays[some].astype(str)
        return [(message, arrays)]

    return FaultyEngine(fault)


# What happens to the object while the engine works


def moved(rng: random.Random, target: bpy.types.Object) -> None:
    target.location.x += rng.uniform(0.2, 1.0)


def scaled(_rng: random.Random, target: bpy.types.Object) -> None:
    target.scale *= 2.0


def renamed(_rng: random.Random, target: bpy.types.Object) -> None:
    target.name = "Cup"


def name_taken(_rng: random.Random, target: bpy.types.Object) -> None:
    target.name = "Cup"
    bpy.data.objects[OTHER].name = "Mug"


def deleted(_rng: random.Random, target: bpy.types.Object) -> None:
    bpy.data.objects.remove(target)


def other_scene(_rng: random.Random, target: bpy.types.Object) -> None:
    """The object is in another scene only by the end."""
    bpy.data.scenes.new("Other").collection.objects.link(target)
    for collection in [c for c in target.users_collection if c == bpy.context.scene.collection]:
        collection.objects.unlink(target)


# What happens to a hand


def bone_renamed(rng: random.Random, rig: bpy.types.Object) -> None:
    rng.choice(list(rig.data.bones)).name = "Mine"


def bone_deleted(rng: random.Random, rig: bpy.types.Object) -> None:
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones.remove(rng.choice(list(rig.data.edit_bones)))
    bpy.ops.object.mode_set(mode="OBJECT")


def keys_cleared(_rng: random.Random, rig: bpy.types.Object) -> None:
    rig.grasp.mesh.shape_key_clear()


def key_removed(rng: random.Random, rig: bpy.types.Object) -> None:
    blocks = rig.grasp.mesh.data.shape_keys.key_blocks
    rig.grasp.mesh.shape_key_remove(rng.choice(list(blocks)[1:]))


def key_renamed(rng: random.Random, rig: bpy.types.Object) -> None:
    rng.choice(list(rig.grasp.mesh.data.shape_keys.key_blocks)[1:]).name = "Mine"


def vertices_deleted(rng: random.Random, rig: bpy.types.Object) -> None:
    import bmesh

    mesh, made = rig.grasp.mesh.data, bmesh.new()
    made.from_mesh(mesh)
    made.verts.ensure_lookup_table()
    bmesh.ops.delete(made, geom=made.verts[: rng.randint(1, 40)], context="VERTS")
    made.to_mesh(mesh)
    made.free()


def drivers_removed(_rng: random.Random, rig: bpy.types.Object) -> None:
    rig.animation_data_clear()


def modifier_removed(_rng: random.Random, rig: bpy.types.Object) -> None:
    rig.grasp.mesh.modifiers.clear()


def own_action(rng: random.Random, rig: bpy.types.Object) -> None:
    """The animator's own animation of the hand."""
    rig.animation_data_create().action = bpy.data.actions.new(ACTION)
    rng.choice(list(rig.pose.bones)).keyframe_insert("rotation_quaternion", frame=5)


def mesh_removed(_rng: random.Random, rig: bpy.types.Object) -> None:
    bpy.data.objects.remove(rig.grasp.mesh)


def target_removed(_rng: random.Random, rig: bpy.types.Object) -> None:
    bpy.data.objects.remove(rig.grasp.target)


def disabled_and_enabled(_rng: random.Random, _rig: bpy.types.Object) -> None:
    grasp_addon.unregister()
    grasp_addon.register()


ENGINES: Final = {"engine killed": killed, "engine silent": silent, "engine slow": slow, "engine nonsense": nonsense}
SCENES: Final[dict[str, Change]] = {
    "scene moved": moved, "scene scaled": scaled, "scene renamed": renamed, "scene name taken": name_taken,
    "scene deleted": deleted, "scene other": other_scene}
HANDS: Final[dict[str, Change]] = {
    "hand bone renamed": bone_renamed, "hand bone deleted": bone_deleted, "hand keys cleared": keys_cleared,
    "hand key removed": key_removed, "hand key renamed": key_renamed, "hand vertices deleted": vertices_deleted,
    "hand drivers removed": drivers_removed, "hand modifier removed": modifier_removed,
    "hand own action": own_action, "hand mesh removed": mesh_removed, "hand target removed": target_removed,
    "hand add-on off and on": disabled_and_enabled}
KINDS: Final = (*ENGINES, *SCENES, *HANDS)
RESHAPED: Final = {"scene scaled"}  # after which no grasp that was asked for before lies on the object


def inject(kind: str, seed: int) -> Verdict:
    """One fault in a new file.

    Args:
        kind: of `KINDS`.
        seed: draws when and how.
    """
    rng, verdict = random.Random(f"{kind}/{seed}"), Verdict(kind)
    target = fresh_scene()
    handlers, threads = handler_counts(), threading.active_count()
    with made_time() as clock:
        if kind in HANDS:
            _edited_hand(verdict, HANDS[kind], rng)
        else:
            _faulty_request(verdict, kind, rng, target)
        if clock.gave_up:
            verdict.add("stuck", "a request that nothing ends")
    _look_around(verdict, handlers, threads)
    return verdict


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


@contextlib.contextmanager
def made_time() -> Iterator[Clock]:
    """Sleeping takes no time; an engine that answers."""
    clock = Clock()
    with (mock.patch.object(time, "monotonic", clock.monotonic), mock.patch.object(time, "sleep", clock.sleep),
          mock.patch.object(command, "engine_command", return_value=(["engine"], {})),
          mock.patch.object(session, "client", session.client)):  # for `use` to replace
        use(FakeEngine())
        yield clock


def use(engine: FakeEngine) -> None:
    """All requests go to this engine."""
    session.client = lambda *_: engine


def press(verdict: Verdict, name: str, asks: bool = False, **settings: Any) -> bool:
    """Presses a button.

    Args:
        verdict: gets what goes wrong.
        name: of the operator, after "grasp.".
        asks: whether it asks the engine, and may take its time.
        settings: of the operator.

    Returns:
        whether it says that it succeeded.
    """
    start = time.thread_time()
    try:
        finished = getattr(bpy.ops.grasp, name)(**settings) == {"FINISHED"}
    except RuntimeError as error:  # what Blender makes of a reported error, and of an exception
        finished = False
        if "Traceback" in str(error) and Stuck.__name__ not in str(error):
            verdict.add("raw error", f"{name}: {(re.findall(RAISED, str(error), re.MULTILINE) or ['?'])[-1]}")
        elif UNFORESEEN in str(error):
            verdict.add("raw error", f"{name}: {str(error).strip().splitlines()[0]}")
    if not asks and time.thread_time() - start > SLOWEST:
        verdict.add("slow", f"{name} took {time.thread_time() - start:.2f} s")
    return finished


def _faulty_request(verdict: Verdict, kind: str, rng: random.Random, target: bpy.types.Object) -> None:
    """Generate Grasps while the engine or the scene fails, and once more with an engine that works."""
    before = hers()
    if kind in ENGINES:
        use(ENGINES[kind](rng, target))
    else:
        at = rng.randint(1, 4)

        def fault(place: int, reply: tuple) -> list[tuple]:
            nonlocal before
            if place == at:
                SCENES[kind](rng, target)
                bpy.context.view_layer.update()
                before = hers()
            return [reply]

        use(FaultyEngine(fault))
    everything = data_names()
    finished = press(verdict, "generate", asks=True)
    if (after := hers()) != before:
        verdict.add("changed", difference(before, after))
    target = None if kind == "scene deleted" else target
    if finished:
        _check_success(verdict, kind, target)
    elif more := [name for name in data_names() - everything if "Hand" in name or "Contact" in name]:
        verdict.add("leftover", f"no success, but {sorted(more)[0]}")
    use(FakeEngine())
    again = bpy.data.objects.get(OTHER) or bpy.data.objects.get("Mug")
    for item in bpy.context.view_layer.objects:
        item.select_set(item == again)
    bpy.context.view_layer.objects.active = again
    if not press(verdict, "generate", asks=True):
        verdict.add("stuck", "the next click does nothing")


def _check_success(verdict: Verdict, kind: str, target: bpy.types.Object | None) -> None:
    """A hand that was promised lies on the object as it is now."""
    bpy.context.view_layer.update()
    if target is None or target.name not in bpy.context.view_layer.objects or kind in RESHAPED:
        verdict.add("wrong success", "there is nothing for the hand to lie on")
        return
    found = [rig for rig in rigs(bpy.context.scene) if rig.grasp.target == target]
    if not found:
        verdict.add("wrong success", "no hand belongs to the object")
        return
    mesh = found[-1].grasp.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = np.array([mesh.matrix_world @ vertex.co for vertex in mesh.data.vertices])
    told = random_candidates(tube_hand("right"), bpy.context.scene.grasp.count, 0)[0].vertices
    turn, place = np.array(target.matrix_world.to_3x3().normalized()), np.array(target.matrix_world.translation)
    if points.shape != told.shape or not np.abs(points - told @ turn.T - place).max() < 1e-4:
        verdict.add("wrong success", "the hand does not lie on the object")


def _edited_hand(verdict: Verdict, change: Change, rng: random.Random) -> None:
    """Everything that can be done with a hand, after the animator has edited it."""
    if not press(verdict, "generate", asks=True):
        verdict.add("stuck", "nothing was generated")
        return
    if rng.random() < 0.5:
        press(verdict, "bake")
    change(rng, rigs(bpy.context.scene)[-1])
    bpy.context.view_layer.update()
    before = hers()
    buttons: list[tuple[str, bool, dict[str, Any]]] = [
        ("show", False, {"direction": "NEXT"}), ("bake", False, {}), ("show", False, {"candidate": 2}),
        ("end_look", False, {}), ("pose", False, {}), ("refine", True, {}), ("generate", True, {})]
    rng.shuffle(buttons)
    for name, asks, settings in (*buttons, ("remove", False, {})):
        press(verdict, name, asks, **settings)
        if (after := hers()) != before:
            verdict.add("changed", f"{name}: {difference(before, after)}")
            before = after


def hers() -> dict[str, tuple]:
    """What is the animator's: objects, where they are and what their meshes look like, and actions."""
    bpy.context.view_layer.update()
    found = {}
    for item in bpy.data.objects:
        if item.type == "MESH" and not is_marked(item):
            points = np.empty(3 * len(item.data.vertices), np.float32)
            item.data.vertices.foreach_get("co", points)
            attributes = tuple(a.name for a in item.data.color_attributes)
            place = tuple(round(x, 5) for row in item.matrix_world for x in row)
            found[item.name] = (place, hash(points.tobytes()), len(item.modifiers), attributes,
                                item.animation_data is None, tuple(c.name for c in item.users_collection))
    return found | {action.name: () for action in bpy.data.actions if action.name == ACTION}


def difference(before: dict[str, tuple], after: dict[str, tuple]) -> str:
    """Which of what is hers is gone, new or other than before."""
    return ", ".join(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))


def data_names() -> set[str]:
    groups = ("objects", "meshes", "armatures", "actions", "materials", "collections")
    return {f"{group}/{item.name}" for group in groups for item in getattr(bpy.data, group)}


def handler_counts() -> dict[str, int]:
    return {name: len(getattr(bpy.app.handlers, name)) for name in dir(bpy.app.handlers)
            if isinstance(getattr(bpy.app.handlers, name), list)}


def _look_around(verdict: Verdict, handlers: dict[str, int], threads: int) -> None:
    """What should not be there after all is over."""
    if status.job is not None:
        verdict.add("stuck", "the panel still shows a job")
    if handler_counts() != handlers:
        verdict.add("leftover", "handlers")
    if threading.active_count() > threads:
        verdict.add("leftover", "threads")
    lost = [item.name for item in bpy.data.objects if item.grasp.role and not item.users_collection]
    if lost:
        verdict.add("leftover", f"{lost[0]} is in no collection")


def table(verdicts: Sequence[Verdict]) -> str:
    """How often each kind was tried and what was counted, a line a kind, and an example of each thing counted."""
    lines = [f"{'kind':26}{'tried':>7}" + "".join(f"{name:>15}" for name in COLUMNS)]
    examples = []
    for kind in dict.fromkeys(one.kind for one in verdicts):
        mine = [one for one in verdicts if one.kind == kind]
        counts = [sum(name in one.found for one in mine) for name in COLUMNS]
        lines.append(f"{kind:26}{len(mine):>7}" + "".join(f"{count or '-':>15}" for count in counts))
        examples += [f"  {kind}, {name}: {next(one.found[name] for one in mine if name in one.found)}"
                     for name, count in zip(COLUMNS, counts, strict=True) if count]
    bad = sum(bool(one.found) for one in verdicts)
    return "\n".join([*lines, *examples, f"{len(verdicts)} faults, {len(verdicts) - bad} of them without consequence"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script.

    Returns:
        its exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="how many faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds that begin with one of these, separated by commas")
    asked = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if kind.startswith(tuple(asked.only.split(",")))]
    if not kinds:
        parser.error(f"no kind begins with {asked.only}: there are {', '.join(KINDS)}")
    verdicts = []
    for place in range(asked.count):
        verdicts.append(inject(kinds[place % len(kinds)], asked.seed + place // len(kinds)))
    print(table(sorted(verdicts, key=lambda one: KINDS.index(one.kind))), flush=True)
    return int(any(one.found for one in verdicts))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # bpy as a module is slow to tear down
