#!/usr/bin/env bash
# libigl 2.6.3: the signed distance to an open mesh is not a distance.
#
# Expected: signed_distance gives the distance to the nearest point of the surface with a sign; where the mesh is
#   open the sign is in doubt, the number is not.
# Seen: by its default kind of sign the distance is multiplied by 1 - 2 w, w the winding number. In a ball of 40 mm
#   radius with its cap cut off, the middle reads -19.9 mm (40 mm away), and in a ball turned inside out 119 mm.
#   On the closed ball all is right.
# Why it matters: MANO's hand is open at the wrist. Penetration depths read from it are too small, the more so the
#   nearer to the wrist. Take the distance and the winding number apart, and the sign from w > 1/2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet libigl==2.6.3 numpy==2.4.6 scipy==1.17.1 trimesh==5.2.0
"$folder/venv/bin/python" - <<'PROGRAM'
import igl
import numpy as np
import trimesh

ball = trimesh.creation.icosphere(subdivisions=3, radius=40.0)
vertices, closed = np.array(ball.vertices), np.array(ball.faces, dtype=np.int64)
middle = np.zeros((1, 3))
seen = {}
for name, faces in (
    ("closed", closed),
    ("cap cut off", closed[ball.triangles_center[:, 2] < 20.0]),
    ("inside out", np.ascontiguousarray(closed[:, ::-1])),
):
    signed = float(np.ravel(igl.signed_distance(middle, vertices, faces)[0])[0])
    squared = igl.point_mesh_squared_distance(middle, vertices, faces)[0]
    seen[name] = round(signed, 1)
    print(f"{name}: the nearest surface is {float(np.ravel(squared)[0]) ** 0.5:.1f} mm away, signed {signed:.1f}")
if seen != {"closed": -39.8, "cap cut off": -19.9, "inside out": 119.5}:
    raise SystemExit("Changed: libigl's signed distance to an open mesh is no longer scaled by its winding number.")
PROGRAM
