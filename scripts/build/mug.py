"""Write the bundled sample object, a mug with a handle: `python scripts/build/mug.py` makes scripts/samples/mug.obj.

Quads only, watertight, metres, +Y up (what Blender's OBJ import expects): 80 mm wide, 95 mm high, a 4 mm wall,
a handle with room for three fingers. The body is a turned profile; the handle is swept from one 3 x 3 patch of its wall
to another.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

SEGMENTS = 48  # around the body; a quarter of them is the side of the grid that fills a disc
RADIUS, HEIGHT, WALL, FLOOR = 0.040, 0.095, 0.004, 0.005
WALL_ROWS = 18
HANDLE_ROWS = 30
HANDLE_HALF = (0.0065, 0.0045)  # half width across and half thickness of the handle, metres
UPPER_ROW, LOWER_ROW = 13, 2  # lowest wall row of the handle's two patches


def arc(centre: tuple[float, float], radius: float, start: float, end: float, steps: int) -> list[tuple[float, float]]:
    """`steps` + 1 points (r, z) of a circle's arc, angles in degrees."""
    angles = np.radians(np.linspace(start, end, steps + 1))
    return [(centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)) for a in angles]


def profile() -> tuple[np.ndarray, int]:
    """(P, 2) points (r, z) from the foot's disc up the outside, over the rim, to the disc of the inner floor.

    The second result is the index of the wall's lowest point.
    """
    foot = [(0.022, 0.0), (0.029, 0.0), *arc((RADIUS - 0.006, 0.006), 0.006, -90, 0, 5)]
    top = HEIGHT - WALL / 2
    wall = [(RADIUS, z) for z in np.linspace(0.006, top, WALL_ROWS + 1)[1:]]
    rim = arc((RADIUS - WALL / 2, top), WALL / 2, 0, 180, 6)[1:]
    inner = RADIUS - WALL
    inside = [(inner, z) for z in np.linspace(top, FLOOR + 0.008, 16)[1:]]
    bend = arc((inner - 0.008, FLOOR + 0.008), 0.008, 0, -90, 5)[1:]
    return np.array([*foot, *wall, *rim, *inside, *bend, (0.022, FLOOR)]), len(foot) - 1


def disc(ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A grid of quads that fills a circle of vertices.

    Args:
        ring: (SEGMENTS, 3) the circle.

    Returns:
        (M, 3) the inner vertices and (side^2, 4) quads; indices below SEGMENTS are the ring's, then the inner ones'.
    """
    side = SEGMENTS // 4
    index = np.full((side + 1, side + 1), -1)
    steps = np.arange(side)
    index[0, steps], index[steps, side] = steps, steps + side
    index[side, side - steps], index[side - steps, 0] = steps + 2 * side, steps + 3 * side
    index[1:-1, 1:-1] = np.arange((side - 1) ** 2).reshape(side - 1, side - 1) + SEGMENTS
    edge = np.zeros((side + 1, side + 1, 3))
    border = index < SEGMENTS
    edge[border] = ring[index[border]]
    v, u = np.meshgrid(np.linspace(0, 1, side + 1), np.linspace(0, 1, side + 1), indexing="ij")
    u, v = u[..., None], v[..., None]
    coons = (1 - v) * edge[:1] + v * edge[-1:] + (1 - u) * edge[:, :1] + u * edge[:, -1:] - (
        (1 - u) * (1 - v) * edge[0, 0] + u * (1 - v) * edge[0, -1] + (1 - u) * v * edge[-1, 0] + u * v * edge[-1, -1])
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    return coons[1:-1, 1:-1].reshape(-1, 3), quads


def patch_loop(row: int, first: int, upward: bool) -> list[tuple[int, int]]:
    """(row, segment) of the 12 points around a 3 x 3 patch, counter-clockwise from outside; mirrored if not upward."""
    heights = [0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 2, 1]
    across = [0, 1, 2, 3, 3, 3, 3, 2, 1, 0, 0, 0]
    return [(row + (h if upward else 3 - h), (first + a) % SEGMENTS) for h, a in zip(heights, across)]


def handle_rings(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """(HANDLE_ROWS - 1, 12, 3) the handle's cross-sections between the loops (12, 3) of its two patches."""
    begin, end = upper.mean(0), lower.mean(0)
    points = np.array([begin, begin + [0.050, 0, 0.004], end + [0.044, 0, -0.002], end])
    rings = []
    for t in np.linspace(0, 1, HANDLE_ROWS + 1)[1:-1]:
        centre = (1 - t) ** 3 * points[0] + 3 * t * (1 - t) ** 2 * points[1] + 3 * t * t * (1 - t) * points[2] \
            + t ** 3 * points[3]
        tangent = (1 - t) ** 2 * (points[1] - points[0]) + 2 * t * (1 - t) * (points[2] - points[1]) \
            + t * t * (points[3] - points[2])
        tangent /= np.linalg.norm(tangent)
        normal = np.array([-tangent[2], 0.0, tangent[0]])
        loop, middle, sign = (upper, begin, 1) if t < 0.5 else (lower, end, -1)
        flat = np.stack([loop[:, 1], sign * (loop[:, 2] - middle[2])], -1)
        around = np.arctan2(flat[:, 1] / np.abs(flat[:, 1]).max(), flat[:, 0] / np.abs(flat[:, 0]).max())
        oval = np.stack([HANDLE_HALF[0] * np.cos(around), HANDLE_HALF[1] * np.sin(around)], -1)
        near = np.clip(min(t, 1 - t) / 0.13, 0, 1)
        blend = near * near * (3 - 2 * near)
        section = (1 - blend) * flat * 0.85 + blend * oval
        rings.append(centre + section[:, :1] * [0, 1, 0] + section[:, 1:] * normal)
    return np.array(rings)


def build_mug() -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) vertices in metres, +Z up, the foot at z = 0 and the handle toward +X; (Q, 4) quads, outward."""
    points, wall = profile()
    turn = 2 * np.pi * (np.arange(SEGMENTS) - 1.5) / SEGMENTS  # the patch of segments 0 to 3 lies on +X
    rows = np.stack([
        points[:, :1] * np.cos(turn), points[:, :1] * np.sin(turn), np.repeat(points[:, 1:], SEGMENTS, 1),
    ], -1)
    below, quads_below = disc(rows[0])
    above, quads_above = disc(rows[-1])
    upper_loop = [r * SEGMENTS + s for r, s in patch_loop(wall + UPPER_ROW, 0, True)]
    lower_loop = [r * SEGMENTS + s for r, s in patch_loop(wall + LOWER_ROW, 0, False)]
    flat = rows.reshape(-1, 3)
    handle = handle_rings(flat[upper_loop], flat[lower_loop])
    vertices = np.concatenate([flat, below, above, handle.reshape(-1, 3)])

    quads = []
    for row in range(len(rows) - 1):
        inside_patch = any(row - wall - start in (0, 1, 2) for start in (UPPER_ROW, LOWER_ROW))
        for segment in range(SEGMENTS):
            if not (inside_patch and segment < 3):
                a, b = row * SEGMENTS + segment, row * SEGMENTS + (segment + 1) % SEGMENTS
                quads.append([a, b, b + SEGMENTS, a + SEGMENTS])
    first_below, first_above = len(flat), len(flat) + len(below)
    last_row = (len(rows) - 1) * SEGMENTS
    quads.extend(np.where(quads_below < SEGMENTS, quads_below, quads_below - SEGMENTS + first_below)[:, ::-1])
    quads.extend(np.where(quads_above < SEGMENTS, quads_above + last_row, quads_above - SEGMENTS + first_above))
    first_handle = first_above + len(above)
    loops = [upper_loop, *(np.arange(len(handle) * 12).reshape(-1, 12) + first_handle).tolist(), lower_loop]
    for one, two in pairwise(loops):
        quads.extend([one[i], one[(i + 1) % 12], two[(i + 1) % 12], two[i]] for i in range(12))
    used, quads = np.unique(np.array(quads), return_inverse=True)
    return vertices[used], quads.reshape(-1, 4)


def write_obj(path: Path, vertices: np.ndarray, quads: np.ndarray) -> None:
    lines = ["# A mug, made by scripts/build/mug.py of Generate Grasps. Metres, +Y up. CC0.", "o Mug"]
    lines += [f"v {x:.6f} {z:.6f} {-y:.6f}" for x, y, z in vertices + 0.0]
    lines += ["s 1"] + ["f " + " ".join(str(i + 1) for i in quad) for quad in quads]
    path.write_text("\n".join(lines).replace("-0.000000", "0.000000") + "\n", encoding="ascii", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "samples" / "mug.obj")
    write_obj(parser.parse_args().out, *build_mug())


if __name__ == "__main__":
    main()
