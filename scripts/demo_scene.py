"""What demo.py runs inside its environment: the add-on in bpy on one object, three candidates baked and rendered.

Up to the picture it does what an animator does by hand: import, select, Generate Grasps, show, bake.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that a script finds the repository's packages

from scripts.render_scene import aim_camera, best_turn, digits_of, frozen, light, points_of, render, set_table

COUNT = 16
SHOWN = 3
SECOND = 24  # frames


def enable_addon() -> None:
    """Registers the add-on from the repository and gives it this Python as its engine."""
    import addon_utils  # bpy brings it along

    if addon_utils.enable("grasp_addon", default_set=True) is None:
        sys.exit("The add-on did not register; the reason is above.")
    bpy.context.preferences.addons["grasp_addon"].preferences.python = sys.executable


def import_object(path: Path) -> bpy.types.Object:
    bpy.ops.wm.obj_import(filepath=str(path))
    target = bpy.context.selected_objects[0]
    bpy.context.view_layer.objects.active = target
    return target


def generate(seed: int) -> bpy.types.Object:
    """One click of Generate Grasps on the selected object; returns the hand's armature."""
    settings = bpy.context.scene.grasp
    settings.count, settings.seed = COUNT, seed
    if bpy.ops.grasp.generate() != {"FINISHED"}:
        sys.exit("Generate Grasps did not finish.")
    return next(o for o in bpy.context.scene.objects if o.type == "ARMATURE" and o.grasp.role == "ARMATURE")


def choose(armature: bpy.types.Object, target: bpy.types.Object) -> list[int]:
    """Places in the list of the three to be shown: seen best, of different types and sides, clear of the table."""
    digits = digits_of(armature.grasp.mesh)
    body = frozen(target, "Look")
    ground = points_of(body)[:, 2].min()
    rows = []
    for place, entry in enumerate(armature.grasp.candidates, 1):
        bpy.ops.grasp.show(candidate=place)
        mesh = frozen(armature.grasp.mesh, "Look")
        points = points_of(mesh)
        _, seen = best_turn(mesh, body, digits)
        rows.append((seen + entry.score / 100, place, entry.type, points[:, 2].min() - ground, tuple(points.mean(0))))
        bpy.data.meshes.remove(mesh)
    bpy.data.meshes.remove(body)
    rows.sort(key=lambda row: -row[0])
    chosen = []
    for clear, new_type, apart in ((True, True, 0.06), (True, True, 0.0), (True, False, 0.02), (False, False, 0.0)):
        for row in rows:
            if len(chosen) == SHOWN or row in chosen or (clear and row[3] < 0.002):
                continue
            if new_type and row[2] in [other[2] for other in chosen]:
                continue
            if all(np.linalg.norm(np.subtract(row[4], other[4])) >= apart for other in chosen):
                chosen.append(row)
    return [row[1] for row in chosen]


def bake(chosen: list[int]) -> None:
    """Each candidate as keys, a second apart: the animation in demo.blend."""
    scene = bpy.context.scene
    for second, place in enumerate(chosen):
        scene.frame_set(1 + SECOND * second)
        bpy.ops.grasp.show(candidate=place)
        bpy.ops.grasp.bake()
    scene.frame_start, scene.frame_end = 1, SECOND * len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()

    bpy.ops.wm.read_factory_settings(use_empty=True)
    enable_addon()
    target = import_object(options.mesh)
    start = time.monotonic()
    armature = generate(options.seed)
    took = time.monotonic() - start
    print(f"{len(armature.grasp.candidates)} candidates in {took:.1f} s, the engine's start included:")
    for entry in armature.grasp.candidates:
        print(f"  {entry.number:2d} {entry.type:24} score {entry.score:.2f}")
    chosen = choose(armature, target)
    bake(chosen)

    scene = bpy.context.scene
    hands = []
    for second, place in enumerate(chosen):
        scene.frame_set(1 + SECOND * second)
        hands.append(frozen(armature.grasp.mesh, f"Candidate {place}"))
    scene.frame_set(1)
    things = set_table(frozen(target, target.name), hands, digits_of(armature.grasp.mesh))
    for thing in (target, armature.grasp.mesh):
        thing.hide_render = True  # the rig stays where it was made; the picture is of copies
    stage = bpy.data.collections["Picture"]
    light(stage)
    aim_camera(stage, things, width=1280)
    render(options.out / "demo.png", options.samples)
    bpy.ops.wm.save_as_mainfile(filepath=str(options.out / "demo.blend"), compress=True)
    print(f"Wrote {options.out / 'demo.blend'} and {options.out / 'demo.png'}")


if __name__ == "__main__":
    main()
