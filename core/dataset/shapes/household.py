"""What lies on a desk, hangs in a hall or is played with."""

from __future__ import annotations

import numpy as np

from core.dataset.shapes.solid import (
    Assembly,
    Shape,
    arc,
    box,
    capsule,
    ellipsoid,
    extrude,
    lathe,
    oval,
    smooth,
    superquadric,
    sweep,
)

SLABS = ("parallel_extension", "prismatic_four", "extension", "lateral", "palmar_pinch")
BALLS = ("power_sphere", "precision_sphere", "quadpod", "tripod", "power_disk", "precision_disk")
FISTS = ("small_diameter", "medium_wrap", "adducted_thumb", "index_extension")


def phone(rng: np.random.Generator) -> Shape:
    long, wide, thick = rng.uniform(12, 17), rng.uniform(6, 8), rng.uniform(0.7, 1.2)
    body = box((wide, long, thick), rng.uniform(0.15, 0.35))
    screen = box((wide - 0.8, long - 1.2, 0.1)).translate([0, 0, thick / 2 - 0.02])
    return Assembly(SLABS).add("body", body).add("screen", screen).shape()


def remote(rng: np.random.Generator) -> Shape:
    long, wide, thick = rng.uniform(13, 21), rng.uniform(3.6, 5.4), rng.uniform(1.4, 2.6)
    body = extrude(oval(wide, long, rng.uniform(3, 8)), thick, rng.uniform(0.8, 1.0))
    dots = [lathe([(0.35, 0), (0.35, 0.3)], 12).translate([x, y, thick - 0.15])
            for x in (-wide / 5, wide / 5) for y in np.linspace(0, long * 0.38, 4)]
    return (Assembly(("medium_wrap", "prismatic_four", "parallel_extension", "index_extension"))
            .add("grip", body).add("button", *dots).shape())


def book(rng: np.random.Generator) -> Shape:
    long, wide, thick = rng.uniform(15, 25), rng.uniform(10, 17), rng.uniform(0.8, 4.5)
    pages = box((wide - 0.4, long - 0.5, thick - 0.3)).translate([0.1, 0, 0])
    spine = box((0.25, long, thick)).translate([-wide / 2, 0, 0])
    covers = [box((wide, long, 0.2)).translate([0, 0, side * (thick / 2 - 0.1)]) for side in (1, -1)]
    return Assembly(SLABS).add("body", pages, spine, *covers).shape()


def carton(rng: np.random.Generator) -> Shape:
    size = rng.uniform((5, 2, 7), (9, 7, 20))
    return Assembly().add("body", box(size, rng.choice([0.0, 0.15]))).shape()


def block(rng: np.random.Generator) -> Shape:
    size = rng.uniform(2.2, 8.5, 3)
    return Assembly().add("body", box(size, rng.uniform(0, 0.6))).shape()


def soap(rng: np.random.Generator) -> Shape:
    size = rng.uniform((7, 4.5, 2), (10, 6.5, 3.5))
    return Assembly(("prismatic_four", "power_sphere", "quadpod")).add(
        "body", superquadric(size / 2, rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9))).shape()


def ball(rng: np.random.Generator) -> Shape:
    radius = rng.uniform(1.6, 4.8)
    return Assembly(BALLS).add("body", ellipsoid((radius,) * 3, 64)).shape()


def apple(rng: np.random.Generator) -> Shape:
    radius, squash = rng.uniform(3.0, 4.6), rng.uniform(0.85, 1.1)
    angle = np.linspace(-88, 88, 40)
    r = radius * np.cos(np.radians(angle)) ** 0.8
    z = radius * squash * np.sin(np.radians(angle)) - 0.9 * np.exp(-(r / 0.8) ** 2) * np.sign(angle) * (angle > 0)
    stem = capsule((0, 0, radius * squash * 0.6), (0.3, 0, radius * squash + 0.9), 0.15)
    return Assembly(BALLS).add("body", lathe(np.stack([r, z], 1))).add("stalk", stem).shape()


def banana(rng: np.random.Generator) -> Shape:
    bend, radius = rng.uniform(7, 14), rng.uniform(1.4, 2.0)
    span = np.degrees(rng.uniform(14, 19) / bend)
    path = arc((0, 0, 0), (bend, bend), 90 - span / 2, 90 + span / 2, 32)
    along = np.linspace(-1, 1, 32)
    widths = radius * (1 - 0.85 * np.abs(along) ** 4)
    return Assembly(("medium_wrap", "small_diameter", "prismatic_four")).add(
        "body", sweep(path, widths, up=(0, 1, 0), sides=int(rng.choice([5, 6, 16])))).shape()


def pear(rng: np.random.Generator) -> Shape:
    """Pears, eggs, avocados, lemons."""
    radius, long, top = rng.uniform(2.0, 4.2), rng.uniform(5, 11), rng.uniform(0.3, 0.9)
    t = np.linspace(0.02, 0.98, 40)
    r = radius * np.sin(np.pi * t) ** 0.7 * (1 - (1 - top) * t)
    return Assembly(BALLS).add("body", lathe(np.stack([r, long * t], 1))).shape()


def camera(rng: np.random.Generator) -> Shape:
    wide, tall, thick = rng.uniform(10, 14), rng.uniform(6.5, 9), rng.uniform(3, 4.5)
    body = box((wide, thick, tall), 0.5)
    radius = rng.uniform(2.4, 3.4)
    lens = lathe([(radius, 0), (radius, 3), (radius * 0.9, rng.uniform(4, 8))], 40).rotate([90, 0, 0]).translate(
        [0.5, -thick / 2 + 0.5, -0.3])
    bump = box((4, thick * 0.8, 2.2), 0.4).translate([0.5, 0, tall / 2 + 0.4])
    grip = capsule((-wide / 2 + 1.0, -thick / 2, -tall / 2 + 1.8), (-wide / 2 + 1.0, -thick / 2, tall / 2 - 1.8), 1.4)
    button = lathe([(0.5, 0), (0.45, 0.5)], 20).translate([-wide / 2 + 1.2, -0.8, tall / 2 - 0.1])
    return (Assembly(("medium_wrap", "large_diameter", "parallel_extension", "prismatic_four", "extension"))
            .add("grip", body, bump, grip).add("lens", lens).add("trigger", button).shape())


def flashlight(rng: np.random.Generator) -> Shape:
    long, radius, head = rng.uniform(9, 20), rng.uniform(1.1, 2.0), rng.uniform(1.7, 3.4)
    head = max(head, radius)
    grip = lathe([(radius * 0.9, 0), (radius, 0.4), (radius, long)], 36)
    lamp = lathe(smooth([(radius, long - 0.2), (head, long + 2), (head, long + 4)], 16), 36)
    return Assembly((*FISTS, "large_diameter")).add("head", lamp).add("handle", grip).shape()


def key(rng: np.random.Generator) -> Shape:
    bow, thick = rng.uniform(2.0, 3.2), rng.uniform(0.22, 0.4)
    long = rng.uniform(2.8, 5)
    head = extrude(oval(bow, bow * rng.uniform(0.8, 1.1), rng.uniform(2, 5)), thick)
    hole = extrude(oval(0.6, 0.6), 3).translate([-bow * 0.3, 0, -1])
    teeth = np.linspace(0, long, 12)
    cut = 0.35 - 0.2 * rng.random(12)
    outline = np.concatenate([np.stack([teeth, -cut], 1), [(long, 0.4), (0, 0.4)]])
    blade = extrude(outline, thick * 0.8).translate([bow / 2 - 0.2, 0, thick * 0.1])
    return Assembly(("lateral", "palmar_pinch", "tripod")).add("blade", blade).add("grip", head).cut(hole).shape()


def ring(rng: np.random.Generator) -> Shape:
    """Rings, bracelets, rolls of tape, quoits."""
    radius = rng.uniform(1.6, 8)
    wire = rng.uniform(0.25, min(1.6, radius * 0.35))
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    path = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    widths = np.tile([wire, wire * rng.uniform(0.6, 2.2)], (64, 1))
    return Assembly().add("body", sweep(path, widths, closed=True)).shape()


def door_handle(rng: np.random.Generator) -> Shape:
    long, radius = rng.uniform(9, 14), rng.uniform(0.8, 1.3)
    plate = box((rng.uniform(4, 5.5), 0.9, rng.uniform(6, 18)), 0.2)
    away = rng.uniform(4.5, 6)
    drop = rng.uniform(-1, 0.5)
    path = smooth([(0, -0.2, 0), (0.1, -away * 0.8, 0), (1.5, -away, 0), (long * 0.6, -away, drop * 0.5),
                   (long, -away * 0.95, drop)], 40)
    bar = sweep(path, np.tile([radius, radius * rng.uniform(0.7, 1.1)], (40, 1)))
    return Assembly((*FISTS, "fixed_hook")).add("base", plate).add("handle", bar).shape()


def drawer_pull(rng: np.random.Generator) -> Shape:
    """A bow handle on a board."""
    span, away, wire = rng.uniform(9.5, 14), rng.uniform(3.4, 5), rng.uniform(0.4, 0.8)
    path = smooth([(-span / 2, 0.2, 0), (-span / 2, -away * 0.8, 0), (-span / 2 + 1, -away, 0), (span / 2 - 1, -away,
                                                                                                 0),
                   (span / 2, -away * 0.8, 0), (span / 2, 0.2, 0)], 48)
    board = box((span + rng.uniform(3, 6), 1.2, rng.uniform(4, 9)), 0.1)
    return (Assembly((*FISTS, "fixed_hook")).add("base", board)
            .add("handle", sweep(path, wire)).shape())


def knob(rng: np.random.Generator) -> Shape:
    radius, deep, neck = rng.uniform(1.5, 3.4), rng.uniform(1.5, 3.5), rng.uniform(2, 4)
    top = smooth([(radius * 0.5, neck), (radius, neck + deep * 0.4), (radius * 0.9, neck + deep * 0.85), (0.2,
                                                                                                          neck + deep)])
    stem = lathe([(3.0 * rng.uniform(0.8, 1.1), 0), (2.4, 0.5), (radius * 0.45, 0.9), (radius * 0.45, neck + 0.3)], 36)
    return (Assembly((*BALLS, "power_disk")).add("base", stem)
            .add("knob", lathe(top, int(rng.choice([6, 8, 40])))).shape())


def lightbulb(rng: np.random.Generator) -> Shape:
    radius, long = rng.uniform(2.4, 4.2), rng.uniform(8, 12)
    glass = lathe(smooth([(1.3, 2.4), (1.6, 3.5), (radius, long - radius), (radius * 0.75, long - radius * 0.35),
                          (0.1, long)], 40))
    cap = lathe([(0.4, 0), (1.3, 0.6), (1.35, 2.6)], 32)
    return Assembly(BALLS).add("body", glass).add("cap", cap).shape()


def toy_car(rng: np.random.Generator) -> Shape:
    long, wide, tall = rng.uniform(6, 12), rng.uniform(2.6, 5), rng.uniform(1.5, 3)
    body = box((long, wide, tall), 0.4)
    cabin = box((long * 0.5, wide * 0.85, tall * 0.9), 0.4).translate([-long * 0.05, 0, tall * 0.8])
    radius = tall * 0.45
    wheels = [lathe([(radius, 0), (radius, 0.8)], 24).rotate([90, 0, 0]).translate([x, y, -tall / 2])
              for x in (-long * 0.3, long * 0.3) for y in (wide / 2 + 0.3, -wide / 2 + 0.5)]
    return Assembly().add("body", body, cabin).add("wheels", *wheels).shape()


def toy_animal(rng: np.random.Generator) -> Shape:
    """A body, a head and legs: bears, elephants, ducks."""
    size = rng.uniform(2.2, 4)
    body = ellipsoid(size * rng.uniform((1.0, 0.7, 0.7), (1.6, 0.95, 1.0)))
    reach = size * rng.uniform(0.9, 1.3)
    head = ellipsoid(size * rng.uniform(0.5, 0.75) * np.array([1, 0.95, 1])).translate([reach, 0, size * 0.75])
    legs = [capsule((x, y, 0), (x * 1.15, y * 1.1, -size * rng.uniform(1.1, 1.5)), size * rng.uniform(0.2, 0.3))
            for x in (-size * 0.6, size * 0.6) for y in (-size * 0.4, size * 0.4)]
    ears = [ellipsoid((0.12 * size, 0.3 * size, 0.3 * size)).translate([reach, side * size * 0.5, size * 1.2])
            for side in (1, -1)]
    nose = capsule((reach, 0, size * 0.75), (reach + size * rng.uniform(0.5, 1.1), 0, size * rng.uniform(0.1, 0.7)),
                   size * 0.25, size * 0.15)
    return Assembly().add("body", body).add("legs", *legs).add("head", head, nose, *ears).shape()


def figurine(rng: np.random.Generator) -> Shape:
    """Smooth lumps that grow into one another."""
    lumps = []
    at = np.zeros(3)
    for _ in range(int(rng.integers(2, 5))):
        radii = rng.uniform(1.2, 3.4, 3)
        lumps.append(ellipsoid(radii).rotate(list(rng.uniform(0, 360, 3))).translate(list(at)))
        way = rng.normal(size=3)
        at = at + way / np.linalg.norm(way) * radii.min() * rng.uniform(0.8, 1.3)
    return Assembly().add("body", *lumps).shape()


def superquadrics(rng: np.random.Generator) -> Shape:
    radii = rng.uniform(0.8, 5, 3)
    return Assembly().add("body", superquadric(radii, *rng.uniform(0.25, 1.9, 2))).shape()


def vase(rng: np.random.Generator) -> Shape:
    """A turned solid of any outline."""
    height = rng.uniform(6, 22)
    radii = rng.uniform(1.0, 4.5, 5)
    return Assembly().add("body", lathe(smooth(np.stack([radii, np.linspace(0, height, 5)], 1), 40))).shape()


def gamepad(rng: np.random.Generator) -> Shape:
    wide, deep, thick = rng.uniform(13, 16), rng.uniform(5, 6.5), rng.uniform(2.4, 3.2)
    body = box((wide * 0.85, deep, thick), 1.0)
    horns = [capsule((side * wide * 0.38, 0, 0), (side * wide * 0.5, -deep * 1.0, -1.2), 2.0, 1.5) for side in (1, -1)]
    knobs = [lathe([(0.5, 0), (0.5, 0.5), (0.95, 0.7), (0.9, 1.1)], 20).translate([side * wide * 0.2, 0,
                                                                                   thick / 2 - 0.1])
             for side in (1, -1)]
    return (Assembly(("medium_wrap", "large_diameter", "parallel_extension", "prismatic_four")).add("body", body)
            .add("grip", *horns).add("button", *knobs).shape())


def mouse(rng: np.random.Generator) -> Shape:
    size = rng.uniform((9.5, 5.6, 3.2), (12.5, 7, 4.4)) / 2
    shell = superquadric((size[0], size[1], 2 * size[2]), 0.9, 0.7).trim_by_plane([0, 0, 1.0], 0.0)
    return Assembly(("power_disk", "prismatic_four", "precision_disk", "power_sphere", "quadpod", "extension")).add(
        "body", shell).shape()


def tube(rng: np.random.Generator) -> Shape:
    """A squeeze tube: round at the cap, flat at the end."""
    long, radius, wide = rng.uniform(9, 17), rng.uniform(1.4, 2.4), rng.uniform(2.3, 3.6)
    along = np.linspace(0, 1, 24)
    path = np.stack([long * along, 0 * along, 0 * along], 1)
    widths = np.stack([radius + (wide - radius) * along, radius + (0.15 - radius) * along**1.3], 1)
    cap = lathe([(radius * 0.6, -2.2), (radius * 0.7, 0.3)], 24).rotate([0, 90, 0])
    return (Assembly(("prismatic_four", "medium_wrap", "quadpod", "lateral", "tripod", "parallel_extension"))
            .add("body", sweep(path, widths)).add("cap", cap).shape())


def card(rng: np.random.Generator) -> Shape:
    size = rng.uniform((6, 4, 0.1), (12, 8, 0.45))
    return Assembly(("lateral", "palmar_pinch", "extension", "parallel_extension", "prismatic_four", "tripod")).add(
        "body", box(size)).shape()


def bead(rng: np.random.Generator) -> Shape:
    """Small things: dice, nuts, corks, pebbles."""
    radii = rng.uniform(0.5, 1.6, 3)
    return Assembly(("palmar_pinch", "tripod", "lateral", "quadpod")).add(
        "body", superquadric(radii, *rng.uniform(0.15, 1.2, 2))).shape()


def brush_block(rng: np.random.Generator) -> Shape:
    """A scrubbing brush, a sponge, a stapler: long, and held from above."""
    long, wide, tall = rng.uniform(10, 16), rng.uniform(3, 6), rng.uniform(2, 3.5)
    back = superquadric((long / 2, wide / 2, tall), 0.8, 0.5).trim_by_plane([0, 0, 1.0], 0.0)
    bristles = extrude(oval(long * 0.9, wide * 0.85, 4), 2.0).translate([0, 0, -1.9])
    return (Assembly(("prismatic_four", "power_disk", "medium_wrap", "parallel_extension", "large_diameter"))
            .add("grip", back).add("base", bristles).shape())


def lamp_shade(rng: np.random.Generator) -> Shape:
    """A cone open at both ends."""
    top, bottom, tall, wall = rng.uniform(3, 6), rng.uniform(6, 11), rng.uniform(7, 14), rng.uniform(0.12, 0.3)
    slope = (bottom - top) * 0.1 / tall
    shade = lathe([(bottom, 0), (top, tall)], 64) - lathe(
        [(bottom - wall + slope, -0.1), (top - wall - slope, tall + 0.1)], 64)
    return Assembly(("extension", "parallel_extension", "prismatic_four", "lateral", "palmar_pinch")).add(
        "body", shade).shape()


def goggles(rng: np.random.Generator) -> Shape:
    """Spectacles: thin frames and two folded-out arms."""
    wide, wire = rng.uniform(5, 6), rng.uniform(0.2, 0.4)
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    parts, arms = [], []
    for side in (1, -1):
        loop = np.stack([side * (wide / 2 + 0.6) + wide / 2 * np.cos(angle), 0 * angle, 1.9 * np.sin(angle)], 1)
        parts.append(sweep(loop, wire, up=(0, 1, 0), closed=True))
        arms.append(sweep(smooth([(side * (wide + 0.6), 0, 0.8), (side * (wide + 0.9), 9, 0.8),
                                  (side * (wide + 0.8), 13.5, -2.0)]), np.tile([0.15, 0.35], (24, 1))))
    bridge = sweep(smooth([(-0.9, 0, 0.3), (0, -0.2, 0.7), (0.9, 0, 0.3)], 12), 0.22, up=(0, 1, 0))
    return (Assembly(("palmar_pinch", "lateral", "tripod", "quadpod")).add("lens", bridge, *parts)
            .add("handle", *arms).shape())
