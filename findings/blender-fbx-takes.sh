#!/usr/bin/env bash
# Blender (bpy) 5.3.0, 4.2 and 4.5 alike: objects get each other's actions in an FBX, and a single take comes back late.
#
# Expected: each object is exported with its own animation, and comes back at the frames where it was.
# Seen: by default ("All Actions") each object gets a take of every action whose channels it has: of two cubes, each
#   with its own move, both get both, and after the import both go the same way.
#   With All Actions and NLA Strips off there is one take, as the scene plays; but its times are the scene's, and
#   Blender's importer adds its default Animation Offset of one frame: what was at frame 10 is at frame 11.
# Why it matters: a hand and the object in it move by two actions. The object walks out of the hand, or both are a frame
#   late beside what else is in the scene.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import bpy


def two_cubes():
    """A goes to 9 in frames 1 to 10, B to -9."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.edit.keyframe_new_interpolation_type = "LINEAR"
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 10
    for name, end in (("A", 9.0), ("B", -9.0)):
        bpy.ops.mesh.primitive_cube_add()
        cube = bpy.context.object
        cube.name = name
        for frame, place in ((1, 0.0), (10, end)):
            cube.location.x = place
            cube.keyframe_insert("location", frame=frame)
        curve = cube.animation_data.action.layers[0].strips[0].channelbags[0].fcurves[0]
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


ONE_TAKE = {"bake_anim_use_all_actions": False, "bake_anim_use_nla_strips": False}
seen = {}
for name, options, offset in (("by default", {}, 1.0), ("one take", ONE_TAKE, 1.0),
                              ("one take, offset 0", ONE_TAKE, 0.0)):
    two_cubes()
    bpy.ops.export_scene.fbx(filepath="cubes.fbx", **options)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.fbx(filepath="cubes.fbx", anim_offset=offset)
    bpy.context.scene.frame_set(10)
    places = tuple(round(bpy.data.objects[item].matrix_world.translation.x, 1) for item in "AB")
    seen[name] = (len(bpy.data.actions), places)
for name, row in seen.items():
    print(f"{name}: actions, and where the cubes are at frame 10 (they were at 9 and -9): {row}")
if seen != {"by default": (4, (9.0, 9.0)), "one take": (2, (8.0, -8.0)), "one take, offset 0": (2, (9.0, -9.0))}:
    raise SystemExit("Changed: objects no longer get each other's actions in an FBX, or one take is no longer late.")
PROGRAM
