"""Where the shown grasp touches: a colour on the hand, and on a film of our own that lies on the object.

The colour goes from the skin's (on the film from nearly white) to a warm red as the other surface comes from 5 mm (of a
hand of 19 cm) to touch. The object's mesh is the animator's and is left as it is; the film holds its faces near the
hand, cut fine, a hair above them.
"""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree

from ..engine.parts import is_in
from ..engine.types import ENGINE_HAND_LENGTH
from ..errors import GraspError
from ..naming import suffix
from ..transforms import split_stretch, transform_points
from ..ui import redraw
from .build import parent_to
from .contact_surfaces import surfaces
from .hands import rigs
from .marks import is_marked, marked
from .material import new_node_material
from .near_surface import among
from .pose_reader import hand_scale, shown_vertices
from .proximity import closeness, merged, orientation, subdivided_near

ATTRIBUTE: Final = "Grasp Contact"
BEFORE: Final = "grasp_colour_before"  # on the hand's mesh: the colour attribute that was active
REACH: Final = 0.005 / ENGINE_HAND_LENGTH  # hand lengths: from here on the closeness is 0
LIFT: Final = 0.06  # reaches: how far the film lies above the object
SKIN: Final = np.array([0.80, 0.55, 0.45])  # linear, as the skin's colour in solid view
PALE: Final = np.array([0.80, 0.78, 0.76])  # what an object without colours looks like there
RED: Final = np.array([0.75, 0.03, 0.015])
TICK: Final = 0.1  # seconds between two looks at a surface that is being made ready

_updating = False
_waiting: set[int] = set()  # by session_uid, the hands whose colours come once a surface is ready
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
        surface = surfaces.of(context, target, reach)
        if surface is None:
            _wait_for_it(rig)
            return
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


def busy() -> bool:
    """Whether Blender renders or plays the animation: contact takes longer than a frame."""
    manager = bpy.context.window_manager
    playing = bool(manager) and any(window.screen.is_animation_playing for window in manager.windows)
    return playing or bpy.app.is_job_running("RENDER")


def waits(rig: bpy.types.Object) -> bool:
    """Whether a hand's colours come once the object's surface has been made ready."""
    return rig.session_uid in _waiting


def look() -> float | None:
    """Colours the hands whose surfaces have been made ready; when to look again, None for never."""
    if surfaces.making or busy():
        return TICK
    waiting = set(_waiting)
    _waiting.clear()
    scene = bpy.context.scene
    for rig in rigs(scene) if scene.grasp.show_contact else ():
        if rig.session_uid in waiting:
            update(bpy.context, rig)
    redraw(bpy.context, "VIEW_3D")
    return TICK if _waiting else None


def stop() -> None:
    """Waits for nothing any more; the add-on is being switched off."""
    if bpy.app.timers.is_registered(look):
        bpy.app.timers.unregister(look)
    _waiting.clear()
    surfaces.stop()


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
    _waiting.discard(rig.session_uid)
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


def _wait_for_it(rig: bpy.types.Object) -> None:
    clear(rig)
    _waiting.add(rig.session_uid)
    if not bpy.app.timers.is_registered(look):
        bpy.app.timers.register(look, first_interval=TICK)


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
