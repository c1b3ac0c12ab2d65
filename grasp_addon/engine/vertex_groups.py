"""The weights of vertex groups as arrays, in a hundredth of the time that asking each vertex for its groups takes.

Blender hands a group out by vertex alone: one to two seconds a million, in which the window is held. Geometry Nodes
know a group by its name as they know attributes, which are handed out at once. So a copy of the mesh, whose arrays are
shared and not copied, is evaluated with a tree of such nodes in a scene of its own, and all of it is taken away again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import bpy
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STORED: Final = "grasp_weights_{}"  # the attribute of each group


def weights_of(evaluated: bpy.types.Object, groups: Sequence[str]) -> np.ndarray:
    """How much each point of a mesh is in some groups.

    Args:
        evaluated: a mesh object as it is evaluated.
        groups: names of its vertex groups.

    Returns:
        (G, V) float32 weights, 0 where a point is not in a group.
    """
    with _taken_away() as made:
        mesh = made("meshes", bpy.data.meshes.new_from_object(evaluated))
        mesh.materials.clear()  # their drivers would be evaluated as well
        item = made("objects", bpy.data.objects.new(mesh.name, mesh))
        item.modifiers.new("Groups", "NODES").node_group = made("node_groups", _tree(groups))
        scene = made("scenes", bpy.data.scenes.new(mesh.name))
        scene.collection.objects.link(item)
        layer = scene.view_layers[0]
        layer.update()
        attributes = item.evaluated_get(layer.depsgraph).data.attributes
        found = np.zeros((len(groups), len(mesh.vertices)), np.float32)
        for place, row in enumerate(found):
            attributes[STORED.format(place)].data.foreach_get("value", row)
        return found


def _tree(groups: Sequence[str]) -> bpy.types.NodeTree:
    """Nodes that store each group as an attribute."""
    tree = bpy.data.node_groups.new("Groups", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    geometry = tree.nodes.new("NodeGroupInput").outputs[0]
    for place, group in enumerate(groups):
        read, store = (tree.nodes.new(f"GeometryNode{name}NamedAttribute") for name in ("Input", "Store"))
        read.data_type = store.data_type = "FLOAT"
        store.domain = "POINT"
        read.inputs["Name"].default_value, store.inputs["Name"].default_value = group, STORED.format(place)
        tree.links.new(geometry, store.inputs["Geometry"])
        tree.links.new(_shown(read.outputs, "Attribute"), _shown(store.inputs, "Value"))
        geometry = store.outputs[0]
    tree.links.new(geometry, tree.nodes.new("NodeGroupOutput").inputs[0])
    return tree


def _shown(sockets: Any, name: str) -> bpy.types.NodeSocket:
    """The socket of that name for the node's type of data; Blender has one for each, of the same name."""
    return next(socket for socket in sockets if socket.name == name and socket.enabled)


@contextlib.contextmanager
def _taken_away() -> Iterator[Any]:
    """Gives a function that notes a new datablock; at the end they are removed, the last first."""
    with contextlib.ExitStack() as stack:
        def made(kind: str, datablock: bpy.types.ID) -> bpy.types.ID:
            stack.callback(getattr(bpy.data, kind).remove, datablock)
            return datablock

        yield made
