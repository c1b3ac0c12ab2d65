#!/usr/bin/env bash
# Blender (bpy) 5.3.0, 4.5 alike: what is added to a library override works until the file is opened again.
#
# Expected: what an override may not hold is refused; what is accepted and saved is there after opening the file.
# Seen: on an overridden hand shape keys, vertex groups, mesh attributes and custom properties, of objects and of pose
#   bones, can all be added, and work; saving says FINISHED; on opening they are gone. Modifiers, constraints, drivers
#   and actions, also of the library's own shape keys, are kept.
# Why it matters: characters are linked into shots and overridden. A rig tool that stores what it made in new shape
#   keys or custom properties loses the animator's work overnight; store it in actions, or make the data local.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import bpy

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.object.armature_add()
rig = bpy.context.object
bpy.ops.mesh.primitive_cube_add()
hand = bpy.context.object
rig.name, hand.name, hand.parent = "Rig", "Hand", rig
hand.shape_key_add(name="Basis")
bpy.ops.wm.save_as_mainfile(filepath="library.blend")

bpy.ops.wm.read_factory_settings(use_empty=True)
with bpy.data.libraries.load("library.blend", link=True) as (_, wanted):
    wanted.objects = ["Rig", "Hand"]
for linked in wanted.objects:
    bpy.context.collection.objects.link(linked)
rig, hand = (linked.override_create(remap_local_usages=True) for linked in wanted.objects)
hand.data.override_create(remap_local_usages=True)
hand.shape_key_add(name="grasp")
hand.vertex_groups.new(name="contact")
hand.data.attributes.new("force", "FLOAT", "POINT")
hand["side"], rig.pose.bones[0]["stiffness"] = "right", 0.5
hand.modifiers.new("Smooth", "SMOOTH")


def found():
    rig, hand = (next(item for item in bpy.data.objects if item.name == name and item.override_library)
                 for name in ("Rig", "Hand"))
    return {"shape key": "grasp" in hand.data.shape_keys.key_blocks, "vertex group": "contact" in hand.vertex_groups,
            "attribute": "force" in hand.data.attributes, "object's property": "side" in hand,
            "bone's property": "stiffness" in rig.pose.bones[0], "modifier": "Smooth" in hand.modifiers}


before, said = found(), bpy.ops.wm.save_as_mainfile(filepath="shot.blend")
bpy.ops.wm.open_mainfile(filepath="shot.blend")
after = found()
print("added:", before, "saved:", said, "opened again:", after, sep="\n")
if not all(before.values()) or [name for name, there in after.items() if there] != ["modifier"]:
    raise SystemExit("Changed: what an override loses on opening is no longer all of the above but the modifier.")
PROGRAM
