"""The training objects: closed, named, of real sizes, the same from a seed everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import trimesh

from core.dataset.shapes import FAMILIES, HELD_OUT, make_shape, split
from core.dataset.shapes.solid import Assembly, box, ellipsoid, hollow, lathe, smooth, superquadric, sweep


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_makes_sound_shapes(family):
    for seed in (0, 7):
        shape = make_shape(family, seed)
        mesh = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert set(np.unique(shape.part)) == set(range(len(shape.names)))
        extent = np.ptp(shape.vertices, axis=0)
        assert 0.009 < extent.max() < 0.55  # metres: something for one hand


def test_there_are_enough_of_them():
    assert len(FAMILIES) >= 30
    assert set(HELD_OUT) < set(FAMILIES)
    shapes = {hashlib.sha256(make_shape(family, seed).vertices.tobytes()).digest()
              for family in FAMILIES for seed in range(3)}
    assert len(shapes) == 3 * len(FAMILIES)  # no seed gives another's shape: sixteen of each are over a thousand


def test_a_seed_repeats_its_shape():
    first, again = make_shape("drill", 3), make_shape("drill", 3)
    assert first.vertices.tobytes() == again.vertices.tobytes()
    assert first.part.tolist() == again.part.tolist()


def test_splits_hold_out_families_and_shapes():
    assert split("teapot", 0) == "family"
    assert split("mug", 5) == "shape"
    assert split("mug", 4) == "train"


def test_parts_lie_where_they_belong():
    shape = make_shape("hammer", 0)
    along = {name: shape.vertices[shape.faces[shape.part == i]].mean((0, 1))[0] for i, name in enumerate(shape.names)}
    assert along["handle"] < along["neck"] < along["head"]
    mug = make_shape("mug", 0)
    mouth = mug.vertices[mug.faces[mug.part == mug.names.index("mouth")]][..., 2]
    assert mouth.min() > 0.8 * mug.vertices[:, 2].max()


def test_a_hollow_vessel_is_thin():
    wall = hollow([(4, 0), (4, 10)], 0.3, 0.3)
    solid = lathe([(4, 0), (4, 10)])
    inner = np.pi * 3.7**2 * 9.7
    assert wall.volume() == pytest.approx(solid.volume() - inner, rel=0.02)


def test_a_superquadric_of_ones_is_an_ellipsoid():
    assert superquadric((1, 2, 3), 1, 1).volume() == pytest.approx(4 / 3 * np.pi * 6, rel=0.02)


def test_a_tube_has_its_volume():
    straight = np.stack([np.linspace(0, 5, 10), np.zeros(10), np.zeros(10)], 1)
    assert sweep(straight, 0.5, sides=64).volume() == pytest.approx(np.pi * 0.25 * 5, rel=0.01)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    ring = np.stack([3 * np.cos(angle), 3 * np.sin(angle), 0 * angle], 1)
    torus = sweep(ring, 0.5, closed=True, sides=48)
    assert torus.volume() == pytest.approx(2 * np.pi**2 * 3 * 0.25, rel=0.01)
    assert torus.genus() == 1


def test_smooth_does_not_overshoot():
    curve = smooth([(1, 0), (3, 2), (3, 4), (1, 6)], 60)
    assert curve[:, 0].max() <= 3 + 1e-9


def test_loose_parts_are_refused():
    apart = Assembly().add("body", box((1, 1, 1))).add("head", ellipsoid((1, 1, 1)).translate([5, 0, 0]))
    with pytest.raises(ValueError, match="hang together"):
        apart.shape()
