"""Compares the embedded hand with and without its pose correctives: a table, and pictures outside the tree.

    python scripts/build/compare_hand.py [--out FOLDER] [--size PIXELS] [HAND.npz ...]

For each pose: pairs of triangles that cross (of one part of the hand, and of two different ones), the deepest vertex
of one finger inside another in mm, and the change of the hand's volume in ml. Needs bpy, igl and pillow.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import bpy
import igl
import numpy as np
import torch
from mathutils import Matrix, Vector
from mathutils.bvhtree import BVHTree
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that a script finds the repository's packages

from core.hand import HandModel, load_hand
from core.hand.articulation import fist_dofs, relaxed_dofs
from scripts.render_scene import with_nodes

#: degrees: bend, spread, PIP, DIP of index, middle, ring, little; twist, spread, bend, MCP, IP of the thumb
POSES = {
    "rest": [0] * 21,
    "relaxed": relaxed_dofs().rad2deg().tolist(),
    "half fist": [45, 0, 50, 35] * 4 + [20, 25, 15, 20, 25],
    "fist": fist_dofs().rad2deg().tolist(),
    "pinch": [60, -6, 28, 18] + [20, 0, 42, 25] * 3 + [15, 20, 24, 17, 8],
    "tripod": [33, -4, 45, 30, 50, 2, 44, 30, 70, 0, 70, 40, 75, 0, 70, 40, 40, 50, 6, 8, 14],
    "large diameter": [27, 0, 42, 34] * 4 + [36, 54, 3, 8, 20],
}
BENDS = ("index PIP bend", "index MCP bend", "index DIP bend", "little PIP bend", "thumb IP bend", "thumb CMC spread")
VIEWS = (((0.1, -1.0, 0.35), (-1, 0, 0)), ((-0.6, -0.35, 0.8), (0, 1, 0)), ((-0.5, 0.8, 0.5), (0, 1, 0)))


def posed(hand: HandModel, degrees: list[float]) -> np.ndarray:
    """(V, 3) the hand's vertices at 21 joint angles, metres."""
    dofs = torch.deg2rad(torch.tensor([degrees], dtype=torch.float32))
    zero = torch.zeros(1, 3)
    with torch.no_grad():
        return hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(1, 10)).vertices[0].double().numpy()


def crossings(vertices: np.ndarray, faces: np.ndarray, parts: np.ndarray) -> tuple[int, int]:
    """Pairs of crossing triangles without a shared corner: of one part, and of two parts."""
    tree = BVHTree.FromPolygons(vertices.tolist(), faces.tolist())
    corners = [set(face) for face in faces.tolist()]
    own = [np.bincount(parts[face]).argmax() for face in faces]
    pairs = [(a, b) for a, b in tree.overlap(tree) if a < b and not corners[a] & corners[b]]
    between = sum(own[a] != own[b] for a, b in pairs)
    return len(pairs) - between, between


def depth_between_fingers(vertices: np.ndarray, faces: np.ndarray, parts: np.ndarray) -> float:
    """Metres: the deepest that a vertex of one finger lies in another finger (closed at its root)."""
    deepest = 0.0
    for finger in range(5):
        own = faces[(parts[faces] == finger).all(1)]
        loop = igl.boundary_loop(own)
        closed = np.vstack([vertices, vertices[loop].mean(0)])
        cap = [[b, a, len(vertices)] for a, b in zip(loop, np.roll(loop, -1))]
        others = vertices[(parts != finger) & (parts < 5)]
        whole = np.vstack([own, cap])
        distance = igl.signed_distance(others, closed, whole, sign_type=igl.SIGNED_DISTANCE_TYPE_WINDING_NUMBER)[0]
        deepest = max(deepest, -float(distance.min()))
    return deepest


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def plain(hand: HandModel) -> HandModel:
    """The same hand without correctives."""
    hand.posedirs.zero_()
    return hand


def print_table(hands: dict[str, HandModel]) -> None:
    for name, hand in hands.items():
        faces, parts = hand.faces.numpy(), hand.parts.numpy()
        print(f"\n{name}\n{'pose':18s} {'same part':>9s} {'two parts':>9s} {'deepest mm':>10s} {'volume ml':>9s}")
        rest = volume(posed(hand, POSES["rest"]), faces)
        for pose, degrees in POSES.items():
            vertices = posed(hand, degrees)
            same, two = crossings(vertices, faces, parts)
            deep = 1000 * depth_between_fingers(vertices, faces, parts)
            print(f"{pose:18s} {same:9d} {two:9d} {deep:10.2f} {1e6 * (volume(vertices, faces) - rest):+9.2f}")
        for bend in BENDS:
            index = hand.dof_names.index(bend)
            degrees = [0.0] * 21
            degrees[index] = min(90.0, float(hand.dof_limits[index, 1].rad2deg()))
            vertices = posed(hand, degrees)
            same, two = crossings(vertices, faces, parts)
            change = 1e6 * (volume(vertices, faces) - rest)
            print(f"{bend:15s}{degrees[index]:3.0f} {same:9d} {two:9d} {'':10s} {change:+9.2f}")
        inputs = [torch.zeros(64, n) for n in (3, 45, 3, 10)]
        with torch.no_grad():
            times = []
            for _ in range(20):
                start = time.perf_counter()
                hand(*inputs)
                times.append(time.perf_counter() - start)
        print(f"64 hands forward, one thread: {1000 * np.median(times):.1f} ms")


def render(vertices: np.ndarray, quads: np.ndarray, view: tuple, size: int, path: Path) -> Image.Image:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    mesh = bpy.data.meshes.new("hand")
    mesh.from_pydata((vertices * 10).tolist(), [], quads.tolist())
    mesh.shade_smooth()
    hand = bpy.data.objects.new("hand", mesh)
    hand.modifiers.new("smooth", "SUBSURF").render_levels = 1
    scene.collection.objects.link(hand)
    skin = bpy.data.materials.new("skin")
    with_nodes(skin)
    shader = skin.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (0.75, 0.48, 0.37, 1)
    shader.inputs["Roughness"].default_value = 0.55
    mesh.materials.append(skin)
    eye, up = Vector(view[0]).normalized(), Vector(view[1])
    right = up.cross(eye).normalized()
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.type, camera.data.ortho_scale = "ORTHO", 1.9
    turn = Matrix((right, eye.cross(right), eye)).transposed().to_4x4()
    centre = Vector(((vertices.min(0) + vertices.max(0)) * 5).tolist())
    camera.matrix_world = Matrix.Translation(centre + 5 * eye) @ turn
    scene.collection.objects.link(camera)
    scene.camera = camera
    for place, power in (((1.5, 2.5, 2.0), 70), ((-2.5, 0.5, 2.0), 30)):
        lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "AREA"))
        lamp.data.energy, lamp.data.size = power, 1.5
        lamp.location = centre + turn.to_3x3() @ Vector(place)
        lamp.rotation_euler = (lamp.location - centre).to_track_quat("Z", "Y").to_euler()
        scene.collection.objects.link(lamp)
    scene.world = bpy.data.worlds.new("world")
    with_nodes(scene.world)
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.35, 0.37, 0.4, 1)
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 24
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.filepath = str(path)
    scene.view_settings.view_transform = "Standard"
    bpy.ops.render.render(write_still=True)
    with Image.open(path) as image:
        return image.convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hands", nargs="*", type=Path, help="other hand files to set beside it")
    parser.add_argument("--out", type=Path, help="folder of the pictures (default: a new temporary one)")
    parser.add_argument("--size", type=int, default=300, help="pixels of each picture; 0: the table alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    hands = {"without correctives": plain(load_hand()), "with correctives": load_hand()}
    hands |= {path.name: load_hand(path) for path in options.hands}
    if options.size:
        make_pictures(hands, options.out, options.size)
    print_table(hands)  # last: the renderer talks much


def make_pictures(hands: dict[str, HandModel], out: Path | None, size: int) -> None:
    folder = out or Path(tempfile.mkdtemp(prefix="hands-"))
    folder.mkdir(parents=True, exist_ok=True)
    for pose, degrees in POSES.items():
        sheet = Image.new("RGB", (size * len(VIEWS), size * len(hands)))
        for row, (name, hand) in enumerate(hands.items()):
            quads = hand.quads if hand.quads is not None else hand.faces
            for column, view in enumerate(VIEWS):
                tile = render(posed(hand, degrees), quads.numpy(), view, size, folder / "tile.png")
                sheet.paste(tile, (column * size, row * size))
            ImageDraw.Draw(sheet).text((8, row * size + 6), f"{pose}, {name}", fill="white")
        sheet.save(folder / f"{pose.replace(' ', '_')}.png")
    (folder / "tile.png").unlink(missing_ok=True)
    print(f"\npictures: {folder}")


if __name__ == "__main__":
    main()
