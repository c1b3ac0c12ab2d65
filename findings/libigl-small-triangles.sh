#!/usr/bin/env bash
# libigl 2.6.3: rays pass through small triangles.
#
# Expected: a ray from the middle of a closed ball meets its surface, however finely the ball is meshed.
# Seen: AABB.intersect_ray_first misses nothing on a ball of 40 mm radius with edges of 1.5 mm, and misses every
#   ray once the edges are 0.76 mm. The same ball in millimetres is met by every ray: a triangle is passed over
#   where twice its area, by the sine of the ray's angle to it, is below 1e-6 in the unit of the file, which in
#   metres is a square millimetre. Coarser meshes lose the grazing rays only, so that a test may not notice.
# Why it matters: objects in metres and scans with edges below a millimetre are the rule for grasps; a thickness or
#   an inside found by such rays is empty air.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet libigl==2.6.3 numpy==2.4.6 scipy==1.17.1 trimesh==5.2.0
"$folder/venv/bin/python" - <<'PROGRAM'
import igl
import numpy as np
import trimesh

directions = np.random.default_rng(0).normal(size=(1000, 3))
origins = np.zeros_like(directions)
seen = {}
for unit, radius in (("metres", 0.04), ("millimetres", 40.0)):
    for subdivisions in (5, 6):
        ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
        vertices, faces = np.array(ball.vertices), np.array(ball.faces, dtype=np.int64)
        tree = igl.AABB()
        tree.init(vertices, faces)
        unit_directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        face = np.asarray(tree.intersect_ray_first(vertices, faces, origins, unit_directions)[0])
        seen[unit, subdivisions] = int((face < 0).sum())
        print(f"{unit}, edges of {ball.edges_unique_length.mean():.3g}: {seen[unit, subdivisions]} of 1000 rays missed")
if seen != {("metres", 5): 0, ("metres", 6): 1000, ("millimetres", 5): 0, ("millimetres", 6): 0}:
    raise SystemExit("Changed: libigl's rays no longer pass through exactly the triangles below a square millimetre.")
PROGRAM
