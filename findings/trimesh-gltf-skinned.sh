#!/usr/bin/env bash
# trimesh 5.2.0 with Blender (bpy) 5.3.0: a skinned mesh in a glTF is read twice as far from the origin as it is.
#
# Expected: glTF says that a skinned mesh is placed by its joints alone, and the transform of its own node and of that
#   node's parents is passed over.
# Seen: trimesh passes over the skin and applies the node's transform. Blender's exporter writes the vertices where
#   they are in the world, and the node below its rig: a prop on a rig moved to x = 1 is read at x = 2, by Blender at 1.
#   Where the rig is turned the prop is turned twice; the pose is not seen at all.
# Why it matters: props with a hinge or a trigger, and hands, come as skinned glTF. Their distances to all else in
#   the scene are wrong, and each by itself looks right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5 trimesh==5.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import bpy
import trimesh

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.object.armature_add()
rig = bpy.context.object
bpy.ops.mesh.primitive_cube_add(size=0.1)
prop = bpy.context.object
prop.parent = rig
prop.vertex_groups.new(name="Bone").add(range(8), 1.0, "REPLACE")
prop.modifiers.new("Armature", "ARMATURE").object = rig
rig.location.x = 1.0
bpy.context.view_layer.update()
bpy.ops.export_scene.gltf(filepath="prop.glb")
by_trimesh = float(trimesh.load_scene("prop.glb").bounds.mean(axis=0)[0])
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath="prop.glb")
mesh = next(item for item in bpy.data.objects if item.type == "MESH" and item.vertex_groups)
shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
by_blender = sum((shown.matrix_world @ vertex.co).x for vertex in shown.data.vertices) / len(shown.data.vertices)
print(f"middle of a prop on a rig at x = 1: by Blender {by_blender:.3f}, by trimesh {by_trimesh:.3f}")
if (round(by_blender, 3), round(by_trimesh, 3)) != (1.0, 2.0):
    raise SystemExit("Changed: trimesh no longer places a skinned mesh by its node on top of its vertices.")
PROGRAM
