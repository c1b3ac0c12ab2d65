#!/usr/bin/env bash
# Blender (bpy) 5.3.0, 4.5 alike: a driver's expression ends after 255 characters, in silence.
#
# Expected: an expression that is too long is refused, or marked as invalid.
# Seen: the rest is cut off. Where the cut leaves a valid formula the driver is valid and gives another value: a sum of
#   200 ones is 128.
# Why it matters: mixing poses by sliders takes one term a pose. Past some 16 poses of full precision the last ones no
#   longer move the bone, or move it by a number that lost its digits. Sum in groups, through custom properties.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import bpy

bpy.ops.wm.read_factory_settings(use_empty=True)
item = bpy.data.objects.new("Hand", None)
bpy.context.collection.objects.link(item)
driver = item.driver_add("location", 0).driver
seen = {}
for terms in (100, 200):
    expression = "+".join(["1"] * terms)
    driver.expression = expression
    bpy.context.view_layer.update()
    value = round(item.evaluated_get(bpy.context.evaluated_depsgraph_get()).location.x)
    seen[terms] = (len(expression), len(driver.expression), driver.is_valid, value)
    print(f"sum of {terms} ones: characters given, kept, valid, value: {seen[terms]}")
if seen != {100: (199, 199, True, 100), 200: (399, 255, True, 128)}:
    raise SystemExit("Changed: Blender no longer cuts a driver's expression after 255 characters in silence.")
PROGRAM
