#!/usr/bin/env bash
# MuJoCo 4.0.0 (3.3.7 alike): a simulation that diverges goes back to its start, and the step returns as ever.
#
# Expected: when accelerations become infinite, mj_step raises, or the state becomes NaN.
# Seen: every state is put back to the initial one and the simulation goes on from there, again and again. A ball in
#   free fall is found after four simulated seconds where it was let go; time itself starts anew. All that tells is
#   data.warning, and a file MUJOCO_LOG.TXT in the current folder.
# Why it matters: a hold test asks how far the object has moved. What blew up has not moved at all: the best grasp.
#   Look at data.warning (or at the time) after the steps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mujoco==4.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
from pathlib import Path

import mujoco

# A falling ball; beside it, not touching it, a light finger on a spring too stiff for the time step.
MODEL = """<mujoco><option timestep="0.01"/><worldbody>
<body name="ball"><freejoint/><geom size="0.03"/></body>
<body pos="1 0 0"><joint axis="0 1 0" stiffness="100000"/><geom size="0.01" mass="0.001" pos="0.1 0 0"/></body>
</worldbody></mujoco>"""
model = mujoco.MjModel.from_xml_string(MODEL)
data = mujoco.MjData(model)
data.joint(1).qpos[:] = 0.1
for _ in range(400):
    mujoco.mj_step(model, data)
fallen, again = abs(data.body("ball").xpos[2]), data.time
warned = data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number
print(f"after 400 steps of 10 ms: time {again:.2f} s, the ball has fallen {fallen:.4f} m (78 by the law of fall)")
print(f"warnings: {warned}; files: {[path.name for path in Path().glob('MUJOCO*')]}")
if not (again < 0.1 and fallen < 0.05 and warned and Path("MUJOCO_LOG.TXT").exists()):
    raise SystemExit("Changed: MuJoCo no longer starts a diverged simulation anew in silence.")
PROGRAM
