"""What demo.py runs inside its environment: the add-on in bpy on one object, three candidates baked and rendered.

Up to the picture it does what an animator does by hand: import, name the handle, Generate Grasps to use it and to hold
it, show, bake. The picture is of candidates that a person would choose, by a measure (`choose`).
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

ROOT = Path(__file__).resolve().parent.parent
MUG = ROOT / "scripts" / "samples" / "mug.obj"
CLICKS = {"use": 2, "hold": 1}  # with which intent the mug is grasped, and how many of each are in the picture
BODY_RADIUS = 0.0415  # metres: what is farther from the mug's axis is its handle
BELOW = 0.015  # metres by which a hand may reach below the object, which it lifts off the table by so much
NEUTRAL = 0.3  # of `neutral_posture`: the thumb within about 50 degrees of up, the forearm about level
SECOND = 24  # frames


def enable_addon() -> None:
    """Registers the add-on from the repository and gives it this Python as its engine."""
    import addon_utils  # bpy brings it along

    if addon_utils.enable("grasp_addon", default_set=True) is None:
        sys.exit("The add-on did not register; the reason is above.")
    bpy.context.preferences.addons["grasp_addon"].preferences.python = sys.executable


def import_object(path: Path) -> bpy.types.Object:
    bpy.ops.wm.obj_import(filepath=str(path))
    return bpy.context.selected_objects[0]


def mark_handle(target: bpy.types.Object) -> None:
    """Names the mug's handle by a vertex group, as an animator would: what stands out of its round body."""
    points = np.array([target.matrix_world @ vertex.co for vertex in target.data.vertices])
    outside = np.flatnonzero(np.hypot(points[:, 0], points[:, 1]) > BODY_RADIUS)
    target.vertex_groups.new(name="handle").add(outside.tolist(), 1.0, "REPLACE")


def generate(target: bpy.types.Object, intent: str, count: int, seed: int) -> bpy.types.Object:
    """One click of Generate Grasps on the object; returns the hand's armature."""
    settings = bpy.context.scene.grasp
    settings.count, settings.seed, settings.intent = count, seed, intent
    for thing in bpy.context.scene.objects:
        thing.select_set(thing == target)
    bpy.context.view_layer.objects.active = target
    if bpy.ops.grasp.generate() != {"FINISHED"}:
        sys.exit("Generate Grasps did not finish.")
    return next(o for o in bpy.context.scene.objects if o.type == "ARMATURE" and o.grasp.role == "ARMATURE")


def neutral_posture(armature: bpy.types.Object) -> float:
    """How near the shown hand is to the posture of a handshake, thumb up and forearm level: 1 is that, -1 upside down.

    An arm that comes from a person beside the table is about so. Where it would come through the table, or from
    straight above, the forearm is not level.
    """
    place = {name: np.array(armature.matrix_world @ armature.pose.bones[f"{name}.R"].head)
             for name in ("hand", "f_index.01", "f_middle.01", "f_pinky.01")}
    across, along = place["f_index.01"] - place["f_pinky.01"], place["f_middle.01"] - place["hand"]
    thumb_up, forearm = across[2] / np.linalg.norm(across), along[2] / np.linalg.norm(along)
    return float(thumb_up - abs(forearm))


def choose(armature: bpy.types.Object, target: bpy.types.Object, count: int) -> list[int]:
    """Places in the list of those to be shown: held as a person would, not from below, seen best, of unlike types.

    Candidates that are baked are not looked at.
    """
    digits = digits_of(armature.grasp.mesh)
    body = frozen(target, "Look")
    ground = points_of(body)[:, 2].min()
    rows = []
    for place, entry in enumerate(armature.grasp.candidates, 1):
        if entry.baked:
            continue
        bpy.ops.grasp.show(candidate=place)
        mesh = frozen(armature.grasp.mesh, "Look")
        clear = points_of(mesh)[:, 2].min() - ground > -BELOW
        neutral, (_, seen) = neutral_posture(armature), best_turn(mesh, body, digits)
        print(f"  {place:2d} {entry.type:24} score {entry.score:.2f}, neutral {neutral:+.2f}, seen {seen:.2f}")
        rows.append((clear, neutral > NEUTRAL, seen + neutral + entry.score / 100, place, entry.type))
        bpy.data.meshes.remove(mesh)
    bpy.data.meshes.remove(body)
    rows.sort(reverse=True)
    unlike = [row for number, row in enumerate(rows) if row[4] not in [other[4] for other in rows[:number]]]
    unlike = [row for row in unlike if row[0] and row[1]]
    return [row[3] for row in (unlike + [row for row in rows if row not in unlike])[:count]]


def bake(chosen: list[int], first: int) -> None:
    """Each candidate as keys, a second apart from second `first` on: the animation in demo.blend."""
    for second, place in enumerate(chosen, first):
        bpy.context.scene.frame_set(1 + SECOND * second)
        bpy.ops.grasp.show(candidate=place)
        bpy.ops.grasp.bake()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()

    bpy.ops.wm.read_factory_settings(use_empty=True)
    enable_addon()
    target = import_object(options.mesh)
    clicks = {"any": 3}
    if options.mesh.resolve() == MUG:
        mark_handle(target)
        clicks = CLICKS
    shown = 0
    for intent, wanted in clicks.items():
        start = time.monotonic()
        armature = generate(target, intent, options.count, options.seed)
        print(f"Intent {intent}: {time.monotonic() - start:.1f} s, the engine's start included for the first")
        chosen = choose(armature, target, wanted)
        bake(chosen, shown)
        shown += len(chosen)

    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, SECOND * shown
    hands = []
    for second in range(shown):
        scene.frame_set(1 + SECOND * second)
        hands.append(frozen(armature.grasp.mesh, f"Hand {second + 1}"))
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
