#!/usr/bin/env bash
# PyBullet 3.2.7: the friction of two bodies is multiplied.
#
# Expected: two bodies of friction 0.5 hold each other up to the slope whose tangent is 0.5 (27 degrees); MuJoCo takes
#   the larger of the two numbers, others their mean.
# Seen: they slide from 14 degrees on, tangent 0.25; friction 1 against 0.25 gives the same. Two of friction 3 hold at
#   78 degrees, tangent 4.7, where 3 alone would let go at 72.
# Why it matters: GraspTTA's displacement test sets 3 on the hand and 3 on the object, which makes 9; a friction of 0.5
#   "in both simulators" is 0.25 in this one. Give one body 1 and the other the coefficient meant.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pybullet==3.2.7 numpy==1.26.4
"$folder/venv/bin/python" - <<'PROGRAM'
import math

import pybullet as p

p.connect(p.DIRECT)


def slides(first: float, second: float, degrees: float) -> bool:
    """Whether a flat box moves by more than a millimetre within a second; gravity is tilted, not the floor."""
    p.resetSimulation()
    p.setGravity(9.8 * math.sin(math.radians(degrees)), 0, -9.8 * math.cos(math.radians(degrees)))
    floor = p.createMultiBody(0, p.createCollisionShape(p.GEOM_BOX, halfExtents=[5, 5, 0.5]), basePosition=[0, 0, -0.5])
    box = p.createCollisionShape(p.GEOM_BOX, halfExtents=[0.05, 0.05, 0.01])
    box = p.createMultiBody(1, box, basePosition=[0, 0, 0.01])
    p.changeDynamics(floor, -1, lateralFriction=first)
    p.changeDynamics(box, -1, lateralFriction=second)
    for _ in range(240):
        p.stepSimulation()
    return p.getBasePositionAndOrientation(box)[0][0] > 0.001


seen = {}
for pair, slopes in (((0.5, 0.5), (13, 15, 26)), ((1, 0.25), (13, 15, 26)), ((3, 3), (70, 73, 78))):
    seen[pair] = [slides(*pair, degrees) for degrees in slopes]
    print(f"friction {pair[0]} on {pair[1]}: slides at {slopes} degrees: {seen[pair]}")
if seen != {(0.5, 0.5): [False, True, True], (1, 0.25): [False, True, True], (3, 3): [False, False, False]}:
    raise SystemExit("Changed: PyBullet's friction of two bodies is no longer their product.")
PROGRAM
