"""Long things with a working end: knives, spoons, brushes, pens, sticks."""

from __future__ import annotations

import numpy as np

from core.dataset.shapes.solid import (
    Assembly,
    Shape,
    box,
    capsule,
    ellipsoid,
    extrude,
    hollow,
    lathe,
    oval,
    smooth,
    sweep,
)

GRIPS = ("small_diameter", "medium_wrap", "adducted_thumb", "index_extension", "prismatic_four", "lateral")
FINE = ("writing_tripod", "tripod", "lateral", "palmar_pinch", "prismatic_four", "adducted_thumb")


def _grip(rng: np.random.Generator, length: float, wide: float, thick: float, swell: float = 0.15) -> object:
    """A handle along -x from the origin, flat across z."""
    along = np.linspace(0, 1, 20)
    bulge = 1 + swell * np.sin(np.pi * along * rng.uniform(0.8, 1.6))
    ends = np.minimum(1, np.sqrt(np.clip(1 - (2 * along - 1) ** 10, 0.05, 1)))
    path = np.stack([-length * along + 0.3, np.zeros(20), np.zeros(20)], 1)
    return sweep(path, np.outer(bulge * ends, [wide, thick]))


def knife(rng: np.random.Generator) -> Shape:
    """The edge looks along -y; the blade lies in the plane of x and y."""
    blade, deep = rng.uniform(9, 21), rng.uniform(1.6, 4.5)
    handle, thick = rng.uniform(9.5, 12.5), rng.uniform(0.08, 0.2)
    x = np.linspace(0, blade, 20)
    spine = np.interp(x, [0, blade * 0.7, blade], [0.9, 0.9, 0.9 - deep * rng.uniform(0.2, 0.6)])
    belly = np.interp(x, [0, blade * 0.6, blade * 0.85, blade], [0.9 - deep, 0.9 - deep, 1.2 - deep, spine[-1] - 0.05])
    flat = extrude(np.concatenate([np.stack([x, belly], 1), np.stack([x, spine], 1)[::-1]]), thick)
    sharp = extrude(np.concatenate([np.stack([x, belly], 1), np.stack([x, np.minimum(belly + 0.35, spine - 0.01)],
                                                                      1)[::-1]]), thick * 1.02)
    centre = [0, 0, -thick / 2]
    grip = _grip(rng, handle, rng.uniform(1.0, 1.5), rng.uniform(0.7, 1.05))
    return (Assembly(("small_diameter", "medium_wrap", "adducted_thumb", "index_extension"))
            .add("blade", flat.translate(centre)).add("edge", sharp.translate([0, 0, -thick * 0.51]))
            .add("handle", grip).shape())


def spoon(rng: np.random.Generator) -> Shape:
    length, wide = rng.uniform(11, 19), rng.uniform(1.3, 2.6)
    deep = wide * rng.uniform(0.35, 0.6)
    long = wide * rng.uniform(1.3, 1.7)
    scoop = ellipsoid((long, wide, deep)) - ellipsoid((long - 0.16, wide - 0.16, deep - 0.16))
    scoop = scoop.trim_by_plane([0, 0, -1.0], -0.05).translate([length + long - 0.4, 0, 0])
    along = np.linspace(0, 1, 30)
    path = np.stack([length * along, np.zeros(30), 0.8 * (1 - along) * np.sin(np.pi * along) - 0.15 * along], 1)
    widths = np.stack([np.interp(along, [0, 0.25, 0.7, 1], [rng.uniform(0.6, 1.1), 0.6, 0.3, 0.35]),
                       np.full(30, rng.uniform(0.12, 0.35))], 1)
    return Assembly(FINE).add("scoop", scoop).add("handle", sweep(path, widths)).shape()


def fork(rng: np.random.Generator) -> Shape:
    length, wide = rng.uniform(11, 15), rng.uniform(1.9, 2.7)
    tines, count = rng.uniform(4, 5.5), int(rng.integers(3, 5))
    thick = rng.uniform(0.15, 0.25)
    along = np.linspace(0, 1, 30)
    path = np.stack([length * along, np.zeros(30), 0.7 * np.sin(np.pi * along) * (1 - along)], 1)
    widths = np.stack([np.interp(along, [0, 0.3, 0.75, 1], [rng.uniform(0.7, 1.1), 0.5, 0.3, 0.5]),
                       np.full(30, thick)], 1)
    root = box((2.2, wide, 2 * thick), 0.1).translate([length + 0.9, 0, 0])
    head = [root]
    for k in range(count):
        y = (k / (count - 1) - 0.5) * (wide - 0.4)
        head.append(sweep(smooth([(length + 1, y, 0), (length + tines * 0.6, y, -0.2), (length + tines, y, 0.35)]),
                          np.linspace(0.17, 0.1, 24)))
    return Assembly(FINE).add("head", *head).add("handle", sweep(path, widths)).shape()


def spatula(rng: np.random.Generator) -> Shape:
    handle, stem = rng.uniform(10, 14), rng.uniform(8, 14)
    long, wide = rng.uniform(7, 11), rng.uniform(5, 9)
    blade = extrude(oval(long, wide, rng.uniform(3, 8)), rng.uniform(0.12, 0.35))
    tilt = rng.uniform(-25, 5)
    blade = blade.translate([long / 2 - 0.5, 0, 0]).rotate([0, tilt, 0]).translate([stem, 0, 0])
    shaft = capsule((-0.5, 0, 0.05), (stem + 0.5, 0, 0.08), rng.uniform(0.3, 0.45))
    return (Assembly(GRIPS).add("head", blade, shaft)
            .add("handle", _grip(rng, handle, rng.uniform(0.9, 1.5), rng.uniform(0.7, 1.1))).shape())


def ladle(rng: np.random.Generator) -> Shape:
    radius, length = rng.uniform(3, 4.8), rng.uniform(18, 27)
    scoop = hollow(smooth([(radius * 0.3, 0), (radius * 0.85, radius * 0.35), (radius, radius)], 20), 0.15, 0.15)
    top = radius - 0.15
    path = smooth([(radius - 0.1, 0, top), (radius + 1.5, 0, top + 3), (radius + 2.5, 0, top + length)])
    widths = np.stack([np.linspace(0.5, rng.uniform(0.6, 1.2), 24), np.linspace(0.2, rng.uniform(0.25, 0.5), 24)], 1)
    return Assembly(GRIPS).add("scoop", scoop).add("handle", sweep(path, widths, up=(1, 0, 0))).shape()


def paintbrush(rng: np.random.Generator) -> Shape:
    wide, handle = rng.uniform(1.2, 4.2), rng.uniform(9, 14)
    long = rng.uniform(3, 5.5)
    bristles = box((long, 2 * wide, rng.uniform(0.7, 1.4)), 0.25).translate([1.9 + long / 2, 0, 0])
    ferrule = box((3, 2 * wide + 0.1, 1.3), 0.15).translate([0.8, 0, 0])
    grip = _grip(rng, handle, rng.uniform(0.7, 1.2), rng.uniform(0.5, 0.8), 0.4)
    return (Assembly(("tripod", "lateral", "quadpod", "small_diameter", "writing_tripod", "palmar_pinch"))
            .add("bristles", bristles).add("ferrule", ferrule).add("handle", grip).shape())


def toothbrush(rng: np.random.Generator) -> Shape:
    handle = rng.uniform(12, 15)
    grip = _grip(rng, handle, rng.uniform(0.5, 0.75), rng.uniform(0.4, 0.6), 0.3)
    neck = capsule((0, 0, 0), (5, 0, 0), 0.3)
    head = box((2.8, 1.1, 0.5), 0.2).translate([5.5, 0, 0])
    bristles = box((2.4, 0.9, 1.2), 0.1).translate([5.5, 0, 0.7])
    return (Assembly(("small_diameter", "adducted_thumb", "tripod", "writing_tripod", "lateral"))
            .add("head", neck, head).add("bristles", bristles).add("handle", grip).shape())


def hairbrush(rng: np.random.Generator) -> Shape:
    handle = rng.uniform(9, 13)
    long, wide = rng.uniform(8, 12), rng.uniform(3, 6.5)
    thick = rng.uniform(1.2, 1.8)
    pad = extrude(oval(long, wide, 2.4), thick).translate([long / 2 - 0.5, 0, -thick / 2])
    bristles = extrude(oval(long * 0.85, wide * 0.8, 2.4), 1.6).translate([long / 2 - 0.5, 0, thick / 2 - 0.1])
    return (Assembly(GRIPS).add("head", pad).add("bristles", bristles)
            .add("handle", _grip(rng, handle, rng.uniform(0.9, 1.4), rng.uniform(0.8, 1.1))).shape())


def pen(rng: np.random.Generator) -> Shape:
    length, radius = rng.uniform(12, 15.5), rng.uniform(0.35, 0.9)
    cone = rng.uniform(1.0, 2.0)
    segments = int(rng.choice([6, 8, 32, 32]))
    barrel = lathe([(radius * 0.9, cone), (radius, cone + 0.5), (radius, length - 0.3), (radius * 0.85, length)],
                   segments)
    tip = lathe([(0.06, 0), (0.12, 0.2), (radius * 0.88, cone + 0.1)], 32)
    whole = Assembly(("writing_tripod", "tripod", "lateral", "adducted_thumb")).add("tip", tip).add("barrel", barrel)
    if rng.random() < 0.5:
        clip = box((0.25, 0.35, 3.6), 0.1).translate([radius + 0.05, 0, length - 2.2])
        whole.add("clip", clip)
    return whole.shape()


def stick(rng: np.random.Generator) -> Shape:
    """A rod: a broom's shaft, a cane, a wand, a rolling pin."""
    length, radius = rng.uniform(18, 50), rng.uniform(0.5, 2.6)
    bend = rng.uniform(0, 0.02) * length
    path = smooth([(-length / 2, 0, 0), (0, 0, bend), (length / 2, 0, 0)], 30)
    widths = np.outer(np.linspace(1, rng.uniform(0.7, 1), 30), [radius, radius * rng.uniform(0.75, 1)])
    return Assembly().add("body", sweep(path, widths, sides=int(rng.choice([6, 16, 24])))).shape()


def tongs(rng: np.random.Generator) -> Shape:
    length, spread = rng.uniform(16, 24), rng.uniform(2.2, 4.5)
    wide, thick = rng.uniform(0.6, 1.0), rng.uniform(0.12, 0.25)
    arms, heads = [], []
    for side in (1, -1):
        path = smooth([(0, 0, 0.25 * side), (length * 0.3, 0, side * spread * 0.42), (length * 0.75, 0,
                                                                                      side * spread / 2)])
        arms.append(sweep(path, np.tile([wide, thick], (24, 1))))
        heads.append(sweep(smooth([(length * 0.74, 0, side * spread / 2), (length, 0, side * spread * 0.45)], 12),
                           np.tile([wide * 1.5, thick], (12, 1))))
    joint = capsule((-0.3, 0, -0.4), (-0.3, 0, 0.4), 0.5)
    return (Assembly(("prismatic_four", "quadpod", "parallel_extension", "palmar_pinch"))
            .add("head", *heads).add("grip", joint, *arms).shape())


def whisk(rng: np.random.Generator) -> Shape:
    handle, long = rng.uniform(9, 13), rng.uniform(9, 14)
    wide = rng.uniform(2.4, 3.8)
    balloon = ellipsoid((long / 2, wide, wide)) - ellipsoid((long / 2 - 0.25, wide - 0.25, wide - 0.25))
    return (Assembly(GRIPS).add("head", balloon.translate([long / 2 - 0.4, 0, 0]))
            .add("handle", _grip(rng, handle, rng.uniform(0.8, 1.3), rng.uniform(0.8, 1.2))).shape())


def racket(rng: np.random.Generator) -> Shape:
    handle, long = rng.uniform(9.5, 12), rng.uniform(14.5, 17)
    blade = extrude(oval(long, long * 0.95, 2.2), rng.uniform(0.9, 1.4)).translate([long / 2 - 0.8, 0, -0.55])
    return (Assembly(GRIPS).add("head", blade)
            .add("handle", _grip(rng, handle, rng.uniform(1.2, 1.5), rng.uniform(0.95, 1.25), 0.1)).shape())
