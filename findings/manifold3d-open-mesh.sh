#!/usr/bin/env bash
# manifold3d 3.5.4: an open mesh is nothing, and what it is cut with becomes nothing, without an error.
#
# Expected: building a solid from a mesh with a hole raises, or the hole is closed.
# Seen: Manifold(mesh) returns an empty solid whose status() is NotManifold; its volume is 0.0, and so is that of its
#   intersection and its union with a good cube. Nothing is raised or printed.
# Why it matters: the overlap volume of a MANO hand, which is open at the wrist, with an object reads 0.0: the
#   best grasp there is. Close the wrist and look at status() before any volume.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet manifold3d==3.5.4 numpy==2.4.6 trimesh==5.2.0
"$folder/venv/bin/python" - <<'PROGRAM'
import numpy as np
import trimesh
from manifold3d import Manifold, Mesh


def solid(faces):
    return Manifold(Mesh(np.asarray(ball.vertices, np.float32), np.asarray(faces, np.uint32)))


ball = trimesh.creation.icosphere(subdivisions=3, radius=40.0)
cube = Manifold.cube((50.0, 50.0, 50.0), True)
seen = {}
for name, faces in (("closed", ball.faces), ("one triangle less", ball.faces[1:])):
    part = solid(faces)
    volumes = [round(item.volume()) for item in (part, cube ^ part, cube + part)]
    seen[name] = (part.status().name, *volumes)
    print(f"ball, {name}: status, volume, cut with a cube, united with it (mm3): {seen[name]}")
if seen["one triangle less"] != ("NotManifold", 0, 0, 0) or seen["closed"][0] != "NoError" or not seen["closed"][2]:
    raise SystemExit("Changed: manifold3d no longer takes an open mesh for an empty solid in silence.")
PROGRAM
