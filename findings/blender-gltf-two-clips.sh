#!/usr/bin/env bash
# Blender (bpy) 5.3.0, 4.5 alike: one baked hand becomes two clips in a glTF, and half of it does not move.
#
# Expected: bones and shape keys keyed over the same frames are one animation in the file, and play when opened.
# Seen: each data-block's action becomes a clip of its own, one for the bones, one for the shape keys. A viewer plays
#   one clip at a time. Blender itself opens the file with the shape keys at 0: their clip lies in a muted track. Where
#   both are slots of one action (since 4.4) there is one clip, and all moves; so it is with "Active Actions".
# Why it matters: a posed hand is bones and corrective shapes. Shown by the bones alone, the skin is millimetres off,
#   which looks like bad skinning. Bake both into one action with two slots.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import json
import struct
from pathlib import Path

import bpy


def hand(shared):
    """A bone and a shape key, both going from 0 to 1 in frames 1 to 10."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    bpy.ops.mesh.primitive_cube_add()
    mesh = bpy.context.object
    mesh.parent = rig
    mesh.vertex_groups.new(name="Bone").add(range(8), 1.0, "REPLACE")
    mesh.modifiers.new("Armature", "ARMATURE").object = rig
    mesh.shape_key_add(name="Basis")
    bulge = mesh.shape_key_add(name="bulge")
    for frame, value in ((1, 0.0), (10, 1.0)):
        rig.pose.bones["Bone"].location.x = bulge.value = value
        rig.pose.bones["Bone"].keyframe_insert("location", frame=frame)
        if shared and frame == 1:
            animation = mesh.data.shape_keys.animation_data_create()
            animation.action = action = rig.animation_data.action
            animation.action_slot = action.slots.new("KEY", "Hand")
        bulge.keyframe_insert("value", frame=frame)


seen = {}
for name, shared in (("two actions", False), ("one action with two slots", True)):
    hand(shared)
    bpy.ops.export_scene.gltf(filepath="hand.glb")
    content = Path("hand.glb").read_bytes()
    clips = json.loads(content[20 : 20 + struct.unpack("<I", content[12:16])[0]])["animations"]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath="hand.glb")
    bpy.context.scene.frame_set(10)
    keys = next(item.data.shape_keys for item in bpy.data.objects if getattr(item.data, "shape_keys", None))
    seen[name] = (len(clips), round(keys.key_blocks["bulge"].value, 3))
for name, row in seen.items():
    print(f"{name}: clips in the file, shape key at frame 10 when opened (1.0 was keyed): {row}")
if seen != {"two actions": (2, 0.0), "one action with two slots": (1, 1.0)}:
    raise SystemExit("Changed: bones and shape keys of one hand are no longer two clips, one of them muted.")
PROGRAM
