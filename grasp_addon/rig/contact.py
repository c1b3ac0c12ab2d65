"""Where the shown grasp touches: a colour on the hand, and on a film of our own that lies on the object.

The colour goes from the skin's (on the film from nearly white) to a warm red as the other surface comes from 5 mm (of a
hand of 19 cm) to touch. The object's mesh is the animator's and is left as it is; the film holds its faces near the
hand, cut fine, a hair above them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree

from ..engine.mesh_export import selected_object
from ..engine.parts import is_in
from ..engine.types import ENGINE_HAND_LENGTH
from ..errors import GraspError
from ..naming import suffix
from ..transforms import split_stretch, transform_points
from .build import parent_to
from .marks import is_marked, marked
from .material import new_node_material
from .near_surface import NearSurface, among
from .pose_reader import hand_scale, shown_vertices
from .proximity import closeness, merged, orientation, subdivided_near

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTRIBUTE: Final = "Grasp Contact"
BEFORE: Final = "grasp_colour_before"  # on the hand's mesh: the colour attribute that was active
REACH: Final = 0.005 / ENGINE_HAND_LENGTH  # hand lengths: from here on the closeness is 0
LIFT: Final = 0.06  # reaches: how far the film lies above the object
SKIN: Final = np.array([0.80, 0.55, 0.45])  # linear, as the skin's colour in solid view
PALE: Final = np.array([0.80, 0.78, 0.76])  # what an object without colours looks like there
RED: Final = np.array([0.75, 0.03, 0.015])
SAMPLED: Final = 100  # points of a mesh that are compared
KEPT: Final = 4  # surfaces that are kept ready, the ones used last


@dataclass(frozen=True)
class Surface:
    """What a hand holds, made ready for steps that look at its part near the hand only.

    Attributes:
        signature: changes where the surface does (see `_signature`).
        members: the objects and data that it is of, by `session_uid`.
        ready: in the frame that turns with the object.
    """

    signature: tuple
    members: frozenset[int]
    ready: NearSurface


_surfaces: dict[int, Surface] = {}  # by the object's session_uid, the last used at the end
_updating = False
_coloured: dict[str, int] = {}  # of each hand, the place against the object that its colours show


def follow(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """`update`, where the hand or the object has moved since."""
    target = rig.grasp.target
    if _updating:  # asking for what is shown ends here again
        return
    if target is None or _coloured.get(rig.name) != _place(context, rig, np.array(target.matrix_world)):
        update(context, rig)


def update(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Colours one hand and what it holds, as they are shown now; takes the colours away where it holds nothing."""
    global _updating  # noqa: PLW0603
    _updating = True
    try:
        _update(context, rig)
    finally:
        _updating = False


def _update(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    record = rig.grasp
    target = record.target
    if record.mesh.mode == "EDIT":  # colours cannot be written then
        return
    if target is None or not is_in(target, context.view_layer.objects):
        clear(rig)
        return
    try:
        frame, _ = split_stretch(np.array(target.matrix_world, dtype=np.float64), target.name)
        _, scale = hand_scale(context, rig)
        reach = REACH * record.hand_length * scale
        surface = _surface(context, target, reach)
        shown = shown_vertices(record.mesh, context.evaluated_depsgraph_get())
    except GraspError:  # e.g. an object without faces: said where it is grasped
        clear(rig)
        return
    faces = _triangles(record.mesh.data)
    if not len(faces):  # all that could touch was deleted
        clear(rig)
        return
    _coloured[rig.name] = _place(context, rig, np.array(target.matrix_world))
    points = transform_points(np.linalg.inv(frame), shown)
    corners = surface.near(points)
    count = 3 * len(corners)
    object_tree = BVHTree.FromPolygons(corners.reshape(-1, 3).tolist(), np.arange(count).reshape(-1, 3).tolist(),
                                       all_triangles=True)
    _colour_hand(record.mesh, colours_of(closeness(points, object_tree, surface.sign, reach), SKIN))
    tree = BVHTree.FromPolygons(points.tolist(), faces.tolist(), all_triangles=True)
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    near = (corners.max(axis=1) >= low).all(axis=1) & (corners.min(axis=1) <= high).all(axis=1)
    near &= (np.ptp(corners, axis=1) > reach).any(axis=1) | among(corners.mean(axis=1), points, 3 * reach)
    film = subdivided_near(corners[near], tree, reach)
    vertices, normals, triangles = merged(film, surface.sign)
    values = closeness(vertices, tree, orientation(points, faces), reach, normals)
    touched = triangles[values[triangles].max(axis=1) > 0.02]
    _lay_film(rig, target, frame, vertices + LIFT * reach * normals, touched, colours_of(values, PALE))


def forget_changed(graph: bpy.types.Depsgraph) -> None:
    """Lets go of the surfaces whose shape Blender has just worked out anew; the next step makes them ready again."""
    if not _surfaces:
        return
    changed = {update.id.original.session_uid for update in graph.updates if update.is_updated_geometry}
    for number in [n for n, surface in _surfaces.items() if surface.members & changed]:
        del _surfaces[number]


def clear(rig: bpy.types.Object) -> None:
    """Takes the colours away: the hand's attribute and the film."""
    mesh = rig.grasp.mesh.data
    found = mesh.color_attributes.get(ATTRIBUTE)
    if found and rig.grasp.mesh.mode != "EDIT":
        mesh.color_attributes.remove(found)
        before = mesh.color_attributes.get(mesh.get(BEFORE, ""))
        if before:
            mesh.color_attributes.active_color = before
        if BEFORE in mesh:
            del mesh[BEFORE]
    _coloured.pop(rig.name, None)
    film = rig.grasp.contact
    if film:
        data = film.data
        materials = list(data.materials)
        bpy.data.objects.remove(film)
        if not data.users:
            bpy.data.meshes.remove(data)
        for material in materials:
            if material and is_marked(material) and not material.users:
                bpy.data.materials.remove(material)


def _place(context: bpy.types.Context, rig: bpy.types.Object, world: np.ndarray) -> int:
    """A number for the hand's shape and place against an object, to a thousandth of a millimetre."""
    shown = shown_vertices(rig.grasp.mesh, context.evaluated_depsgraph_get())
    grid = 1e-6 / ENGINE_HAND_LENGTH * rig.grasp.hand_length
    return hash(np.round(transform_points(np.linalg.pinv(world), shown) / grid).tobytes())


def colours_of(values: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Colours of closeness.

    Args:
        values: (N,) closeness, 0 to 1.
        far: (3,) the linear colour of 0; that of 1 is `RED`.

    Returns:
        (N, 4) linear colours.
    """
    mixed = far + (RED - far) * values[:, None]
    return np.column_stack([mixed, np.ones(len(mixed))])


def _surface(context: bpy.types.Context, target: bpy.types.Object, reach: float) -> NearSurface:
    """The object's surface, made ready; as it was the last time where nothing has changed."""
    context.evaluated_depsgraph_get()  # `forget_changed` hears of what has changed
    members = _members(target)
    signature = (*_digits(np.array([reach])), *_signature(context, target, members))
    found = _surfaces.pop(target.session_uid, None)
    if found is None or found.signature != signature:
        item = selected_object(context, [target])
        numbers = {one.session_uid for member in members for one in (member, member.data) if one}
        found = Surface(signature, frozenset(numbers), NearSurface(item.vertices, item.faces, reach))
    _surfaces[target.session_uid] = found
    while len(_surfaces) > KEPT:
        del _surfaces[next(iter(_surfaces))]
    return found.ready


def _members(target: bpy.types.Object) -> list[bpy.types.Object]:
    """The objects whose surface may be part of an object's: itself, what hangs on it, what it instances."""
    found = dict.fromkeys([target, *(child for child in target.children_recursive if not child.grasp.role)])
    for item in list(found):
        if item.instance_collection:
            found |= dict.fromkeys(item.instance_collection.all_objects)
    return list(found)


def _signature(context: bpy.types.Context, target: bpy.types.Object, members: Iterable[bpy.types.Object]) -> tuple:
    """What a surface depends on beside its members' geometry: how they lie to each other, and the object's scale.

    Of each mesh some points are in it, for what changes the geometry and tells nobody, e.g. undoing.
    """
    graph = context.evaluated_depsgraph_get()
    world = np.array(target.matrix_world, dtype=np.float64)
    frame, stretch = split_stretch(world, target.name)
    told: list[object] = [*_digits(stretch)]
    inverse = np.linalg.inv(frame)
    for member in members:
        told += _digits(inverse @ np.array(member.matrix_world, dtype=np.float64))
        mesh = member.evaluated_get(graph).data
        if isinstance(mesh, bpy.types.Mesh) and len(mesh.vertices):
            some = range(0, len(mesh.vertices), len(mesh.vertices) // SAMPLED + 1)
            told += [len(mesh.vertices), len(mesh.polygons), *(tuple(mesh.vertices[i].co) for i in some)]
    return tuple(told)


def _digits(numbers: np.ndarray) -> list[float]:
    """Numbers by the digits that count beside the largest: moving an object changes its matrix's last ones."""
    most = 10.0 ** np.floor(np.log10(np.abs(numbers).max() or 1.0))
    return [float(most), *(np.round(numbers / most, 4) + 0.0).ravel().tolist()]


def _triangles(mesh: bpy.types.Mesh) -> np.ndarray:
    mesh.calc_loop_triangles()
    found = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", found)
    return found.reshape(-1, 3)


def _colour_hand(mesh: bpy.types.Object, colours: np.ndarray) -> None:
    attributes = mesh.data.color_attributes
    found = attributes.get(ATTRIBUTE)
    if found is None:
        if attributes.active_color:
            mesh.data[BEFORE] = attributes.active_color.name
        found = attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
        attributes.active_color = found
    found.data.foreach_set("color", np.ascontiguousarray(colours, np.float32).ravel())
    mesh.data.update()


def _lay_film(rig: bpy.types.Object, target: bpy.types.Object, frame: np.ndarray, points: np.ndarray,
              triangles: np.ndarray, colours: np.ndarray) -> None:
    film = rig.grasp.contact
    if film is None:
        title = f"{target.name} Contact{suffix(rig.grasp.side)}"
        film = marked(bpy.data.objects.new(title, marked(bpy.data.meshes.new(title))))
        film.grasp.role, film.grasp.armature = "CONTACT", rig
        film.hide_select = film.hide_render = True
        film.data.materials.append(_material())
        rig.grasp.contact = film
    if not film.users_collection:  # new, or deleted by the animator
        rig.users_collection[0].objects.link(film)
    used, faces = np.unique(triangles, return_inverse=True)
    mesh = film.data
    mesh.clear_geometry()
    mesh.vertices.add(len(used))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(points[used], np.float32).ravel())
    mesh.loops.add(3 * len(triangles))
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(faces, np.int32).ravel())
    mesh.polygons.add(len(triangles))
    mesh.polygons.foreach_set("loop_start", np.arange(0, 3 * len(triangles), 3, dtype=np.int32))
    colour = mesh.color_attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
    colour.data.foreach_set("color", np.ascontiguousarray(colours[used], np.float32).ravel())
    mesh.color_attributes.active_color = colour
    mesh.update(calc_edges=True)
    stretch = np.linalg.inv(np.array(target.matrix_world, dtype=np.float64)) @ frame
    if film.parent != target or not np.allclose(film.matrix_parent_inverse, stretch, rtol=1e-5, atol=1e-7):
        parent_to(film, target, frame)


def _material() -> bpy.types.Material:
    """Red where solid view shows materials' colours, and the map itself where nodes are shown."""
    found = bpy.data.materials.get(ATTRIBUTE)
    if found and is_marked(found):
        return found
    material, shader = new_node_material(ATTRIBUTE)
    material.diffuse_color = (*RED, 1.0)
    tree = material.node_tree
    colour = tree.nodes.new("ShaderNodeVertexColor")
    colour.layer_name = ATTRIBUTE
    colour.location = (-220, 300)
    tree.links.new(colour.outputs["Color"], shader.inputs["Base Color"])
    return material
