#!/usr/bin/env bash
# MuJoCo 4.0.0 (3.3.7 alike): a bowl made of a mesh and a density weighs thirteen times too much.
#
# Expected: mass is density times the volume that the closed, outward turned mesh encloses: 87 cm3, 87 g of water.
# Seen: 1109 g, and the centre of mass a third higher. The default, inertia="legacy", adds up the pyramids from the
#   middle to each face as if all were positive, which holds for convex meshes only. With inertia="exact" it is 87 g.
# Why it matters: bowls, cups and mugs are what is grasped. One that is too heavy slips, one with its weight elsewhere
#   turns in the hand, and the file compiles without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mujoco==4.0.0 numpy==2.4.6 trimesh==5.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import mujoco
import trimesh

profile = [(0, 0), (0.06, 0), (0.08, 0.05), (0.078, 0.05), (0.058, 0.003), (0, 0.003)]  # metres
bowl = trimesh.creation.revolve(profile)
print(f"bowl: closed {bowl.is_watertight}, {1e6 * bowl.volume:.0f} cm3")
MODEL = """<mujoco><asset><mesh name="bowl" file="bowl.stl" {}/></asset><worldbody>
<body><freejoint/><geom type="mesh" mesh="bowl" density="1000"/></body></worldbody></mujoco>"""
seen = {}
for option in ("", 'inertia="exact"'):
    model = mujoco.MjModel.from_xml_string(MODEL.format(option), {"bowl.stl": bowl.export(file_type="stl")})
    seen[option or "default"] = (round(1000 * model.body_mass[1]), round(1000 * model.body_ipos[1][2]))
    print(f"{option or 'default'}: mass (g), height of its centre (mm): {seen[option or 'default']}")
if seen != {"default": (1109, 23), 'inertia="exact"': (87, 16)}:
    raise SystemExit("Changed: MuJoCo no longer gives a bowl thirteen times its mass by default.")
PROGRAM
