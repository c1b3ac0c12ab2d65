"""Fields become closed meshes of the right size, with their faces outward."""

import numpy as np
import pytest
import torch
import trimesh

from core.generators.field_mesh import MESHING, mesh_of_field


def looked_at(reach=0.15, nodes=40):
    along = torch.linspace(-reach, reach, nodes)
    return torch.stack(torch.meshgrid(along, along, along, indexing="ij"), -1)


def ball(radius, *middle):
    return lambda points: (points - torch.tensor(middle)).norm(dim=-1) - radius


def box(*half):
    def distance(points):
        beyond = points.abs() - torch.tensor(half)
        return beyond.clamp_min(0).norm(dim=-1) + beyond.amax(-1).clamp_max(0)
    return distance


def test_a_ball_is_a_closed_ball():
    vertices, faces = mesh_of_field(ball(0.05, 0.01, 0.02, 0.0), looked_at())
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.05**3, rel=0.01)  # positive: the faces are outward
    assert mesh.centroid == pytest.approx([0.01, 0.02, 0.0], abs=1e-4)
    assert (vertices.dtype, faces.dtype) == (np.float64, np.int64)


def test_a_sheet_thinner_than_the_first_look_is_found():
    places = looked_at()
    thick = 0.4 * float(places[1, 0, 0, 0] - places[0, 0, 0, 0])
    vertices, faces = mesh_of_field(box(0.06, 0.03, thick / 2), places)
    assert trimesh.Trimesh(vertices, faces, process=False).is_watertight
    assert np.ptp(vertices, axis=0) == pytest.approx([0.12, 0.06, thick], abs=2 * MESHING.finest)


def test_what_reaches_out_is_cut_off_and_closed():
    vertices, faces = mesh_of_field(box(0.5, 0.02, 0.02), looked_at())
    assert trimesh.Trimesh(vertices, faces, process=False).is_watertight
    assert np.abs(vertices[:, 0]).max() == pytest.approx(0.15, abs=0.003)


def test_small_pieces_are_left_out():
    def both(points):
        return torch.minimum(ball(0.05, 0.0, 0.0, 0.0)(points), ball(0.01, 0.1, 0.0, 0.0)(points))
    vertices, _ = mesh_of_field(both, looked_at())
    assert vertices[:, 0].max() == pytest.approx(0.05, abs=1e-3)


def test_a_rough_field_has_no_open_edge(rng):
    waves = 60 * torch.randn(40, 3, generator=rng)
    vertices, faces = mesh_of_field(lambda points: 0.003 * torch.sin(points @ waves.T).sum(-1), looked_at(0.06, 24))
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent


def test_nothing_inside_is_nothing():
    assert mesh_of_field(lambda points: torch.ones(len(points)), looked_at(nodes=8)) is None
