#!/usr/bin/env bash
# MuJoCo 3.3.7 and 4.0.0: two convex meshes, face on face, touch in one point or in four.
#
# Expected: the same model gives the same contacts in two releases; a cube on a cube rests on their common face.
# Seen: in 3.3.7 there is one contact, at an edge of the face, and a mesh cube sinks 3.3 mm into another within two
#   seconds; in 4.0.0 there are four contacts and it stays to 0.1 mm. The flag multiccd, off before, is on by default.
# Why it matters: fingers and convex pieces of objects are such meshes. A cube between two plates falls out of the one
#   and is held by the other: hold rates of different releases cannot be compared. The flag that switched it on,
#   mjENBL_MULTICCD, is gone in 4.0.0; there is one that switches it off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/cubes.py" <<'PROGRAM'
import itertools
import sys

import mujoco

corners = " ".join(f"{x} {y} {z}" for x, y, z in itertools.product((-0.02, 0.02), repeat=3))
MODEL = f"""<mujoco><asset><mesh name="cube" vertex="{corners}"/></asset><worldbody>
<geom type="mesh" mesh="cube" pos="0 0 -0.02"/>
<body pos="0 0 0.0199" euler="0 0 20"><freejoint/><geom type="mesh" mesh="cube"/></body></worldbody></mujoco>"""
model = mujoco.MjModel.from_xml_string(MODEL)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
contacts = data.ncon
for _ in range(1000):
    mujoco.mj_step(model, data)
sunk = 1000 * (0.02 - data.qpos[2])
print(f"MuJoCo {mujoco.__version__}: {contacts} contacts, {sunk:.1f} mm deep after 2 s")
expected = {"3.3.7": (1, 3.3), "4.0.0": (4, 0.1)}[mujoco.__version__]
if (contacts, round(sunk, 1)) != expected:
    sys.exit("Changed: two mesh cubes no longer touch in one point in MuJoCo 3.3.7 and in four in 4.0.0.")
PROGRAM
for package in mujoco==3.3.7 mujoco==4.0.0; do
  "${PYTHON:-python3.11}" -m venv --clear "$folder/venv"
  "$folder/venv/bin/pip" install --quiet "$package" numpy==2.4.6
  "$folder/venv/bin/python" "$folder/cubes.py"
done
