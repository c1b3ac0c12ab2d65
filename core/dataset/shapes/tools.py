"""Tools of the workshop: hammers, drivers, pliers, drills."""

from __future__ import annotations

import numpy as np

from core.dataset.shapes.cutlery import GRIPS, _grip
from core.dataset.shapes.solid import Assembly, Shape, arc, box, capsule, extrude, lathe, oval, smooth, sweep

FISTS = ("small_diameter", "medium_wrap", "adducted_thumb", "index_extension")


def hammer(rng: np.random.Generator) -> Shape:
    """The striking face looks along -y; the head is at +x."""
    length, shaft = rng.uniform(22, 33), rng.uniform(0.9, 1.3)
    head = rng.uniform(9, 13)
    along = np.linspace(0, 1, 30)
    path = np.stack([length * along, np.zeros(30), np.zeros(30)], 1)
    swell = np.interp(along, [0, 0.03, 0.2, 0.45, 0.6, 1], [0.8, 1.25, 1.35, 1.2, 0.9, 0.85])
    grip = sweep(path[:17], np.outer(swell[:17], [shaft, shaft * 0.85]))
    neck = sweep(path[15:], np.outer(swell[15:], [shaft, shaft * 0.85]))
    poll = lathe([(rng.uniform(1.2, 1.7), 0), (1.3, head * 0.4), (1.2, head * 0.6)], 28).rotate([-90, 0, 0])
    poll = poll.translate([length - 0.5, -head * 0.5, 0])
    tail = capsule((length - 0.5, head * 0.1, 0), (length - rng.uniform(0.5, 2), head * 0.5, 0), 1.25, 0.4)
    return (Assembly(FISTS).add("neck", neck).add("head", poll, tail).add("handle", grip).shape())


def screwdriver(rng: np.random.Generator) -> Shape:
    handle, radius = rng.uniform(7.5, 12), rng.uniform(1.0, 1.9)
    shaft, thin = rng.uniform(6, 17), rng.uniform(0.22, 0.45)
    profile = smooth([(radius * 0.7, 0), (radius, 0.8), (radius * 0.92, handle * 0.5), (radius, handle * 0.8),
                      (radius * 0.55, handle - 0.6), (radius * 0.5, handle)], 30)
    grip = lathe(profile, int(rng.choice([6, 8, 36])))
    bit = lathe([(thin, handle - 0.2), (thin, handle + shaft), (thin * 0.6, handle + shaft + 0.4)], 20)
    return Assembly((*FISTS, "power_sphere", "tripod")).add("blade", bit).add("handle", grip).shape()


def wrench(rng: np.random.Generator) -> Shape:
    length, wide = rng.uniform(13, 24), rng.uniform(0.9, 1.5)
    thick = rng.uniform(0.5, 0.9)
    bar = box((length, 2 * wide * 0.75, thick), 0.2)
    size = wide * rng.uniform(1.5, 1.9)
    jaw = extrude(oval(2.4 * size, 2.2 * size, 2.2), thick * 1.3).translate([length / 2 + size * 0.7, 0, -thick * 0.65])
    gap = box((2 * size, size * 0.95, 3)).translate([length / 2 + size * 1.7, 0, 0])
    ring = extrude(oval(2.3 * size, 2.3 * size), thick * 1.3).translate([-length / 2 - size * 0.7, 0, -thick * 0.65])
    eye = extrude(oval(1.2 * size, 1.2 * size), 4).translate([-length / 2 - size * 0.7, 0, -2])
    return Assembly((*FISTS, "lateral", "prismatic_four")).add("jaws", jaw, ring).add("handle", bar).cut(gap,
                                                                                                         eye).shape()


def pliers(rng: np.random.Generator) -> Shape:
    long, spread = rng.uniform(9.5, 12.5), rng.uniform(2.2, 4.6)
    wide, thick = rng.uniform(0.5, 0.75), rng.uniform(0.45, 0.7)
    handles = []
    for side in (1, -1):
        path = smooth([(0.3, side * 0.2, 0), (-long * 0.35, side * spread * 0.48, 0), (-long, side * spread / 2, 0)])
        handles.append(sweep(path, np.tile([wide, thick], (24, 1))))
    pivot = lathe([(1.3, -0.5), (1.3, 0.5)], 28)
    nose = rng.uniform(3, 6)
    jaws = [capsule((0, side * 0.35, 0), (nose, side * 0.3, 0), 0.55, 0.3) for side in (1, -1)]
    return (Assembly(("medium_wrap", "prismatic_four", "large_diameter", "power_sphere", "parallel_extension"))
            .add("jaws", pivot, *jaws).add("handle", *handles).shape())


def scissors(rng: np.random.Generator) -> Shape:
    blade, loop = rng.uniform(7, 11), rng.uniform(1.9, 2.6)
    thick, wire = rng.uniform(0.2, 0.35), rng.uniform(0.35, 0.5)
    blades = []
    loops = []
    for side in (1, -1):
        outline = np.array([[0, -0.7], [blade * 0.4, -0.7], [blade, 0.05], [blade * 0.4, 0.35], [0, 0.7]])
        blades.append(extrude(outline * [1, side], thick).rotate([0, 0, 6 * side]).translate(
            [0, 0, 0 if side > 0 else -thick]))
        angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        long = loop * rng.uniform(1.0, 1.5)
        ring = np.stack([-5.0 - long + long * np.cos(angle), side * (loop + 0.35) + loop * np.sin(angle),
                         np.zeros(32)], 1)
        loops.append(sweep(ring, np.tile([wire, wire * 1.3], (32, 1)), closed=True))
        loops.append(capsule((0, -0.15 * side, 0), (-5.2, side * (loop + 0.2), 0), 0.45))
    pivot = lathe([(0.75, -0.5), (0.75, 0.5)], 24)
    return (Assembly(("tripod", "quadpod", "prismatic_four", "lateral", "fixed_hook"))
            .add("blade", pivot, *blades).add("loop", *loops).shape())


def drill(rng: np.random.Generator) -> Shape:
    """A pistol: the bit looks along +x, the trigger sits below the body at the grip's front."""
    radius, long = rng.uniform(2.1, 3.0), rng.uniform(11, 17)
    grip_long = rng.uniform(9, 12)
    outline = smooth([(radius * 0.8, 0), (radius, 1.0), (radius, long * 0.75), (radius * 0.7, long)])
    body = lathe(outline).rotate([0, 90, 0])
    chuck = lathe([(radius * 0.65, long - 0.3), (radius * 0.45, long + 3)], 32).rotate([0, 90, 0])
    bit = lathe([(0.3, long + 2.8), (0.3, long + 8), (0.05, long + 8.5)], 16).rotate([0, 90, 0])
    slope = rng.uniform(0.05, 0.3)
    start = np.array([2.4, 0, -radius * 0.6])
    end = start + grip_long * np.array([-slope, 0, -1])
    wide, thick = rng.uniform(1.6, 2.0), rng.uniform(1.25, 1.6)
    grip = sweep(np.linspace(start, end, 16), np.tile([wide, thick], (16, 1)), up=(0, 1, 0))
    trigger = box((1.0, 1.2, 2.2), 0.35).translate([2.4 + wide * 0.95, 0, -radius - 1.5])
    foot = box((rng.uniform(6, 9), rng.uniform(4.5, 6.5), rng.uniform(2.5, 4)), 0.6).translate(list(end - [0, 0, 0.8]))
    return (Assembly(("medium_wrap", "index_extension", "small_diameter")).add("head", body, chuck, bit)
            .add("base", foot).add("grip", grip).add("trigger", trigger).shape())


def spray_bottle(rng: np.random.Generator) -> Shape:
    radius, height = rng.uniform(3.2, 4.4), rng.uniform(12, 17)
    profile = smooth([(radius * 0.95, 0), (radius, 0.8), (radius, height * 0.65), (1.5, height), (1.4, height + 3.5)],
                     40)
    top = height + 3.6
    nozzle = box((7.5, 2.0, 2.2), 0.5).translate([1.0, 0, top])
    trigger = sweep(smooth([(3.2, 0, top - 0.6), (3.9, 0, top - 2.5), (3.4, 0, top - 5)]),
                    np.tile([0.7, 0.35], (24, 1)), up=(1, 0, 0))
    upper = profile[:, 1] > 0.6 * height
    neck = lathe([*profile[upper], (1.4, top)], 48)
    lower = lathe(profile[: int((~upper).sum()) + 1])
    return (Assembly(("medium_wrap", "large_diameter", "index_extension", "small_diameter")).add("body", lower)
            .add("grip", neck).add("nozzle", nozzle).add("trigger", trigger).shape())


def saw(rng: np.random.Generator) -> Shape:
    """A hand saw: a thin blade and a closed D handle."""
    blade, deep = rng.uniform(16, 26), rng.uniform(4.5, 8)
    thick = rng.uniform(0.1, 0.2)
    outline = [(0, -deep * 0.6), (blade, -deep * 0.15), (blade, deep * 0.15), (0, deep * 0.4)]
    flat = extrude(outline, thick).translate([0, 0, -thick / 2])
    sharp = extrude([(0, -deep * 0.6), (blade, -deep * 0.15), (blade, -deep * 0.15 + 0.35), (0, -deep * 0.6 + 0.35)],
                    thick * 1.04).translate([0, 0, -thick * 0.52])
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([-4.3 + 4.3 * np.cos(angle), -0.4 + 5.6 * np.sin(angle), np.zeros(40)], 1)
    handle = sweep(ring, np.tile([rng.uniform(1.0, 1.25), rng.uniform(0.9, 1.2)], (40, 1)), closed=True)
    return (Assembly((*FISTS, "fixed_hook")).add("blade", flat).add("edge", sharp).add("handle", handle)
            .shape())


def iron(rng: np.random.Generator) -> Shape:
    """A flat iron: a sole with a handle bar over it."""
    long, wide = rng.uniform(17, 23), rng.uniform(9, 12)
    x = np.linspace(0, long, 24)
    half = wide / 2 * np.sqrt(np.clip(1 - (x / long) ** 2.5, 0.001, 1))
    outline = np.concatenate([np.stack([x, -half], 1), np.stack([x, half], 1)[::-1]])
    sole = extrude(outline, rng.uniform(3, 4.5), 0.75)
    rise = rng.uniform(8.5, 10.5)
    path = smooth([(1.5, 0, 2), (1.8, 0, rise * 0.8), (4, 0, rise), (long * 0.6, 0, rise * 0.95),
                   (long * 0.68, 0, rise * 0.6), (long * 0.66, 0, 2)], 36)
    bar = sweep(path, np.tile([rng.uniform(1.3, 1.6), rng.uniform(1.1, 1.4)], (36, 1)), up=(0, 1, 0))
    return Assembly((*FISTS, "fixed_hook")).add("sole", sole).add("handle", bar).shape()


def clamp(rng: np.random.Generator) -> Shape:
    """A spring clamp: two curved legs."""
    long, spread = rng.uniform(7, 11), rng.uniform(3.5, 6.5)
    legs, jaws = [], []
    for side in (1, -1):
        path = smooth([(0, 0.3 * side, 0), (-long * 0.5, spread * 0.32 * side, 0), (-long, spread / 2 * side, 0)])
        legs.append(sweep(path, np.tile([0.55, rng.uniform(0.9, 1.4)], (24, 1))))
        jaws.append(capsule((0, 0.4 * side, 0), (long * 0.6, 0.55 * side, 0), 0.75, 0.5))
    return (Assembly(("prismatic_four", "medium_wrap", "parallel_extension", "palmar_pinch", "quadpod"))
            .add("jaws", *jaws).add("grip", *legs).shape())


def dumbbell(rng: np.random.Generator) -> Shape:
    bar, radius = rng.uniform(10.5, 14), rng.uniform(1.3, 1.8)
    plate, thick = rng.uniform(3.5, 7), rng.uniform(2.5, 6)
    grip = lathe([(radius, -bar / 2 - 0.2), (radius * rng.uniform(1.0, 1.15), 0), (radius, bar / 2 + 0.2)])
    segments = int(rng.choice([6, 8, 40]))
    ends = [lathe([(plate * 0.92, 0), (plate, 0.5), (plate, thick - 0.5), (plate * 0.92, thick)], segments).translate(
        [0, 0, z]) for z in (bar / 2, -bar / 2 - thick)]
    return Assembly(("medium_wrap", "small_diameter", "large_diameter")).add("head", *ends).add("grip", grip).shape()


def kettlebell(rng: np.random.Generator) -> Shape:
    """A bell with an arch to hold it by; a padlock and a handbag are near to it."""
    from core.dataset.shapes.solid import ellipsoid

    size = rng.uniform(3.0, 8.0)
    thick = rng.uniform(0.9, 1.6)
    half = rng.uniform(4.6, 6.0)
    rise = rng.uniform(5.5, 7.5)
    bell = ellipsoid((size + 2, rng.uniform(0.7, 1) * (size + 1.5), size))
    arch = arc((0, 0, size * 0.4), (half, rise), -5, 185, 32)
    return (Assembly((*FISTS, "fixed_hook")).add("body", bell)
            .add("handle", sweep(arch, thick, up=(0, 1, 0))).shape())


def trowel(rng: np.random.Generator) -> Shape:
    blade, wide = rng.uniform(9, 15), rng.uniform(3, 5)
    outline = [(0, -wide * 0.8), (blade * 0.5, -wide), (blade, 0), (blade * 0.5, wide), (0, wide * 0.8)]
    flat = extrude(outline, 0.25).translate([3.5, 0, -rng.uniform(1, 3)])
    z = flat.bounding_box()[2] + 0.12
    neck = sweep(smooth([(-0.5, 0, 0), (1.5, 0, 0), (2.8, 0, z), (6.0, 0, z)]), 0.4)
    return (Assembly(GRIPS).add("blade", flat, neck)
            .add("handle", _grip(rng, rng.uniform(10, 13), rng.uniform(1.1, 1.6), rng.uniform(1.1, 1.5))).shape())
