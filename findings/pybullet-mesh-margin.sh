#!/usr/bin/env bash
# PyBullet 3.2.7: every mesh has a skin of a millimetre around it, and mesh on mesh stand two millimetres apart.
#
# Expected: a cube given as eight vertices rests on the floor as a box of the same size does.
# Seen: on a floor that is a box, a box comes to rest at 0, the mesh cube 0.99 mm above, be its side 100 or 2 mm. On a
#   floor that is a concave mesh the box rests 0.99 and the mesh cube 1.99 mm above it. The margin is Bullet's and does
#   not follow the size; changeDynamics(body, -1, collisionMargin=0) takes a convex mesh's away.
# Why it matters: GraspTTA's displacement test is a concave mesh (the hand) against convex ones (the object). A hand
#   whose skin lies on the surface starts 2 mm deep for Bullet, and is pushed away: good grasps touch within 2 mm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pybullet==3.2.7 numpy==1.26.4
"$folder/venv/bin/python" - <<'PROGRAM'
import itertools

import pybullet as p

p.connect(p.DIRECT)
SIDES = [0, 1, 3, 0, 3, 2, 4, 7, 5, 4, 6, 7, 0, 5, 1, 0, 4, 5, 2, 3, 7, 2, 7, 6, 0, 2, 6, 0, 6, 4, 1, 7, 3, 1, 5, 7]


def shape(kind: str, half: float) -> int:
    corners = list(itertools.product((-half, half), repeat=3))
    if kind == "box":
        return p.createCollisionShape(p.GEOM_BOX, halfExtents=[half] * 3)
    if kind == "convex mesh":
        return p.createCollisionShape(p.GEOM_MESH, vertices=corners)
    return p.createCollisionShape(p.GEOM_MESH, vertices=corners, indices=SIDES, flags=p.GEOM_FORCE_CONCAVE_TRIMESH)


worst = 0.0
for floor, kind, half, expected in (
    ("box", "box", 0.05, -0.01),
    ("box", "convex mesh", 0.05, 0.99),
    ("box", "convex mesh", 0.001, 0.99),
    ("concave mesh", "box", 0.05, 0.99),
    ("concave mesh", "convex mesh", 0.05, 1.99),
):
    p.resetSimulation()
    p.setGravity(0, 0, -9.8)
    p.createMultiBody(0, shape(floor, 0.2), basePosition=[0, 0, -0.2])
    cube = p.createMultiBody(0.1, shape(kind, half), basePosition=[0, 0, 1.05 * half])
    for _ in range(960):
        p.stepSimulation()
    gap = 1000 * (p.getBasePositionAndOrientation(cube)[0][2] - half)
    worst = max(worst, abs(gap - expected))
    print(f"{kind} with sides of {2000 * half:g} mm on a {floor}: {gap:.2f} mm above it")
if worst > 0.05:
    raise SystemExit("Changed: PyBullet's meshes no longer stand off by a millimetre each.")
PROGRAM
