#!/usr/bin/env bash
# trimesh 5.2.0: a concave polygon of an OBJ file is filled across its notch.
#
# Expected: a wrench's outline, one polygon of eight corners as Blender writes it by default, keeps its open jaw.
# Seen: the polygon is cut as a fan from its first corner. The triangles cover the jaw: surface 254 cm2 instead of 184,
#   and of points sampled on it every fifth hangs in the open jaw. The mesh is watertight and its volume is right, for
#   what overlaps is turned the other way: the usual checks say that all is well. Off and ply files are read alike.
# Why it matters: points are sampled and contacts found in the mouth of spanners, on the rims of frames and brackets,
#   where there is nothing to hold. Export triangles (Blender: Triangulated Mesh).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 trimesh==5.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import trimesh

outline = [(0, 0), (6, 0), (6, 10), (4, 10), (4, 3), (2, 3), (2, 10), (0, 10)]  # cm; 2 cm thick
corners = [(x, y, z) for z in (0, 2) for x, y in outline]
sides = [(i, (i + 1) % 8, 8 + (i + 1) % 8, 8 + i) for i in range(8)]
polygons = [tuple(range(7, -1, -1)), tuple(range(8, 16)), *sides]
with open("wrench.obj", "w", encoding="ascii") as file:
    file.writelines("v {} {} {}\n".format(*corner) for corner in corners)
    file.writelines("f " + " ".join(str(i + 1) for i in polygon) + "\n" for polygon in polygons)
mesh = trimesh.load_mesh("wrench.obj")
points, _ = trimesh.sample.sample_surface(mesh, 10_000, seed=0)
in_the_jaw = (points[:, 0] > 2.001) & (points[:, 0] < 3.999) & (points[:, 1] > 3.001)
seen = (bool(mesh.is_watertight), round(mesh.volume), round(mesh.area), round(float(in_the_jaw.mean()), 1))
print("watertight, volume (cm3), surface (cm2), share of its points in the jaw:", seen)
if seen != (True, 92, 254, 0.2):
    raise SystemExit("Changed: trimesh no longer fills a wrench's open jaw (right: True, 92, 184, 0).")
PROGRAM
