#!/usr/bin/env bash
# smplx 0.1.28: a MANO layer adds the mean pose to the pose it is given, zero included.
#
# Expected: 45 zeros are the flat rest pose, and 45 angles are the pose that the joints take.
# Seen: the file's mean pose (here 0.3 rad everywhere; MANO's is a half closed hand) is added to every pose, given or
#   not, use_pca=True or False, unless flat_hand_mean=True was said when the layer was made; the default is False.
#   Nothing in a file of 45 numbers says by which of the two they were written.
# Why it matters: poses from data sets and other tools, read by the other setting, close (or open) every finger by the
#   mean pose: still hand-like, and fingertips are off by centimetres.
# The model file is made here, of random numbers in MANO's form; none of MANO's is used.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet smplx==0.1.28 torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
from pathlib import Path

import numpy as np
import smplx
import torch

vertices = np.random.default_rng(0).normal(size=(32, 3))
regressor = np.eye(16, 32)
parents = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
Path("mano").mkdir()
np.savez("mano/MANO_RIGHT.npz", v_template=vertices, f=np.arange(30).reshape(10, 3), J_regressor=regressor,
         shapedirs=np.zeros((32, 3, 10)), posedirs=np.zeros((32, 3, 135)), weights=np.tile(np.eye(16), (2, 1)),
         kintree_table=np.array([parents, range(16)]), hands_mean=np.full(45, 0.3), hands_components=np.eye(45))
seen = {}
for flat in (None, False, True):
    settings = {} if flat is None else {"flat_hand_mean": flat}
    layer = smplx.create(".", "mano", ext="npz", use_pca=False, **settings)
    with torch.no_grad():
        posed = layer(hand_pose=torch.zeros(1, 45), return_full_pose=True)
    seen[flat] = round(float(posed.full_pose[0, 3:].mean()), 3)
    print(f"flat_hand_mean={flat}: 45 zeros turn every joint by {seen[flat]} about each axis")
if seen != {None: 0.3, False: 0.3, True: 0.0}:
    raise SystemExit("Changed: smplx no longer adds the mean pose to a pose of zeros by default.")
PROGRAM
