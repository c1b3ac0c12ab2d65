"""Of a large object the pieces that a hand can touch are made, and they are as good as all of them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from core.objects import prepare_object
from core.progress import Progress, Stopped
from core.quality import near_pieces as module
from core.quality.convex_decomposition import convex_pieces, mass_properties
from core.quality.hold import HoldSimulation
from core.quality.near_pieces import NEAR, cells_of, pieces_near


def prepared(mesh):
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture(scope="module")
def ring():
    """Of 60 cm, in the plane across z."""
    return prepared(trimesh.creation.torus(0.28, 0.02, major_sections=128, minor_sections=24))


def side(x):
    """Points of a hand about the ring at x."""
    return np.random.default_rng(0).uniform(-0.05, 0.05, (200, 3)) + [x, 0, 0]


def test_what_a_hand_reaches_round_and_what_is_simple_is_whole(bowl, tmp_path):
    assert float(bowl.extent.max()) <= NEAR.reach
    plank = prepared(trimesh.creation.box((1.0, 0.1, 0.02)))
    for obj in (bowl, plank):
        assert cells_of(obj) is None
        whole, near = convex_pieces(obj, tmp_path), pieces_near(obj, np.zeros((1, 3)), tmp_path)
        assert all(np.array_equal(one, other) for one, other in zip(whole.hulls, near.hulls, strict=True))


def test_the_pieces_of_a_large_ring_are_those_near_the_hand(ring, tmp_path, uncovered):
    pieces = pieces_near(ring, side(0.28), tmp_path)
    points = ring.points.numpy().astype(float)
    beside = np.linalg.norm(points - [0.28, 0, 0], axis=1) < 0.05
    assert uncovered(pieces, points[beside][:300]).max() < 0.0005
    across = points[points[:, 0] < -0.2]
    assert uncovered(pieces, across).min() > 0.1
    centre, inertia = mass_properties(ring)
    assert np.array_equal(pieces.centre, centre)
    assert np.array_equal(pieces.inertia, inertia)


def test_hands_share_the_cells_that_both_come_near(ring, tmp_path, monkeypatch):
    first = pieces_near(ring, side(0.281), tmp_path)
    monkeypatch.setattr(module, "patch_hulls", lambda *_: pytest.fail("made again"))
    again = pieces_near(ring, side(0.281), tmp_path / "another")
    assert all(np.array_equal(one, other) for one, other in zip(first.hulls, again.hulls, strict=True))


def test_a_hand_away_from_the_object_has_its_nearest_cell(ring, tmp_path):
    assert len(pieces_near(ring, side(3.0), tmp_path).hulls) > 0


def test_a_stop_is_heard_while_cells_are_made(tmp_path):
    obj = prepared(trimesh.creation.torus(0.27, 0.02, major_sections=128, minor_sections=24))
    told = []

    def report(fraction, _words):
        told.append(fraction)
        return fraction < 0.4

    with pytest.raises(Stopped):
        pieces_near(obj, side(-0.27), tmp_path, Progress(report))
    assert told == sorted(told)
    assert len(told) > 20


@pytest.mark.parametrize("gap, held", [(-0.001, True), (0.004, False)])
def test_plates_hold_a_ring_by_the_pieces_between_them(ring, tmp_path, gap, held):
    """Two plates above and below its side: what holds with all pieces holds with those near by."""
    plate = trimesh.creation.box((0.06, 0.3, 0.01)).vertices
    hand = [plate + [0.28, 0, sign * (0.025 + gap)] for sign in (-1, 1)]
    pieces = pieces_near(ring, np.concatenate(hand), tmp_path)
    assert len(pieces.hulls) < 60
    assert (HoldSimulation(pieces, [hand], 2.0).slip(0, directions=2) < 0.02) == held
