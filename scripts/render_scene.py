"""A photographer's table in bpy: copies of an object side by side, a hand on each, lit and rendered in Cycles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector
from mathutils.bvhtree import BVHTree

FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
VIEW = Vector((0.0, -0.94, 0.34)).normalized()  # from the table to the camera
LIGHTS = (  # name, place (m), size (m), watts, colour
    ("Key", (-0.55, -0.75, 0.95), 0.55, 13.0, (1.0, 0.95, 0.88)),
    ("Rim", (0.75, 0.65, 0.75), 0.35, 12.0, (0.86, 0.93, 1.0)),
    ("Fill", (0.9, -0.9, 0.35), 0.9, 3.0, (0.9, 0.95, 1.0)),
)


def points_of(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 3) the vertices."""
    points = np.empty(len(mesh.vertices) * 3)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def frozen(thing: bpy.types.Object, name: str) -> bpy.types.Mesh:
    """A plain mesh of an object as it is shown now, modifiers, keys and place included."""
    evaluated = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = bpy.data.meshes.new_from_object(evaluated)
    mesh.transform(evaluated.matrix_world)
    mesh.name = name
    return mesh


def digits_of(hand: bpy.types.Object) -> dict[str, list[int]]:
    """Every fourth vertex of each finger, by its heaviest vertex group."""
    names = {group.index: group.name for group in hand.vertex_groups}
    heaviest = [names[max(v.groups, key=lambda g: g.weight).group] if v.groups else "" for v in hand.data.vertices]
    return {f: [i for i, name in enumerate(heaviest) if name.startswith(f)][::4] for f in FINGERS}


def best_turn(hand: bpy.types.Mesh, body: bpy.types.Mesh, digits: dict[str, list[int]]) -> tuple[float, float]:
    """The turn about the vertical (radians) in which the camera sees most of every digit; how much (0 to 1).

    The hand ends at the wrist, so that a turn which shows it from there loses up to a half.
    """
    trees = [BVHTree.FromPolygons([v.co for v in mesh.vertices], [tuple(p.vertices) for p in mesh.polygons])
             for mesh in (hand, body)]

    def seen(vertex: bpy.types.MeshVertex, eye: Vector) -> bool:
        origin = vertex.co + 1e-3 * vertex.normal
        return vertex.normal @ eye > 0 and all(tree.ray_cast(origin, eye)[0] is None for tree in trees)

    points = points_of(hand)
    along = Vector(points[np.concatenate(list(digits.values()))].mean(0) - points.mean(0)).normalized()

    def score(turn: float) -> float:
        eye = Matrix.Rotation(-turn, 3, "Z") @ VIEW
        shares = [sum(seen(hand.vertices[i], eye) for i in members) / max(len(members), 1)
                  for members in digits.values()]
        return sum(min(share / 0.4, 1.0) for share in shares) / len(shares) - max(0.0, -along @ eye) / 2

    turns = np.radians(np.arange(0, 360, 15)).tolist()
    scores = [score(turn) for turn in turns]
    return turns[int(np.argmax(scores))], max(scores)


def set_table(
    body: bpy.types.Mesh, hands: Sequence[bpy.types.Mesh], digits: dict[str, list[int]],
) -> list[bpy.types.Object]:
    """Stands a copy of `body` for each of `hands` in a row, turned to be seen, as low as the ground (z = 0) allows.

    Args:
        body: the object, glazed blue, world coordinates.
        hands: on it, world coordinates.
        digits: of `digits_of`.

    Returns:
        The new objects, in a new collection "Picture".
    """
    stage = bpy.data.collections.new("Picture")
    bpy.context.scene.collection.children.link(stage)
    body.materials.clear()
    body.materials.append(glaze())
    body_points = points_of(body)
    turns = [best_turn(hand, body, digits)[0] for hand in hands]
    clouds = [np.concatenate([points_of(hand), body_points]) @ np.array(Matrix.Rotation(turn, 3, "Z")).T
              for hand, turn in zip(hands, turns)]
    spacing = 1.12 * max(np.ptp(cloud[:, 0]) for cloud in clouds)
    things = []
    for place, (hand, turn, cloud) in enumerate(zip(hands, turns, clouds)):
        low, high = cloud.min(0), cloud.max(0)
        across = (place - (len(hands) - 1) / 2) * spacing
        offset = Vector((across - (low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
        for mesh in (body, hand):
            thing = bpy.data.objects.new(f"{mesh.name} {place + 1}", mesh)
            thing.matrix_world = Matrix.Translation(offset) @ Matrix.Rotation(turn, 4, "Z")
            smooth = thing.modifiers.new("Smooth", "SUBSURF")
            smooth.levels = smooth.render_levels = 1
            stage.objects.link(thing)
            things.append(thing)
    return things


def with_nodes(block: bpy.types.Material | bpy.types.World) -> None:
    """Gives a new material or world its nodes. Since Blender 5.0 it has them, and 6.0 removes the property."""
    if bpy.app.version < (5, 0):
        block.use_nodes = True


def principled(name: str, **values: object) -> bpy.types.Material:
    """A material of one shader, with inputs by name (spaces as underscores)."""
    material = bpy.data.materials.new(name)
    with_nodes(material)
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    for key, value in values.items():
        shader.inputs[key.replace("_", " ")].default_value = value
    return material


def glaze() -> bpy.types.Material:
    return principled("Glaze", Base_Color=(0.035, 0.16, 0.36, 1), Roughness=0.32, Coat_Weight=0.4, Coat_Roughness=0.12)


def light(stage: bpy.types.Collection) -> None:
    """A ground that runs up into a wall, a soft key, a rim light from behind, a low fill."""
    bend = [(0.7 + 0.8 * math.sin(a), 0.8 - 0.8 * math.cos(a)) for a in np.linspace(0, 1.5, 24)]
    run = [(-4.0, 0.0), *bend, (1.5, 4.0)]
    backdrop = bpy.data.meshes.new("Backdrop")
    backdrop.from_pydata([(x, y, z) for y, z in run for x in (-6.0, 6.0)], [],
                         [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(len(run) - 1)])
    backdrop.shade_smooth()
    backdrop.materials.append(principled("Paper", Base_Color=(0.55, 0.54, 0.52, 1), Roughness=0.9))
    stage.objects.link(bpy.data.objects.new("Backdrop", backdrop))
    for name, place, size, watts, colour in LIGHTS:
        data = bpy.data.lights.new(name, "AREA")
        data.shape, data.size, data.energy, data.color = "DISK", size, watts, colour
        lamp = bpy.data.objects.new(name, data)
        lamp.location = place
        lamp.rotation_euler = (Vector((0, 0, 0.06)) - lamp.location).to_track_quat("-Z", "Y").to_euler()
        stage.objects.link(lamp)
    world = bpy.context.scene.world = bpy.data.worlds.new("World")
    with_nodes(world)
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.75, 0.8, 0.9, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.25


def aim_camera(stage: bpy.types.Collection, things: Sequence[bpy.types.Object], width: int) -> None:
    """A long lens, and a picture as wide as asked and as high as the things need."""
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens = 85
    camera.rotation_euler = VIEW.to_track_quat("Z", "Y").to_euler()
    stage.objects.link(camera)
    scene.camera = camera
    bpy.context.view_layer.update()
    corners = np.array([thing.matrix_world @ Vector(c) for thing in things for c in thing.bound_box])
    flat = corners @ np.array(camera.matrix_world.to_3x3())
    across, high = np.ptp(flat[:, 0]), np.ptp(flat[:, 1])
    scene.render.resolution_x = width
    scene.render.resolution_y = 2 * round(width * (high + 0.1 * across) / (1.1 * across) / 2)
    bpy.context.view_layer.update()
    place, _ = camera.camera_fit_coords(bpy.context.evaluated_depsgraph_get(), corners.ravel().tolist())
    camera.location = place + VIEW * 0.06 * (place - Vector(corners.mean(0))).length


def render(path: Path, samples: int) -> None:
    """Renders the scene to a PNG with Cycles on the CPU."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = True
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
