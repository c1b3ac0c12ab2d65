#!/usr/bin/env bash
# Blender (bpy) 5.3.0, 4.5 alike: a glTF through a scene in millimetres comes back a thousand times too large.
#
# Expected: glTF is in metres. Exported and imported in the same scene, an object keeps its size; a cube of 100
#   units in a scene of millimetres (Unit Scale 0.001) is 0.1 m.
# Seen: the exporter writes 100 m, without regard to the unit scale; the importer multiplies by it. The cube comes back
#   with sides of 100,000 units, 100 m. FBX regards the scale both ways, OBJ, STL and PLY neither.
# Why it matters: props made to measure are modelled in millimetres. The mug that was 100 mm high is grasped at 100 m
#   or not at all, by a hand imported at another scale; look at the size after each exchange.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import bpy


def empty_scene_in_millimetres():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.unit_settings.scale_length = 0.001


EXCHANGE = {
    "gltf": ("cube.glb", bpy.ops.export_scene.gltf, bpy.ops.import_scene.gltf),
    "fbx": ("cube.fbx", bpy.ops.export_scene.fbx, bpy.ops.import_scene.fbx),
    "obj": ("cube.obj", bpy.ops.wm.obj_export, bpy.ops.wm.obj_import),
}
seen = {}
for name, (file, write, read) in EXCHANGE.items():
    empty_scene_in_millimetres()
    bpy.ops.mesh.primitive_cube_add(size=100)
    write(filepath=file)
    empty_scene_in_millimetres()
    read(filepath=file)
    seen[name] = round(max(item.dimensions.x for item in bpy.data.objects))
for name, side in seen.items():
    print(f"{name}: a cube of 100 mm comes back with sides of {side} mm")
if seen != {"gltf": 100_000, "fbx": 100, "obj": 100}:
    raise SystemExit("Changed: a glTF through a scene in millimetres no longer grows a thousand times.")
PROGRAM
