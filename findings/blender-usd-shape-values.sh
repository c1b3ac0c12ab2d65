#!/usr/bin/env bash
# Blender (bpy) 5.3.0, 4.5 alike: a still's shape keys have no value in a USD, unless Animation is switched on.
#
# Expected: a still has the shape keys' values of the frame, as it has the bones' pose.
# Seen: the blend shapes are written without weights; the file shows the basis, under bones that are posed. With
#   Animation on, the weights are written too, as one sample. In 4.2 the bones are at rest as well.
# Why it matters: the skin of a posed hand is bones and correctives; without these it is millimetres off, which looks
#   like bad skinning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import bpy


def posed():
    """A cube of a bone that is moved by 2 along x, and of a shape key at 1 that moves it by 1 along z."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    bpy.ops.mesh.primitive_cube_add()
    mesh = bpy.context.object
    mesh.parent = rig
    mesh.vertex_groups.new(name="Bone").add(range(8), 1.0, "REPLACE")
    mesh.modifiers.new("Armature", "ARMATURE").object = rig
    mesh.shape_key_add(name="Basis")
    bulge = mesh.shape_key_add(name="bulge")
    for point in bulge.data:
        point.co.z += 1.0
    bulge.value = 1.0
    rig.pose.bones["Bone"].location.x = 2.0


def middle():
    """The middle of the cube as it is shown."""
    bpy.context.view_layer.update()
    mesh = next(item for item in bpy.data.objects if item.type == "MESH" and item.name.startswith("Cube"))
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = [shown.matrix_world @ vertex.co for vertex in shown.data.vertices]
    return tuple(round(sum(point[axis] for point in points) / len(points), 3) for axis in range(3))


seen = {}
for name, animation in (("by default", False), ("with Animation", True)):
    posed()
    seen["shown"] = middle()
    bpy.context.scene.frame_start = bpy.context.scene.frame_end = 1
    bpy.ops.wm.usd_export(filepath="still.usdc", export_animation=animation)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.usd_import(filepath="still.usdc")
    bpy.context.scene.frame_set(1)
    seen[name] = middle()
for name, place in seen.items():
    print(f"{name}: bone and shape key move the cube to {place}")
if seen != {"shown": (2.0, 0.0, 1.0), "by default": (2.0, 0.0, 0.0), "with Animation": (2.0, 0.0, 1.0)}:
    raise SystemExit("Changed: a still's shape keys have values in a USD without Animation.")
PROGRAM
