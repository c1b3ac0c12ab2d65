#!/usr/bin/env bash
# trimesh 5.2.0 with Blender (bpy) 4.5.15: a glTF with Draco compression is read as a point.
#
# Expected: a file that requires an extension which cannot be decoded is refused.
# Seen: Blender's exporter compresses if asked and names KHR_draco_mesh_compression as required; trimesh, without the
#   package DracoPy, logs a warning and returns a mesh with all its faces and all its vertices at 0, 0, 0. bpy 5.3.0's
#   wheel lacks its Draco library: there the same export says FINISHED and is not compressed.
# Why it matters: the models of libraries and shops are compressed so. What follows speaks of an object without size or
#   area, far from the cause. Save it without compression, or look for the extension in the file first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==4.5.15 numpy==1.26.4 trimesh==5.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import logging
from pathlib import Path

import bpy
import trimesh

logging.disable(logging.CRITICAL)
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_cylinder_add(radius=0.033, depth=0.12)
seen = {}
for compressed in (False, True):
    bpy.ops.export_scene.gltf(filepath="can.glb", export_draco_mesh_compression_enable=compressed)
    required = b"KHR_draco_mesh_compression" in Path("can.glb").read_bytes()
    can = trimesh.load_scene("can.glb").to_mesh()
    seen[compressed] = (required, len(can.faces), round(1000 * float(can.extents.max())))
for compressed, row in seen.items():
    print(f"compressed {compressed}: extension named, faces, largest side (mm): {row}")
if seen != {False: (False, 124, 120), True: (True, 124, 0)}:
    raise SystemExit("Changed: trimesh no longer reads a Draco compressed mesh as points at the origin.")
PROGRAM
