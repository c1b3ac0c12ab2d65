"""What happens to the object and around it while the engine works: in the scene, and to Blender itself."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import bpy
from fake_engine import FakeEngine
from window import Clicked, Window

import grasp_addon

from .engines import FaultyEngine, SilentEngine, SlowEngine
from .surroundings import OTHER, data_names, hers
from .trial import Trial, use

Change = Callable[[Trial, bpy.types.Object], object]


def _edited(change: Callable[[bpy.types.Object], object]) -> Change:
    """A change after which no grasp of before can lie on the object."""
    def do(trial: Trial, target: bpy.types.Object) -> None:
        trial.reshaped = True
        change(target)

    return do


def _in_edit_mode(work: Callable[[], object], stay: bool = False) -> Callable[[bpy.types.Object], None]:
    """Edits the mesh as a person does."""
    def do(target: bpy.types.Object) -> None:
        bpy.context.view_layer.objects.active = target
        bpy.ops.object.mode_set(mode="EDIT")
        bpy.ops.mesh.select_all(action="SELECT")
        work()
        if not stay:
            bpy.ops.object.mode_set(mode="OBJECT")

    return do


def _deleted(trial: Trial, target: bpy.types.Object) -> None:
    trial.target = None
    bpy.data.objects.remove(target)


def _deleted_as_people_do(trial: Trial, target: bpy.types.Object) -> None:
    trial.target = None
    for item in bpy.context.view_layer.objects:
        item.select_set(item == target)
    bpy.ops.object.delete()


def _name_taken(_trial: Trial, target: bpy.types.Object) -> None:
    target.name = "Cup"
    bpy.data.objects[OTHER].name = "Mug"


def _turned(trial: Trial, target: bpy.types.Object) -> None:
    target.rotation_euler = [trial.rng.uniform(-3, 3) for _ in range(3)]
    target.location = [trial.rng.uniform(-2, 2) for _ in range(3)]


def _scrubbed(trial: Trial, target: bpy.types.Object) -> None:
    target.keyframe_insert("location", frame=1)
    target.location.x += 1.0
    target.keyframe_insert("location", frame=40)
    bpy.context.scene.frame_set(trial.rng.randint(2, 39))


def _other_scene(trial: Trial, target: bpy.types.Object) -> None:
    """The object is in another scene only by the end."""
    trial.reshaped = True
    bpy.data.scenes.new("Other").collection.objects.link(target)
    for collection in [c for c in target.users_collection if c == bpy.context.scene.collection]:
        collection.objects.unlink(target)


def _excluded(trial: Trial, target: bpy.types.Object) -> None:
    """In a collection that its view layer leaves out."""
    trial.reshaped = True
    away = bpy.data.collections.new("Away")
    bpy.context.scene.collection.children.link(away)
    away.objects.link(target)
    bpy.context.scene.collection.objects.unlink(target)
    bpy.context.view_layer.layer_collection.children["Away"].exclude = True


def _parented(_trial: Trial, target: bpy.types.Object) -> None:
    holder = bpy.data.objects.new("Holder", None)
    bpy.context.scene.collection.objects.link(holder)
    holder.location = (1.0, 0.5, 0.0)
    target.parent = holder


def _undone(trial: Trial, target: bpy.types.Object) -> None:
    """A change, and its undo: everything in memory is another."""
    name = target.name
    bpy.ops.ed.undo_push(message="before")
    if trial.rng.random() < 0.5:
        bpy.data.objects.remove(target)
    else:
        target.location.x += 1.0
        target.data.vertices[0].co.x += 0.02
    bpy.ops.ed.undo_push(message="after")
    bpy.ops.ed.undo()
    trial.target = bpy.data.objects.get(name)


def _undone_twice(trial: Trial, target: bpy.types.Object) -> None:
    """Back to where the object was not."""
    name = target.name
    bpy.ops.ed.undo_push(message="before")
    target.location.x += 1.0
    bpy.ops.ed.undo_push(message="moved")
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    trial.target = bpy.data.objects.get(name)


def _settings_changed(trial: Trial, _target: bpy.types.Object) -> None:
    settings = bpy.context.scene.grasp
    settings.count, settings.seed, settings.hand_length = trial.rng.randint(1, 8), 9, trial.rng.uniform(0.1, 3.0)
    settings.parent = not settings.parent


#: what is done to the object, or around it, while the engine works
SCENES: Final[dict[str, Change]] = {
    "moved": lambda trial, target: setattr(target.location, "x", target.location.x + trial.rng.uniform(0.2, 1.0)),
    "turned": _turned,
    "scrubbed": _scrubbed,
    "renamed": lambda _t, target: setattr(target, "name", "Cup"),
    "name taken": _name_taken,
    "parented": _parented,
    "deleted": _deleted,
    "deleted by X": _deleted_as_people_do,
    "other scene": _other_scene,
    "excluded": _excluded,
    "undone": _undone,
    "undone and redone": _undone_twice,
    "settings changed": _settings_changed,
    "hidden": lambda _t, target: target.hide_set(True),
    "deselected": lambda _t, target: target.select_set(False),
    "in Edit Mode": lambda _t, target: _in_edit_mode(lambda: None, stay=True)(target),
    "data renamed": lambda _t, target: setattr(target.data, "name", "Mine"),
    "a duplicate": lambda _t, target: bpy.context.scene.collection.objects.link(target.copy()),
    "scaled": _edited(lambda target: setattr(target, "scale", (2.0, 2.0, 2.0))),
    "scaled to nothing": _edited(lambda target: setattr(target, "scale", (0.0, 1.0, 1.0))),
    "mirrored": _edited(lambda target: setattr(target, "scale", (-1.0, 1.0, 1.0))),
    "edited": _edited(_in_edit_mode(lambda: bpy.ops.transform.resize(value=(1.5, 1.0, 1.0)))),
    "edited and left so": _edited(_in_edit_mode(lambda: bpy.ops.mesh.subdivide(), stay=True)),
    "emptied": _edited(lambda target: target.data.clear_geometry()),
    "a vertex moved": _edited(lambda target: setattr(target.data.vertices[0].co, "x", 0.3)),
    "not a number": _edited(lambda target: setattr(target.data.vertices[0].co, "x", math.nan)),
    "a modifier": _edited(lambda target: target.modifiers.new("Thick", "SOLIDIFY")),
    "another mesh": _edited(lambda target: setattr(target, "data", bpy.data.meshes.new("Nothing"))),
}


def _changed(change: Change) -> Callable[[Trial], None]:
    """A fault that changes the scene before a tick, or in a script between two replies."""
    def do(trial: Trial) -> None:
        state: dict[str, Any] = {"before": hers(), "done": False}
        at = trial.rng.randint(0, 4)

        def once() -> None:
            if not state["done"] and trial.target is not None:
                state["done"] = True
                change(trial, trial.target)
                bpy.context.view_layer.update()
                state["before"] = hers()

        def between(number: int, _operator: Clicked, _window: Window) -> None:
            if number == at:
                once()

        def fault(place: int, reply: tuple) -> list[tuple]:
            if place == max(at, 1):
                once()
            return [reply]

        everything = data_names()
        if trial.rng.random() < 0.7:
            use(FaultyEngine())
            finished = trial.watch("generate", between)
        else:
            use(FaultyEngine(fault))
            finished = trial.press("generate", asks=True)
        made = {name for name in data_names() - everything if "Hand" not in name and "Contact" not in name}
        trial.check_end("generate", finished, state["before"], everything | made)
        use(FakeEngine())
        trial.check_next_click()

    return do


def _cut(act: Callable[[Trial, Clicked, Window], object], keeps_target: bool = True) -> Callable[[Trial], None]:
    """A fault that ends the request from outside, at any of its ticks, whatever the engine does then."""
    def do(trial: Trial) -> None:
        at = trial.rng.randint(0, 6)
        engine = trial.rng.choice([FaultyEngine, lambda: SilentEngine(trial.rng.randint(1, 4)),
                                   lambda: SlowEngine(trial.rng)])()

        def between(number: int, operator: Clicked, window: Window) -> None:
            if number == at:
                act(trial, operator, window)

        use(engine)
        everything = data_names()
        before = hers()
        finished = trial.watch("generate", between)
        if keeps_target:
            trial.check_end("generate", finished, before, everything)
        elif finished:
            trial.check_success()
        use(FakeEngine())
        trial.check_next_click()

    return do


def _escape_twice(trial: Trial, operator: Clicked, window: Window) -> None:
    trial.escape(operator, window)
    trial.escape(operator, window)


def _stopped(_trial: Trial, _operator: Clicked, _window: Window) -> None:
    bpy.ops.grasp.stop()


def _stopped_twice(_trial: Trial, _operator: Clicked, _window: Window) -> None:
    bpy.ops.grasp.stop()
    bpy.ops.grasp.stop()


def _window_closed(_trial: Trial, operator: Clicked, window: Window) -> None:
    operator.cancel(window)


def _switched_off(_trial: Trial, _operator: Clicked, _window: Window) -> None:
    grasp_addon.unregister()
    grasp_addon.register()
    bpy.context.scene.grasp.count = 3


def _new_file(trial: Trial, _operator: Clicked, _window: Window) -> None:
    trial.target = None
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.grasp.count = 3


def _opened(trial: Trial, _operator: Clicked, _window: Window) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "scene.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
    trial.target = bpy.data.objects.get("Mug")


def _saved(_trial: Trial, _operator: Clicked, _window: Window) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bpy.ops.wm.save_as_mainfile(filepath=str(Path(folder) / "scene.blend"))


def _scene_switched(trial: Trial, _operator: Clicked, _window: Window) -> None:
    """The window shows another scene, in which the object is not."""
    trial.reshaped = True
    bpy.context.window.scene = bpy.data.scenes.new("Other")
    bpy.context.scene.grasp.count = 3


def _scene_deleted(trial: Trial, operator: Clicked, window: Window) -> None:
    """The scene itself goes; its objects stay in the file."""
    old = bpy.context.scene
    _scene_switched(trial, operator, window)
    bpy.data.scenes.remove(old)


#: what ends a request, or might
CUTS: Final[dict[str, Callable[[Trial], None]]] = {
    "stop by ESC": _cut(lambda trial, operator, window: trial.escape(operator, window)),
    "stop by ESC twice": _cut(_escape_twice),
    "stop by X": _cut(_stopped),
    "stop by X twice": _cut(_stopped_twice),
    "window closed": _cut(_window_closed),
    "add-on off and on": _cut(_switched_off),
    "file new": _cut(_new_file, keeps_target=False),
    "file opened": _cut(_opened),
    "file saved": _cut(_saved),
    "scene switched": _cut(_scene_switched, keeps_target=False),
    "scene removed": _cut(_scene_deleted, keeps_target=False),
}

FAULTS: Final[dict[str, Callable[[Trial], None]]] = {
    **{f"scene {name}": _changed(change) for name, change in SCENES.items()}, **CUTS}
