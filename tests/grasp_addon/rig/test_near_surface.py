"""Surfaces made ready once: thinned out where they are finer than a colour needs, and found by place."""

from __future__ import annotations

import numpy as np
import pytest

from grasp_addon.rig.near_surface import NearSurface, among, thinned

REACH = 0.005


def sheet(count: int, side: float, height: float = 0.0, down: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A square of 2 count² triangles that looks up, or down."""
    x, y = np.meshgrid(np.linspace(0, side, count + 1), np.linspace(0, side, count + 1), indexing="ij")
    vertices = np.stack([x, y, np.full_like(x, height)], axis=-1).reshape(-1, 3)
    at = np.arange((count + 1) ** 2).reshape(count + 1, -1)
    a, b, c, d = at[:-1, :-1].ravel(), at[1:, :-1].ravel(), at[1:, 1:].ravel(), at[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return vertices, faces[:, ::-1] if down else faces


def area(corners: np.ndarray) -> float:
    a, b, c = corners.transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_a_fine_sheet_becomes_a_coarse_one_of_the_same_place() -> None:
    vertices, faces = sheet(200, 0.1)
    points, merged = thinned(vertices, faces, 0.004)
    assert len(merged) < len(faces) / 30
    assert np.abs(points[:, 2]).max() == 0
    assert area(points[merged]) == pytest.approx(0.01, rel=0.1)


def test_the_two_sides_of_a_thin_wall_stay_two() -> None:
    up, down = sheet(100, 0.1, 0.0005), sheet(100, 0.1, 0.0, down=True)
    vertices, faces = np.concatenate([up[0], down[0]]), np.concatenate([up[1], down[1] + len(up[0])])
    points, merged = thinned(vertices, faces, 0.004)
    assert set(np.round(points[:, 2], 6)) == {0.0, 0.0005}
    assert np.ptp(points[merged][..., 2], axis=1).max() < 1e-9


@pytest.mark.parametrize("side", [0.2, 2.0, 40.0])
def test_only_what_is_near_is_found_and_all_of_it(side: float) -> None:
    surface = NearSurface(*sheet(400, side), REACH)
    spread = np.random.default_rng(0).uniform(-0.04, 0.04, (300, 3)) * [1, 1, 0]
    hand = np.array([0.5 * side, 0.5 * side, 0.002]) + spread
    corners = surface.near(hand)
    assert 0 < len(corners) < 20000
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    assert (low[:2] <= hand.min(axis=0)[:2] - 3 * REACH).all()
    assert (high[:2] >= hand.max(axis=0)[:2] + 3 * REACH).all()
    size = side / 400
    assert (high[:2] - low[:2] <= 0.08 + 12 * 4 * REACH + 4 * size).all()
    assert not len(surface.near(hand + [0, 0, 1.0]))


def test_many_sheets_on_each_other_stay_few_triangles() -> None:
    parts = [sheet(60, 0.06, 0.0007 * place) for place in range(30)]
    vertices = np.concatenate([points for points, _ in parts])
    faces = np.concatenate([triangles + place * len(points) for place, (points, triangles) in enumerate(parts)])
    hand = np.random.default_rng(0).uniform(0, 0.06, (500, 3)) * [1, 1, 0.3]
    assert 0 < len(NearSurface(vertices, faces, 0.002).near(hand)) <= 20000


def test_a_triangle_as_large_as_a_field_is_found_under_a_hand() -> None:
    """One large triangle among many small ones that are far away."""
    vertices, faces = sheet(150, 0.1)
    large = np.array([[-500.0, -500, -1], [500, -500, -1], [0, 900, -1]])
    surface = NearSurface(np.concatenate([vertices, large]),
                          np.concatenate([faces, len(vertices) + np.arange(3)[None]]), REACH)
    corners = surface.near(np.array([[100.0, 3.0, -0.995]]))
    assert np.abs(corners - large).max(axis=(1, 2)).min() < 1e-3


def test_among_finds_all_that_are_near() -> None:
    rng = np.random.default_rng(1)
    places, points = rng.uniform(-1, 1, (2000, 3)), rng.uniform(-0.5, 0.5, (50, 3))
    distance = np.linalg.norm(places[:, None] - points, axis=2).min(axis=1)
    found = among(places, points, 0.1)
    assert found[distance < 0.1].all()
    assert not found[distance > 0.35].any()
