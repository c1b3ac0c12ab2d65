#!/usr/bin/env bash
# trimesh 5.2.0: a binary ply of faces with unlike numbers of corners is not read.
#
# Expected: a ply file lists for each face how many corners it has; a can of quads with two round lids is a valid one,
#   and what Blender's ply export writes for its own cylinder.
# Seen: "ValueError: PLY is unexpected length!", which sounds like a file cut short. All faces are taken to be as long
#   as the first. The same faces as ASCII, or all of one length, are read.
# Why it matters: objects to grasp come as ply, scans as triangles, but models as polygons. The file is whole; export
#   it as triangles, or as stl.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 trimesh==5.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import struct

import trimesh

# A prism of six sides: six quads and two hexagons.
ring = [(0.03, 0.0), (0.015, 0.026), (-0.015, 0.026), (-0.03, 0.0), (-0.015, -0.026), (0.015, -0.026)]
corners = [(x, y, z) for z in (0.0, 0.1) for x, y in ring]
faces = [(i, (i + 1) % 6, 6 + (i + 1) % 6, 6 + i) for i in range(6)] + [(5, 4, 3, 2, 1, 0), (6, 7, 8, 9, 10, 11)]
HEADER = """ply
format {} 1.0
element vertex 12
property float x
property float y
property float z
element face 8
property list uchar uint vertex_indices
end_header
"""
binary = b"".join(struct.pack("<3f", *corner) for corner in corners)
binary += b"".join(struct.pack(f"<B{len(face)}I", len(face), *face) for face in faces)
text = "".join("{} {} {}\n".format(*corner) for corner in corners)
text += "".join(" ".join(map(str, (len(face), *face))) + "\n" for face in faces)
seen = {}
for name, form, content in (("binary", "binary_little_endian", binary), ("ASCII", "ascii", text.encode())):
    with open(f"{name}.ply", "wb") as file:
        file.write(HEADER.format(form).encode() + content)
    try:
        seen[name] = f"{len(trimesh.load_mesh(f'{name}.ply').faces)} triangles"
    except ValueError as error:
        seen[name] = f"ValueError: {error}"
    print(f"{name}: {seen[name]}")
if seen != {"binary": "ValueError: PLY is unexpected length!", "ASCII": "20 triangles"}:
    raise SystemExit("Changed: trimesh no longer refuses a binary ply of quads and hexagons alone.")
PROGRAM
