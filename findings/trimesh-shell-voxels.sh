#!/usr/bin/env bash
# trimesh 5.2.0: voxelized() counts the skin of a solid, and filled, half a voxel too much around it.
#
# Expected: the volume of a ball's voxels is near the ball's, 268 cm3 at 40 mm radius.
# Seen: at the 5 mm of GraspTTA's and FastGrasp's evaluation 137 cm3 before fill() and 343 cm3 after it: every voxel
#   that the surface passes through counts whole, and without fill() nothing else does.
# Why it matters: the "penetration volume" in the papers' tables is counted on such voxels, unfilled: it is the
#   volume of a layer about a voxel thick, so that a hand deep in a solid object scores as one just under its surface.
#   Volumes from tables of different codes cannot be compared.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 trimesh==5.2.0
"$folder/venv/bin/python" - <<'PROGRAM'
import trimesh

ball = trimesh.creation.icosphere(subdivisions=5, radius=4.0)
voxels = ball.voxelized(0.5)
seen = [round(volume) for volume in (ball.volume, voxels.filled_count * 0.5**3, voxels.fill().filled_count * 0.5**3)]
print("ball, its voxels of 5 mm, and these filled (cm3):", seen)
if seen != [268, 137, 343]:
    raise SystemExit("Changed: trimesh's voxels no longer have half a ball's volume unfilled and 1.3 times it filled.")
PROGRAM
