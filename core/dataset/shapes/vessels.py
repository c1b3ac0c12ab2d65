"""Things that hold something: cups, bottles, plates, pans."""

from __future__ import annotations

import numpy as np

from core.dataset.shapes.solid import Assembly, Shape, arc, capsule, hollow, lathe, oval, smooth, sweep

WRAPS = ("large_diameter", "medium_wrap", "prismatic_four", "power_sphere")
HANDLES = ("small_diameter", "medium_wrap", "fixed_hook", "adducted_thumb", "index_extension")


def _ear(rng: np.random.Generator, radius: float, low: float, high: float) -> np.ndarray:
    """(24, 3) a closed handle's path beside a wall at x = radius, from `high` round to `low`."""
    reach = rng.uniform(2.6, 4.2)
    middle, rise = (low + high) / 2, (high - low) / 2
    angle = np.radians(np.linspace(90, -90, 24))
    square = rng.uniform(0.5, 1.0)
    x = radius - 0.25 + reach * np.cos(angle) ** square
    return np.stack([x, np.zeros(24), middle + rise * np.sin(angle)], 1)


def _strap(rng: np.random.Generator) -> tuple[float, float]:
    """Half width and half thickness of a handle."""
    return rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.5)


def mug(rng: np.random.Generator) -> Shape:
    height, radius = rng.uniform(7.5, 11.5), rng.uniform(3.4, 4.7)
    taper, wall = rng.uniform(0.85, 1.05), rng.uniform(0.2, 0.45)
    profile = smooth([(radius * taper * 0.93, 0), (radius * taper, 0.5), (radius, height * 0.5), (radius, height)])
    low, high = height * rng.uniform(0.12, 0.25), height * rng.uniform(0.75, 0.9)
    path = _ear(rng, radius * min(1, taper), low, high)
    wide, thick = _strap(rng)
    body = hollow(profile, wall, wall * 1.3)
    cavity = lathe([(radius * taper - wall * 1.2, wall * 1.5), (radius - wall, height / 2), (radius - wall, height)])
    ear = sweep(path, np.tile([thick, wide], (24, 1)), up=(0, 1, 0))
    mouth = _mouth(radius, wall, height)
    types = (*HANDLES, "lateral", "tripod")
    return Assembly(types).add("body", body).add("handle", ear - cavity).add("mouth", mouth).shape()


def _mouth(radius: float, wall: float, height: float, deep: float = 1.2) -> object:
    """The upper end of a wall: where one drinks."""
    return lathe([(radius, height - deep), (radius, height)]) - lathe(
        [(radius - wall, height - deep - 0.1), (radius - wall, height + 0.1)])


def cup(rng: np.random.Generator) -> Shape:
    height, top = rng.uniform(7, 15), rng.uniform(3.0, 4.6)
    bottom, wall = top * rng.uniform(0.6, 1.0), rng.uniform(0.12, 0.35)
    profile = [(bottom, 0), (bottom + (top - bottom) * 0.5, height / 2), (top, height)]
    away = 1.0
    near_top = bottom + (top - bottom) * (height - away) / height
    lip = lathe([(near_top, height - away), (top, height)]) - lathe(
        [(near_top - wall, height - away - 0.01), (top - wall, height + 0.1)])
    return Assembly(WRAPS).add("body", hollow(profile, wall, wall * 1.5)).add("mouth", lip).shape()


def wineglass(rng: np.random.Generator) -> Shape:
    bowl, deep = rng.uniform(2.8, 4.5), rng.uniform(5, 10)
    stem, foot = rng.uniform(5, 9), rng.uniform(2.8, 4)
    wall = rng.uniform(0.15, 0.25)
    cup_profile = smooth([(0.5, stem - 0.2), (bowl * 0.75, stem + deep * 0.2), (bowl, stem + deep * 0.45),
                          (bowl * rng.uniform(0.7, 0.95), stem + deep)])
    shaft = smooth([(foot, 0), (foot, 0.2), (1.0, 0.6), (0.4, 1.6), (0.38, stem * 0.7), (0.6, stem + 0.2)], 30)
    return (Assembly(("tripod", "quadpod", "prismatic_four", "writing_tripod"))
            .add("stem", lathe(shaft)).add("bowl", hollow(cup_profile, wall, wall * 2)).shape())


def bottle(rng: np.random.Generator) -> Shape:
    height, radius = rng.uniform(14, 28), rng.uniform(2.4, 4.3)
    neck, shoulder = rng.uniform(1.1, 1.6), rng.uniform(0.55, 0.8)
    waist = rng.uniform(0.85, 1.0)
    profile = smooth([(radius * 0.9, 0), (radius, 0.8), (radius * waist, height * shoulder / 2),
                      (radius, height * shoulder), (neck, height * (shoulder + 0.13)), (neck, height - 2)], 40)
    cap = lathe([(neck + 0.25, height - 2.2), (neck + 0.25, height)], 32)
    return Assembly(WRAPS).add("body", lathe(profile)).add("lid", cap).shape()


def jar(rng: np.random.Generator) -> Shape:
    height, radius, lid = rng.uniform(6, 14), rng.uniform(2.8, 4.6), rng.uniform(0.9, 1.6)
    profile = smooth([(radius * 0.9, 0), (radius, 0.6), (radius, height - 1), (radius * 0.85, height)])
    top = lathe([(radius * 0.93, height - 0.2), (radius * 0.93, height + lid)], 40)
    return Assembly(WRAPS + ("power_disk",)).add("body", lathe(profile)).add("lid", top).shape()


def can(rng: np.random.Generator) -> Shape:
    radius, height = rng.uniform(2.5, 4.4), rng.uniform(5, 17)
    bead = rng.uniform(0.05, 0.2)
    profile = [(radius, 0), (radius, 0.3), (radius - bead, 0.5), (radius - bead, height - 0.5), (radius, height - 0.3),
               (radius, height)]
    return Assembly(WRAPS).add("body", lathe(profile)).shape()


def bowl(rng: np.random.Generator) -> Shape:
    radius, deep = rng.uniform(5, 9.5), rng.uniform(3, 7.5)
    foot, wall = radius * rng.uniform(0.35, 0.6), rng.uniform(0.1, 0.45)
    profile = smooth([(foot, 0), (foot + (radius - foot) * 0.55, deep * 0.25), (radius * 0.94, deep * 0.65),
                      (radius, deep)], 32)
    return Assembly(("extension", "parallel_extension", "prismatic_four")).add(
        "body", hollow(profile, wall, wall * 1.6, 72)).shape()


def plate(rng: np.random.Generator) -> Shape:
    radius, deep = rng.uniform(8, 14), rng.uniform(1.2, 3.2)
    well, wall = radius * rng.uniform(0.55, 0.75), rng.uniform(0.2, 0.5)
    lip = deep * rng.uniform(0.4, 0.7)
    profile = [(well * 0.92, 0), (well, lip), (radius * 0.97, deep * 0.93), (radius, deep)]
    return Assembly(("extension", "parallel_extension", "prismatic_four", "lateral")).add(
        "body", hollow(profile, wall, wall, 72)).shape()


def pan(rng: np.random.Generator) -> Shape:
    radius, deep = rng.uniform(7, 12), rng.uniform(3, 7)
    wall, length = rng.uniform(0.2, 0.4), rng.uniform(12, 19)
    profile = [(radius * 0.85, 0), (radius * 0.95, deep * 0.4), (radius, deep)]
    lift = rng.uniform(-0.5, 3)
    path = smooth([(radius - 0.3, 0, deep * 0.8), (radius + 3, 0, deep * 0.8 + lift * 0.3),
                   (radius + length, 0, deep * 0.8 + lift)])
    wide, thick = rng.uniform(0.9, 1.4), rng.uniform(0.5, 1.0)
    widths = np.outer(np.interp(np.linspace(0, 1, 24), [0, 0.2, 0.6, 0.96, 1], [0.7, 0.75, 1, 1, 0.7]), [wide, thick])
    inside = lathe([(radius * 0.85 - wall, wall), (radius - wall, deep + 1)])
    return (Assembly(HANDLES).add("vessel", hollow(profile, wall, wall * 1.2, 64))
            .add("handle", sweep(path, widths) - inside).shape())


def pitcher(rng: np.random.Generator) -> Shape:
    height, radius = rng.uniform(14, 24), rng.uniform(4.5, 6.5)
    wall = rng.uniform(0.25, 0.4)
    profile = smooth([(radius * 0.85, 0), (radius, height * 0.35), (radius * 0.75, height * 0.8),
                      (radius * 0.85, height)], 36)
    reach = rng.uniform(4.0, 5.5)
    angle = np.radians(np.linspace(90, -90, 24))
    edge = radius * 0.72
    path = np.stack([edge + reach * np.cos(angle) ** 0.7, np.zeros(24), height * 0.55 + height * 0.3 * np.sin(angle)],
                    1)
    thick = rng.uniform(0.5, 0.8)
    cavity = lathe(np.stack([profile[:, 0] - wall, profile[:, 1]], 1)[2:])
    ear = sweep(path, np.tile([thick, rng.uniform(0.6, 1.1)], (24, 1)), up=(0, 1, 0))
    spout = capsule((-edge - 1.6, 0, height - 1.0), (-edge + 2.5, 0, height - 3.5), 0.5, 2.0) - cavity
    return (Assembly(HANDLES).add("body", hollow(profile, wall, wall * 1.5))
            .add("spout", spout).add("handle", ear - cavity).shape())


def teapot(rng: np.random.Generator) -> Shape:
    radius, squash = rng.uniform(5, 7), rng.uniform(0.7, 0.95)
    height = 2 * radius * squash
    angle = np.linspace(-75, 75, 30)
    profile = np.stack([radius * np.cos(np.radians(angle)), radius * squash * np.sin(np.radians(angle))], 1)
    handle = arc((radius - 0.8, 0, 0), (rng.uniform(3.6, 4.8), height * 0.36), 100, -100)
    spout = sweep(smooth([(-radius + 1, 0, -height * 0.15), (-radius - 2, 0, 0.1 * height),
                          (-radius - 3.6, 0, height * 0.38)]), np.linspace(1.5, 0.7, 24), up=(0, 1, 0))
    knob = capsule((0, 0, height / 2 - 0.4), (0, 0, height / 2 + 1.2), 0.6, 0.95)
    return (Assembly(HANDLES).add("body", lathe(profile)).add("spout", spout)
            .add("lid", knob).add("handle", sweep(handle, rng.uniform(0.45, 0.7), up=(0, 1, 0))).shape())


def bucket_hat(rng: np.random.Generator) -> Shape:
    """A stiff hat: a thin dome with a brim."""
    radius, deep = rng.uniform(7.5, 9), rng.uniform(7, 11)
    brim, wall = rng.uniform(3, 7), rng.uniform(0.2, 0.4)
    outer = smooth([(radius + brim, -rng.uniform(0, 1.5)), (radius + 0.5, 0), (radius, 1.0), (radius * 0.92,
                                                                                              deep * 0.75),
                    (radius * 0.55, deep * 0.98), (0.1, deep)], 40)
    crown = lathe(outer, 64) - lathe(np.stack([(outer[:, 0] - wall).clip(0.05), outer[:, 1] - wall], 1), 64)
    return Assembly(("extension", "parallel_extension", "lateral", "prismatic_four", "palmar_pinch")).add(
        "brim", crown).shape()


def tray(rng: np.random.Generator) -> Shape:
    """A shallow dish with an oval or square outline."""
    from core.dataset.shapes.solid import extrude

    long, wide, deep = rng.uniform(14, 26), rng.uniform(9, 17), rng.uniform(1.5, 4)
    wall, power = rng.uniform(0.25, 0.5), rng.uniform(2.2, 7)
    flare = rng.uniform(1.0, 1.12)
    outer = extrude(oval(long, wide, power, 72), deep, flare)
    inner = extrude(oval(long - 2 * wall, wide - 2 * wall, power, 72), deep, flare).translate([0, 0, wall])
    return Assembly(("extension", "parallel_extension", "prismatic_four")).add("body", outer - inner).shape()
