"""Distances and gradients of the grid are the surface's, near it and outside the grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from core.objects import prepare_object
from core.objects.grid import affordable_cells, is_soup
from core.objects.mesh_query import ExactSurface


@pytest.fixture(scope="module")
def ball():
    mesh = trimesh.creation.icosphere(5, 0.04)
    return prepare_object(np.array(mesh.vertices), np.array(mesh.faces))


def test_distances_near_the_surface_are_exact_within_a_tenth_of_a_millimetre(ball):
    generator = torch.Generator().manual_seed(0)
    depth = (torch.rand(4096, generator=generator) - 0.5) * 0.02
    points = ball.points + ball.normals * depth[:, None]
    distance, normal = ball.grid.query(points)
    assert (distance - ball.signed_distance(points)[0]).abs().max() < 1e-4
    assert ((normal * points).sum(1) / points.norm(dim=1)).min() > 0.99


def test_distances_keep_growing_outside_the_grid(ball):
    points = torch.nn.functional.normalize(torch.randn(512, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    points = points * torch.linspace(0.05, 1.0, 512)[:, None]
    distance, normal = ball.grid.query(points.reshape(2, 256, 3))
    assert tuple(distance.shape) == (2, 256)
    error = (distance.reshape(-1) - (points.norm(dim=1) - 0.04)).abs()
    assert (error / points.norm(dim=1)).max() < 0.04
    assert (normal.reshape(-1, 3).norm(dim=1) - 1).abs().max() < 1e-4


def test_the_nearest_node_knows_nearly_as_much(ball):
    generator = torch.Generator().manual_seed(2)
    depth = (torch.rand(4096, generator=generator) - 0.4) * 0.05
    points = (ball.points + ball.normals * depth[:, None]).reshape(64, 64, 3)
    found = ball.grid.approximate_distance(points)
    assert tuple(found.shape) == (64, 64)
    wrong = (found - ball.grid.query(points)[0]).abs()
    assert wrong.max() < 5e-4
    assert wrong.mean() < 5e-5


def test_the_nearest_node_of_the_grid_is_enough_outside_it(ball):
    points = torch.nn.functional.normalize(torch.randn(512, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    points = points * torch.linspace(0.05, 1.0, 512)[:, None]
    error = (ball.grid.approximate_distance(points) - (points.norm(dim=1) - 0.04)).abs()
    assert (error / points.norm(dim=1)).max() < 0.04


def test_gradient_is_the_direction(ball):
    points = (ball.points[:64] * 1.2).requires_grad_()
    ball.grid.distance(points).mul(2).sum().backward()
    assert torch.allclose(points.grad, 2 * ball.grid.query(points)[1])


def test_channels_first_view(ball):
    assert tuple(ball.grid.channels.shape) == (4, *ball.grid.shape)


def test_long_objects_get_long_grids_and_thin_ones_fine_cells():
    rod = trimesh.creation.box((0.3, 0.02, 0.02))
    grid = prepare_object(np.array(rod.vertices), np.array(rod.faces)).grid
    assert grid.shape[0] > 3 * grid.shape[1]
    assert grid.spacing < 0.003
    sheet = trimesh.creation.box((0.15, 0.15, 0.001))
    fine = prepare_object(np.array(sheet.vertices), np.array(sheet.faces)).grid
    assert fine.spacing < 0.0012
    assert np.prod(fine.shape) < 2_600_000


def test_a_closed_mesh_of_shuffled_corners_is_a_soup_and_walls_in_walls_are_not():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.04)
    corners = np.random.default_rng(0).permutation(np.array(ball.vertices))
    soup = ExactSurface(corners, np.array(ball.faces))
    assert is_soup(soup, 1)
    assert affordable_cells(soup, True, 1) < 100_000  # each inside test of it takes long
    nested = trimesh.util.concatenate([trimesh.creation.icosphere(subdivisions=3, radius=0.01 * size)
                                       for size in (1, 2, 3, 4)])
    layers = ExactSurface(np.array(nested.vertices), np.array(nested.faces))
    assert not is_soup(layers, 4)
    can = trimesh.creation.cylinder(0.03, 0.12, sections=256)
    assert not is_soup(ExactSurface(np.array(can.vertices), np.array(can.faces)), 1)  # long thin faces crowd, too
