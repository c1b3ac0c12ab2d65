#!/usr/bin/env bash
# Blender (bpy) 5.3.0: vertex groups are no attributes to a script, and are attributes to Geometry Nodes.
#
# Expected: what a node tree reads by name, a script finds in the mesh's attributes and can read at once
#   (foreach_get); or neither does.
# Seen: mesh.attributes does not list a vertex group, and a script must ask every vertex for its groups. A Named
#   Attribute node reads the group by its name; stored under another name by the next node, it is an attribute of the
#   evaluated mesh, the same numbers, read at once. For 250,000 vertices the first way takes over ten times as long.
# Why it matters: an object's parts are told by vertex groups. Asked vertex by vertex, a scan of a million vertices
#   holds Blender's window for one to two seconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bpy==5.3.0 numpy==2.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import time

import bpy
import numpy as np

bpy.ops.wm.read_factory_settings(use_empty=True)
count = 250_000
mesh = bpy.data.meshes.new("Scan")
mesh.vertices.add(count)
item = bpy.data.objects.new("Scan", mesh)
bpy.context.collection.objects.link(item)
item.vertex_groups.new(name="handle").add(list(range(0, count, 2)), 0.5, "REPLACE")
listed = "handle" in mesh.attributes

begin = time.process_time()
asked = np.zeros(count, np.float32)
for place, vertex in enumerate(mesh.vertices):
    for entry in vertex.groups:
        asked[place] = entry.weight
by_vertex = time.process_time() - begin

begin = time.process_time()
tree = bpy.data.node_groups.new("Read", "GeometryNodeTree")
for way in ("INPUT", "OUTPUT"):
    tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
read, store = tree.nodes.new("GeometryNodeInputNamedAttribute"), tree.nodes.new("GeometryNodeStoreNamedAttribute")
read.inputs["Name"].default_value, store.inputs["Name"].default_value = "handle", "weights"
tree.links.new(start.outputs[0], store.inputs["Geometry"])
tree.links.new(next(s for s in read.outputs if s.enabled and s.name == "Attribute"),
               next(s for s in store.inputs if s.enabled and s.name == "Value"))
tree.links.new(store.outputs[0], end.inputs[0])
item.modifiers.new("Read", "NODES").node_group = tree
evaluated = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
stored = np.zeros(count, np.float32)
evaluated.data.attributes["weights"].data.foreach_get("value", stored)
by_nodes = time.process_time() - begin

print(f"listed among the mesh's attributes: {listed}; the same numbers by nodes: {np.array_equal(asked, stored)}; "
      f"over ten times as long vertex by vertex: {by_vertex > 10 * by_nodes}")
if listed or not np.array_equal(asked, stored) or asked.max() != 0.5 or by_vertex < 10 * by_nodes:
    raise SystemExit("Changed: vertex groups are read otherwise by scripts or by nodes.")
PROGRAM
