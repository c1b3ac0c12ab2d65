"""A sheet of pictures of grasps, two views of each: `python scripts/render_grasps.py MESH GRASPS.npz SHEET.png`.

A small ray caster on Embree (by way of embreex), since a look at sixteen grasps should take seconds and no GPU: one
soft key light, a sky with its occlusion, a matte hand and a blue object. Other scripts call `render_sheet`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SKIN = np.array([0.70, 0.42, 0.31])  # linear RGB
BLUE = np.array([0.10, 0.30, 0.62])
BACKGROUND = np.array([0.62, 0.64, 0.67])
CREASE = math.cos(math.radians(35))  # sharper edges of the object are drawn sharp
TOWARD_THUMB = (0.85, 0.45, 0.30)  # radial, palmar, distal parts of the direction from the hand to the camera
TOWARD_FINGERS = (-0.45, 0.45, 0.75)
ABOVE = (0.45, -0.75, 0.48)  # from where an object alone is seen


@dataclass(frozen=True)
class Camera:
    """A perspective camera.

    Attributes:
        position: (3,).
        axes: (3, 3) rows right, up, back.
        half_height: half the field's height at unit distance.
    """

    position: np.ndarray
    axes: np.ndarray
    half_height: float


def corner_normals(vertices: np.ndarray, faces: np.ndarray, crease: float) -> np.ndarray:
    """(F, 3, 3) unit normals at the corners: smooth, or the face's own where it turns past `crease` (a cosine)."""
    corners = vertices[faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    vertex = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(vertex, faces[:, corner], face)
    vertex /= np.maximum(np.linalg.norm(vertex, axis=1, keepdims=True), 1e-20)
    face = face / np.maximum(np.linalg.norm(face, axis=1, keepdims=True), 1e-20)
    smooth = vertex[faces]
    sharp = (smooth * face[:, None]).sum(-1) < crease
    return np.where(sharp[..., None], face[:, None], smooth)


def hand_axes(joints: np.ndarray) -> np.ndarray:
    """(3, 3) rows radial (toward the thumb), palmar, distal (toward the fingers), of (21, 3) joints, MANO's order."""
    index, middle, little = joints[1], joints[4], joints[7]
    distal = middle - joints[0]
    distal = distal / np.linalg.norm(distal)
    radial = index - little
    radial = radial - distal * (radial @ distal)
    radial = radial / np.linalg.norm(radial)
    palmar = np.cross(radial, distal)
    bent = joints[[2, 3, 5, 6, 8, 9, 11, 12]].mean(0) - joints[[1, 4, 7, 10]].mean(0)
    if palmar @ bent < 0:  # a left hand (fingers bend toward the palm)
        palmar = -palmar
    return np.stack([radial, palmar, distal])


def aim(joints: np.ndarray, direction: Sequence[float], shown: np.ndarray, scale: float) -> Camera:
    """A camera from `direction` (in the hand's axes), the back of the hand up, that sees the points `shown`."""
    axes = hand_axes(joints)
    back = np.asarray(direction) @ axes
    back = back / np.linalg.norm(back)
    up = -axes[1] - back * (-axes[1] @ back)
    up = up / np.linalg.norm(up)
    frame = np.stack([np.cross(up, back), up, back])
    local = shown @ frame.T
    low, high = local.min(0), local.max(0)
    centre = (low + high) / 2
    distance = 5 * scale
    depth = distance - (local[:, 2] - centre[2])
    half = (np.abs(local[:, :2] - centre[:2]) / depth[:, None]).max() * 1.06
    return Camera(centre @ frame + back * distance, frame, float(half))


def render_view(
    meshes: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, float]], camera: Camera, size: int, scale: float,
    samples: int = 4, seed: int = 0,
) -> np.ndarray:
    """One picture of meshes (vertices, faces, linear colour, crease cosine).

    Args:
        meshes: as above; all in one frame.
        camera: from where.
        size: pixels of a side.
        scale: a hand's length in the meshes' unit: how far occlusion reaches.
        samples: shadow rays of each kind a quarter pixel.
        seed: of the noise.

    Returns:
        (size, size, 3) uint8.
    """
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    corners = np.concatenate([vertices[faces] for vertices, faces, _, _ in meshes])
    normals = np.concatenate([corner_normals(vertices, faces, crease) for vertices, faces, _, crease in meshes])
    colours = np.concatenate([np.tile(colour, (len(faces), 1)) for _, faces, colour, _ in meshes])
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray((corners - camera.position) / scale, np.float32))  # held by the scene

    fine = 2 * size
    steps = ((np.arange(fine) + 0.5) / fine * 2 - 1) * camera.half_height
    x, y = np.meshgrid(steps, -steps)
    rays = np.stack([x.ravel(), y.ravel(), -np.ones(fine * fine)], -1) @ camera.axes
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    found = scene.run(np.zeros_like(rays, np.float32), rays.astype(np.float32), query="INTERSECT", output=True)
    hit = np.flatnonzero(found["primID"] >= 0)
    face, u, v = found["primID"][hit], found["u"][hit, None], found["v"][hit, None]
    rays = rays[hit]
    place = rays * found["tfar"][hit, None]
    normal = normals[face, 0] * (1 - u - v) + normals[face, 1] * u + normals[face, 2] * v
    flat = found["Ng"][hit] / np.maximum(np.linalg.norm(found["Ng"][hit], axis=1, keepdims=True), 1e-20)
    flat *= -np.sign((flat * rays).sum(1, keepdims=True))  # both sides of an open surface are drawn
    normal *= np.where((normal * flat).sum(1, keepdims=True) < 0, -1, 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)
    origin = (place + flat * 1e-3).astype(np.float32)

    rng = np.random.default_rng(seed)
    key = np.array([-0.45, 0.75, 0.60]) @ camera.axes
    light, sky = np.zeros(len(hit)), np.zeros(len(hit))
    for _ in range(samples):
        ball = rng.normal(size=(len(hit), 3))
        ball /= np.linalg.norm(ball, axis=1, keepdims=True)
        toward = key + 0.22 * ball
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        free = scene.run(origin, toward.astype(np.float32), query="OCCLUDED") < 0
        light += free * np.maximum((normal * toward).sum(1), 0)
        ball = normal + 0.999 * rng.permutation(ball)  # cosine weighted
        ball /= np.linalg.norm(ball, axis=1, keepdims=True)
        near = scene.run(origin, ball.astype(np.float32), query="DISTANCE")
        sky += np.where((ball * flat).sum(1) > 0, np.minimum(near / 0.5, 1), 0)
    light, sky = light[:, None] / samples, sky[:, None] / samples
    up = 0.5 + 0.5 * (normal @ camera.axes[1])[:, None]
    colour = colours[face]
    # light that bounces between folds of skin takes its colour: Jimenez et al. 2016, eq. 10 for coloured occlusion
    warm = np.maximum(sky, ((2.0404 * colour - 0.3324) * sky - 4.7951 * colour + 0.6417) * sky * sky
                      + (2.7552 * colour + 0.6903) * sky)
    rim = np.maximum(1 + (normal * rays).sum(1, keepdims=True), 0) ** 3
    shade = colour * (0.85 * light + (0.35 + 0.30 * up) * warm) + 0.10 * rim * sky

    fade = np.linspace(1.08, 0.88, fine)[:, None, None]
    picture = np.broadcast_to(BACKGROUND * fade, (fine, fine, 3)).reshape(-1, 3).copy()
    picture[hit] = shade
    picture = picture.reshape(size, 2, size, 2, 3).mean((1, 3))
    srgb = np.where(picture <= 0.0031308, 12.92 * picture, 1.055 * np.maximum(picture, 1e-9) ** (1 / 2.4) - 0.055)
    return (np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def object_view(meshes: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, float]], size: int, samples: int,
                ) -> np.ndarray:
    """(size, size, 3) uint8: an object without a hand, all of it, from above and the front.

    Args:
        meshes: as `render_view` takes them, +Z up.
        size: pixels.
        samples: more give less noise.
    """
    points = np.concatenate([vertices for vertices, *_ in meshes])
    centre = (points.min(0) + points.max(0)) / 2
    reach = float(np.linalg.norm(points - centre, axis=1).max())
    back = np.array(ABOVE) / np.linalg.norm(ABOVE)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    camera = Camera(centre + 6 * reach * back, np.stack([right, np.cross(back, right), back]), 0.17)
    return render_view(meshes, camera, size, 0.19, samples)


def two_views(
    object_vertices: np.ndarray | None, object_faces: np.ndarray | None, hand: np.ndarray, hand_faces: np.ndarray,
    joints: np.ndarray, size: int, samples: int, seed: int = 0,
) -> np.ndarray:
    """(size, 2 size, 3) uint8: one hand, as `render_sheet` shows each of its own."""
    hand, joints = np.asarray(hand, np.float64), np.asarray(joints, np.float64)
    scale = float(np.linalg.norm(joints[[0, 4, 5, 6]] - joints[[4, 5, 6, 18]], axis=1).sum())
    meshes, shown = [(hand, np.asarray(hand_faces), SKIN, -1.0)], hand
    if object_vertices is not None:
        vertices = np.asarray(object_vertices, np.float64)
        meshes.append((vertices, np.asarray(object_faces), BLUE, CREASE))
        near = vertices[np.linalg.norm(vertices - hand.mean(0), axis=1) < 0.75 * scale]
        shown = np.concatenate([hand, near])
    return np.concatenate([render_view(meshes, aim(joints, direction, shown, scale), size, scale, samples, seed)
                           for direction in (TOWARD_THUMB, TOWARD_FINGERS)], 1)


def render_sheet(
    path: Path | str, object_vertices: np.ndarray | None, object_faces: np.ndarray | None,
    hands: Sequence[np.ndarray], hand_faces: np.ndarray, joints: Sequence[np.ndarray],
    captions: Sequence[str] | None = None, columns: int = 4, size: int = 300, samples: int = 4,
) -> None:
    """Write a sheet of candidates, two views of each: from the side of the thumb, and from that of the fingers.

    Args:
        path: the PNG to write.
        object_vertices: (V, 3) in any unit, or None for hands alone.
        object_faces: (F, 3) triangles, or None.
        hands: N arrays (H, 3), in the object's frame and unit.
        hand_faces: (G, 3) triangles.
        joints: N arrays (21, 3), core's order: they say where the thumb and the palm are.
        captions: N short texts.
        columns: candidates in a row.
        size: pixels of a view.
        samples: more give less noise.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not len(hands):
        raise ValueError("There are no grasps to draw.")
    rows = -(-len(hands) // columns)
    sheet = Image.new("RGB", (2 * size * min(columns, len(hands)), size * rows))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(10, size // 22))
    for number, (hand, joint) in enumerate(zip(hands, joints)):
        left, top = number % columns * 2 * size, number // columns * size
        views = two_views(object_vertices, object_faces, hand, hand_faces, joint, size, samples, seed=number)
        sheet.paste(Image.fromarray(views), (left, top))
        if captions is not None:
            draw.text((left + 6, top + 4), captions[number], fill=(25, 25, 28), font=font)
    sheet.save(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path)
    parser.add_argument("grasps", type=Path, help="what `python -m core generate` wrote")
    parser.add_argument("sheet", type=Path, help="the PNG to write")
    parser.add_argument("--count", type=int, help="only the first of them")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--size", type=int, default=300, help="pixels of a view")
    parser.add_argument("--samples", type=int, default=4, help="more are slower and less grainy")
    options = parser.parse_args()

    import trimesh

    mesh = trimesh.load_mesh(options.mesh, process=False)
    with np.load(options.grasps, allow_pickle=False) as file:
        grasps = dict(file)
    count = len(grasps["vertices"]) if options.count is None else options.count
    if not count:
        print(f"{options.grasps} holds no grasps.", file=sys.stderr)
        return 1
    captions = [
        f"{number + 1} {grasp_type}  {score:.2f}"
        for number, (grasp_type, score) in enumerate(zip(grasps["type"][:count], grasps["score"][:count]))
    ]
    render_sheet(
        options.sheet, mesh.vertices, mesh.faces, grasps["vertices"][:count], grasps["faces"],
        grasps["joints"][:count], captions, options.columns, options.size, options.samples,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
