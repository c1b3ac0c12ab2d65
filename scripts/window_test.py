r"""Drives a real Blender in its window as an animator would, and takes screenshots of what is seen.

    python scripts/window_test.py --blender "real-blender run" --background "real-blender background" \
        --engine PYTHON --out FOLDER

Builds the zip, installs it into an empty Blender, sets the engine in the preferences, selects a mesh, clicks Generate
Grasps, watches, scrubs, bakes at two frames and undoes; then adds a hand, poses it, presses Refine Grasp and undoes.
`--engine made` rehearses with the tests' fake engine.
Screenshots need ImageMagick's `import` beside Blender. Exit status 0 when every step held.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODULE = "bl_ext.user_default.generate_grasps"


def outside() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blender", default=os.environ.get("REAL_BLENDER", "blender"), help="opens the window")
    parser.add_argument("--background", default=os.environ.get("REAL_BLENDER_BACKGROUND"),
                        help="without a window; BLENDER --background when not given")
    parser.add_argument("--engine", required=True, help='the engine\'s Python, or "made"')
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=240.0)
    options = parser.parse_args()
    background = shlex.split(options.background or f"{options.blender} --background")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "BLENDER_USER_RESOURCES": scratch, "GRASP_WINDOW": json.dumps(
            {"engine": options.engine, "out": str(options.out.resolve()), "root": str(ROOT)})}

        def run(command: list[str]) -> None:
            subprocess.run(command, check=True, env=environment, cwd=ROOT, timeout=options.seconds)

        run([*background, "--command", "extension", "build", "--source-dir", str(ROOT), "--output-dir", scratch])
        archive = next(Path(scratch).glob("*.zip"))
        run([*background, "--command", "extension", "validate", str(archive)])
        run([*background, "--command", "extension", "install-file", "--repo", "user_default", "--enable",
             str(archive)])
        run([*shlex.split(options.blender), "--enable-event-simulate", "--python-exit-code", "1", "--python",
             str(Path(__file__).resolve())])
    report = json.loads((options.out / "report.json").read_text())
    print(json.dumps(report, indent=1))
    return 0 if report["ok"] else 1


def inside() -> None:
    import bpy

    setup = json.loads(os.environ["GRASP_WINDOW"])
    report: dict[str, Any] = {"ok": False, "steps": []}
    steps = animator(bpy, setup, report)

    def tick() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            report["ok"] = True
        except Exception as error:
            import traceback

            report["error"] = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
            shot(setup, "failed")
        Path(setup["out"], "report.json").write_text(json.dumps(report, indent=1))
        bpy.ops.wm.quit_blender()
        return None

    bpy.app.timers.register(tick, first_interval=4.0)


def shot(setup: dict, name: str) -> None:
    subprocess.run(["import", "-window", "root", str(Path(setup["out"], f"{name}.png"))], check=False)


def animator(bpy: Any, setup: dict, report: dict) -> Any:
    """The steps; each yields how many seconds the window gets to draw."""
    import addon_utils

    def step(name: str, held: bool) -> None:
        report["steps"].append([name, bool(held)])
        if not held:
            raise AssertionError(name)

    def hover(region: Any, x: float, y: float) -> None:
        for shift in (3, 0):
            bpy.context.window_manager.windows[0].event_simulate(
                type="MOUSEMOVE", value="NOTHING", x=int(region.x + x) + shift, y=int(region.y + y))

    def click(region: Any, x: float, y: float) -> None:
        window = bpy.context.window_manager.windows[0]
        for value in ("PRESS", "RELEASE"):
            window.event_simulate(type="LEFTMOUSE", value=value, x=int(region.x + x), y=int(region.y + y))

    def key(kind: str, **modifiers: bool) -> None:
        window, (_area, region) = bpy.context.window_manager.windows[0], view("WINDOW")
        place = {"x": region.x + region.width // 4, "y": region.y + region.height // 4}
        window.event_simulate(type="MOUSEMOVE", value="NOTHING", **place)
        window.event_simulate(type=kind, value="PRESS", **place, **modifiers)
        window.event_simulate(type=kind, value="RELEASE", **place)

    def view(kind: str) -> Any:
        area = next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == "VIEW_3D")
        return area, next(r for r in area.regions if r.type == kind)

    def press(operator: Any, **arguments: Any) -> None:
        area, region = view("WINDOW")
        window = bpy.context.window_manager.windows[0]
        with bpy.context.temp_override(window=window, area=area, region=region):
            operator("INVOKE_DEFAULT", True, **arguments)

    # Registering is measured on modules that are loaded, and on fresh ones.
    step("enabled after the install", MODULE in bpy.context.preferences.addons)
    addon_utils.disable(MODULE)
    left = [n for n in dir(bpy.types) if n.startswith("GRASP_")]
    left += [t for t in ("Scene", "Object") if hasattr(getattr(bpy.types, t), "grasp")]
    handlers = [*bpy.app.handlers.frame_change_pre, *bpy.app.handlers.frame_change_post]
    step("no trace after unregistering", not left and not handlers)
    for name in [n for n in sys.modules if n.startswith(MODULE)]:
        del sys.modules[name]
    start = time.perf_counter()
    addon_utils.enable(MODULE, default_set=True)
    report["register_ms"] = round(1000 * (time.perf_counter() - start), 1)
    step("registers within 50 ms", report["register_ms"] <= 50)

    grasp_addon = sys.modules[f"{MODULE}.grasp_addon"]
    if setup["engine"] == "made":
        sys.path[:0] = [setup["root"], str(Path(setup["root"], "tests", "grasp_addon"))]
        from fake_engine import SlowEngine

        made = SlowEngine()
        grasp_addon.engine.session.client = lambda *_: made
        grasp_addon.engine.command.engine_command = lambda _context: (["made"], {})
    else:
        key("ESC")  # the splash screen
        yield 0.5
        area, _ = view("WINDOW")
        bpy.context.preferences.active_section = "ADDONS"
        bpy.context.window_manager.addon_search = "Generate Grasps"
        area.type = "PREFERENCES"
        yield 1.0
        opened = next(r for r in area.regions if r.type == "WINDOW")
        ui_scale = bpy.context.preferences.system.ui_scale
        hover(opened, 26 * ui_scale, opened.height - 50 * ui_scale)
        yield 0.3
        click(opened, 26 * ui_scale, opened.height - 50 * ui_scale)  # the triangle that opens the add-on's box
        yield 0.5
        bpy.context.preferences.addons[MODULE].preferences.python = setup["engine"]
        step("the handshake answers", bpy.ops.grasp.check_engine() == {"FINISHED"})
        area.tag_redraw()
        yield 1.5
        shot(setup, "preferences")
        area.type = "VIEW_3D"
        yield 1.0

    key("ESC")  # the splash screen
    yield 0.5
    bpy.ops.object.select_all(action="DESELECT")
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.mesh.primitive_cylinder_add(radius=0.035, depth=0.12)
    bpy.context.object.name, bpy.context.object.location = "Can", (-0.02, 0.2, 0.06)
    bpy.ops.wm.obj_import(filepath=str(Path(setup["root"], "scripts", "samples", "mug.obj")))
    bpy.context.object.name = "Mug"
    area, _ = view("WINDOW")
    area.spaces.active.show_region_ui = True
    area.spaces.active.clip_start = 0.001
    bpy.context.scene.grasp.count = 8
    yield 1.0
    area, ui = view("UI")
    ui.active_panel_category = "Grasp"
    area, region = view("WINDOW")
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area, region=region):
        bpy.ops.view3d.view_selected()
    area.spaces.active.region_3d.view_distance = 0.7
    yield 2.0
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.ed.undo_push(message="The scene, set up")  # what a script does is no step of its own
    shot(setup, "1_before")

    # The button is looked for downwards, with real clicks.
    _, ui = view("UI")
    status = grasp_addon.operators.mixins.status
    unit = 20 * bpy.context.preferences.system.ui_scale
    for row in (14.6 + 0.3 * n for n in range(4)):  # below the settings, which a click would change
        hover(ui, ui.width * 0.45, ui.height - row * unit)
        yield 0.3
        click(ui, ui.width * 0.45, ui.height - row * unit)
        yield 0.5
        if status.job or grasp_addon.rig.hands.rigs():
            report["button_row"] = round(row, 1)
            break
    step("a click on Generate Grasps starts it", status.job is not None)
    bpy.context.scene.grasp.count = 8
    shown, until = False, time.monotonic() + 150
    while status.job and time.monotonic() < until:
        if not shown and len(status.job.found) >= 2:
            yield 0.4
            shot(setup, "2_progress")
            shown = True
        yield 0.3
    step("candidates were shown while it worked", shown)
    rigs = grasp_addon.rig.hands.rigs()
    step("a hand with candidates came", len(rigs) == 1 and len(rigs[0].grasp.candidates) > 0)
    yield 1.0
    shot(setup, "3_result")
    press(bpy.ops.grasp.show, direction="NEXT")
    yield 1.0
    step("the next candidate is shown", grasp_addon.rig.hands.shown_candidate(grasp_addon.rig.hands.rigs()[0]) == 2)
    shot(setup, "4_scrubbed")
    press(bpy.ops.grasp.bake)
    bpy.context.scene.frame_set(30)
    press(bpy.ops.grasp.show, candidate=3)
    press(bpy.ops.grasp.bake)
    rig = grasp_addon.rig.hands.rigs()[0]
    for item in bpy.context.selected_objects:
        item.select_set(False)
    rig.select_set(True)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="POSE")  # the timeline shows the keys of the bones that are selected
    bpy.ops.pose.select_all(action="SELECT")
    yield 1.5
    shot(setup, "5_baked")
    bpy.context.scene.frame_set(15)
    step("keys at both frames", {round(p.co.x) for c in grasp_addon.rig.animation.fcurves(rig)
                                 for p in c.keyframe_points} == {1, 30})
    baked = {entry.number for entry in rig.grasp.candidates if entry.baked}
    step("the two that were baked say so", len(baked) == 2)

    # Again, stopped by ESC once something has come: what was baked stays, what came is kept, the rest is replaced.
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.object.select_all(action="DESELECT")
    bpy.data.objects["Mug"].select_set(True)
    bpy.context.view_layer.objects.active = bpy.data.objects["Mug"]
    bpy.context.scene.grasp.count, bpy.context.scene.grasp.seed = 64, 1
    press(bpy.ops.grasp.generate)
    until = time.monotonic() + 60
    while not (status.job and len(status.job.found) >= 2) and time.monotonic() < until:
        yield 0.2
    found = status.job
    asked = time.monotonic()
    key("ESC")
    while status.job and time.monotonic() < asked + 20:
        yield 0.05
    report["escape_s"] = round(time.monotonic() - asked, 2)
    step("ESC stops within two seconds of the window", report["escape_s"] < 2.0)
    rig = grasp_addon.rig.hands.rigs()[0]
    step("what was baked is kept", baked <= {entry.number for entry in rig.grasp.candidates})
    step("and what came is there", len(rig.grasp.candidates) == 2 + len(found.found) < 64)
    yield 1.0
    step("the best of the new ones is looked at", grasp_addon.rig.hands.shown_candidate(rig) == 3 and rig.grasp.looking)
    shot(setup, "6_stopped")
    for _ in range(30):
        if not grasp_addon.rig.hands.rigs():
            break
        key("Z", ctrl=True)
        yield 0.4
    yield 0.5
    shot(setup, "7_undone")
    step("undo takes the hand away", not grasp_addon.rig.hands.rigs())
    step("and leaves the objects", {"Can", "Mug"} <= set(bpy.data.objects.keys()))
    yield from refine(bpy, setup, step, press, key, view, grasp_addon)


def refine(bpy: Any, setup: dict, step: Any, press: Any, key: Any, view: Any, grasp_addon: Any) -> Any:
    """A hand is added, posed at the can and refined; its contact is looked at, and the refining undone."""
    import mathutils

    status, hands = grasp_addon.operators.mixins.status, grasp_addon.rig.hands
    bpy.data.objects["Mug"].hide_set(True)
    can = bpy.data.objects["Can"]
    bpy.ops.object.select_all(action="DESELECT")
    bpy.context.scene.grasp.count = 6
    press(bpy.ops.grasp.add_hand)
    yield 1.0
    rig = hands.rigs()[0]
    name = rig.name
    rig.rotation_euler = (1.5708, 0.0, 0.0)  # the fingers point along -y, the thumb up, the palm looks at the can
    rig.location = can.location + mathutils.Vector((-0.008, -0.01, -0.005))
    bends = {"f_": {"01": 0.6, "02": 0.8, "03": 0.5}, "th": {"01": 0.3, "02": 0.3, "03": 0.3}}
    for bone in rig.pose.bones:
        bend = bends.get(bone.name[:2], {}).get(bone.name.split(".")[1], 0.0)
        bone.rotation_quaternion = mathutils.Quaternion((1, 0, 0), bend)
    can.select_set(True)
    bpy.context.view_layer.objects.active = rig
    area, region = view("WINDOW")
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area, region=region):
        bpy.ops.view3d.view_selected()
        bpy.ops.ed.undo_push(message="The hand, posed")
    area.spaces.active.region_3d.view_rotation = mathutils.Euler((1.1, 0.0, 0.14)).to_quaternion()
    area.spaces.active.region_3d.view_distance = 0.4
    yield 1.5
    shot(setup, "8_posed")
    posed = grasp_addon.rig.pose_reader.shown_vertices(rig.grasp.mesh, bpy.context.evaluated_depsgraph_get())
    bpy.context.scene.grasp.method = "jointdiffusion"  # half of the candidates are what it makes of the pose
    press(bpy.ops.grasp.refine)
    step("Refine Grasp starts", status.job is not None)
    until = time.monotonic() + 120
    while status.job and time.monotonic() < until:
        yield 0.3
    rig = bpy.data.objects[name]
    step("the pose and candidates around it are on the hand", len(rig.grasp.candidates) > 1
         and rig.grasp.candidates[0].own and hands.shown_candidate(rig) == 2)
    bpy.context.scene.grasp.show_contact = True
    area.spaces.active.shading.color_type = "VERTEX"
    yield 1.5
    shot(setup, "9_refined")
    press(bpy.ops.grasp.show, direction="NEXT")
    yield 0.5
    step("the next one is shown", hands.shown_candidate(rig) == 3)
    press(bpy.ops.grasp.show, candidate=1)
    yield 0.5
    shown = grasp_addon.rig.pose_reader.shown_vertices(rig.grasp.mesh, bpy.context.evaluated_depsgraph_get())
    step("the animator's pose is as it was", abs(shown - posed).max() < 1e-5)
    area.spaces.active.shading.color_type = "MATERIAL"
    yield 1.0
    shot(setup, "10_own_pose")
    for _ in range(30):
        if not bpy.data.objects[name].grasp.candidates:
            break
        key("Z", ctrl=True)
        yield 0.4
    yield 0.5
    rig = bpy.data.objects[name]
    shown = grasp_addon.rig.pose_reader.shown_vertices(rig.grasp.mesh, bpy.context.evaluated_depsgraph_get())
    step("undo leaves the posed hand alone", not rig.grasp.candidates and abs(shown - posed).max() < 1e-5)
    shot(setup, "11_undone")


if __name__ == "__main__":
    if "GRASP_WINDOW" in os.environ and "bpy" in sys.modules:
        inside()
    else:
        sys.exit(outside())
