#!/usr/bin/env bash
# trimesh 5.2.0: a glTF with normalised integer positions is read 32767 times too large.
#
# Expected: KHR_mesh_quantization stores positions as 16 bit integers; where the accessor says "normalized", they
#   stand for integer / 32767. A reader that does not know an extension the file requires refuses the file.
# Seen: the extension is required, nothing is said, and a cube of 0.1 m has sides of 3276.7 m: "normalized" is ignored.
#   Blender 4.5 and 5.3 read the same file as 0.1 m.
# Why it matters: web viewers' and shops' models are packed so. The object "is too large to grasp", and whoever
#   scales it by eye grasps at a wrong size.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 trimesh==5.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import base64
import json

import numpy as np
import trimesh

cube = trimesh.creation.box((2, 2, 2))
positions = np.zeros((8, 4), "<i2")  # three numbers and two bytes of padding
positions[:, :3] = np.asarray(cube.vertices) * 32767
faces = cube.faces.astype("<u2").tobytes()
content = positions.tobytes() + faces
extension = ["KHR_mesh_quantization"]
document = {
    "asset": {"version": "2.0"}, "extensionsUsed": extension, "extensionsRequired": extension,
    "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "scale": [0.05, 0.05, 0.05]}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
    "accessors": [
        {"bufferView": 0, "componentType": 5122, "normalized": True, "count": 8, "type": "VEC3",
         "min": [-32767] * 3, "max": [32767] * 3},
        {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"}],
    "bufferViews": [{"buffer": 0, "byteLength": 64, "byteStride": 8},
                    {"buffer": 0, "byteOffset": 64, "byteLength": len(faces)}],
    "buffers": [{"byteLength": len(content),
                 "uri": "data:application/octet-stream;base64," + base64.b64encode(content).decode()}],
}
with open("cube.gltf", "w", encoding="ascii") as file:
    json.dump(document, file)
sides = trimesh.load_scene("cube.gltf").extents
print("sides (m), written as 0.1 each:", sides)
if not np.allclose(sides, 0.1 * 32767, rtol=1e-3):
    raise SystemExit("Changed: trimesh no longer reads normalised positions 32767 times too large.")
PROGRAM
