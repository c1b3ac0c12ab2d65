#!/usr/bin/env bash
# Blender (bpy) 5.3.0: a new driver comes with a curve of its own, which makes 0 of small values and bends others.
#
# Expected: a driver gives its property what its expression says, as up to 4.5, where a new driver has no keys.
# Seen: driver_add makes an F-curve with keys at (0, 0) and (1, 1), Bezier, through which the value goes. 0.00009
#   becomes 0.0, 0.25 becomes 0.24999998. 4.5 gives 0.00009. Without the keys (keyframe_points.clear()) so does 5.3.
# Why it matters: bones driven by the sliders of candidates are sums of many small quaternion components and metres;
#   a tenth of a millimetre or of a milliradian a channel disappears, on the newer Blender only.
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
seen = {}
for name in ("as made", "keys cleared"):
    curve = item.driver_add("location", 0)
    keys = [tuple(key.co) for key in curve.keyframe_points]
    if name == "keys cleared":
        curve.keyframe_points.clear()
    for value in (0.00009, 0.25):
        curve.driver.expression = repr(value)
        bpy.context.view_layer.update()
        seen[name, value] = item.evaluated_get(bpy.context.evaluated_depsgraph_get()).location.x
        print(f"driver {name}, keys at the start {keys}: expression {value}, property {seen[name, value]:.9g}")
    item.driver_remove("location", 0)
bent = seen["as made", 0.25] != 0.25 and abs(seen["as made", 0.25] - 0.25) < 1e-6
exact = seen["keys cleared", 0.25] == 0.25 and abs(seen["keys cleared", 0.00009] - 0.00009) < 1e-9
if seen["as made", 0.00009] != 0.0 or not bent or not exact:
    raise SystemExit("Changed: a new driver's own curve no longer makes 0 of 0.00009.")
PROGRAM
