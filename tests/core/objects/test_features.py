"""Rims, rods and holes are found where objects have them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from core.objects import prepare_object, rims, rods


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def prepared(mesh: trimesh.Trimesh):
    return prepare_object(np.array(mesh.vertices), np.array(mesh.faces))


def cup(radius: float = 0.04, wall: float = 0.003, height: float = 0.09) -> trimesh.Trimesh:
    """A cup standing on z = 0, opening upwards."""
    line = [(0, 0), (radius, 0), (radius, height), (radius - wall, height), (radius - wall, wall), (0, wall)]
    return trimesh.creation.revolve(line, sections=64).subdivide().subdivide()


def mug() -> trimesh.Trimesh:
    """The cup with half a ring as its handle, on +x."""
    ring = trimesh.creation.torus(0.025, 0.005, major_sections=64, minor_sections=24)
    ring.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    ring.apply_translation((0.042, 0, 0.045))
    half = trimesh.Trimesh(ring.vertices, ring.faces[(ring.triangles[:, :, 0] > 0.0385).all(1)])
    return trimesh.util.concatenate(cup(), half)


def test_rim_of_a_cup():
    obj = prepared(cup())
    found = rims(obj, 64, seeded())
    assert len(found) >= 24
    place = found.points.numpy() + obj.centroid
    assert place[:, 2] == pytest.approx(0.09, abs=1.5e-3)
    assert np.hypot(place[:, 0], place[:, 1]) == pytest.approx(0.0385, abs=2e-3)
    assert (found.outward[:, 2] > 0.9).all()
    radial = place * [1, 1, 0] / np.linalg.norm(place[:, :2], axis=1, keepdims=True)
    assert (np.abs((found.across.numpy() * radial).sum(1)) > 0.95).all()
    assert (found.tangent[:, 2].abs() < 0.4).all()
    assert found.thickness.numpy() == pytest.approx(0.003, abs=3e-4)
    angle = np.arctan2(place[:, 1], place[:, 0])
    assert len(np.unique((angle // (np.pi / 4)).astype(int))) == 8


def test_rim_of_a_single_wall_bowl():
    mesh = trimesh.creation.icosphere(4, 0.07)
    bowl = trimesh.Trimesh(mesh.vertices, mesh.faces[(mesh.triangles[:, :, 2] < 1e-9).all(1)])
    obj = prepared(bowl)
    found = rims(obj, 64, seeded())
    assert len(found) >= 24
    assert found.points[:, 2].numpy() + obj.centroid[2] == pytest.approx(0, abs=3e-3)
    assert (found.outward[:, 2] > 0.75).all()


def test_thin_places_far_from_each_other_have_no_rim():
    obj = prepared(trimesh.creation.icosphere(4, 0.04))
    axes = torch.cat([torch.eye(3), -torch.eye(3), torch.tensor([[1.0, 1, 1], [-1, -1, -1]]) / 3**0.5])
    alone = (axes @ obj.points.T).argmax(1)
    thickness = obj.thickness.clone()
    thickness[alone] = 0.002
    assert len(rims(replace(obj, thickness=thickness), 64, seeded())) == 0


def test_solids_have_no_rims():
    assert len(rims(prepared(trimesh.creation.icosphere(4, 0.04)), 64, seeded())) == 0
    assert len(rims(prepared(trimesh.creation.box((0.05, 0.06, 0.07))), 64, seeded())) == 0


def test_rod():
    obj = prepared(trimesh.creation.cylinder(0.012, 0.2, sections=48).subdivide())
    found = rods(obj, 64, seeded())
    assert len(found) >= 48
    assert (found.axis[:, 2].abs() > 0.98).all()
    assert found.points[:, :2].norm(dim=1).quantile(0.9) < 0.002
    assert ((found.radius - 0.012).abs().amax(1) < 0.0015).float().mean() > 0.9
    assert torch.isinf(found.gap).all()
    assert (found.inner == 0).all()


def test_ring_is_a_rod_with_a_hole_inside():
    obj = prepared(trimesh.creation.torus(0.035, 0.006, major_sections=64, minor_sections=24))
    found = rods(obj, 64, seeded())
    assert len(found) >= 48
    assert found.points[:, :2].norm(dim=1).numpy() == pytest.approx(0.035, abs=0.003)
    radial = torch.nn.functional.normalize(found.points * torch.tensor([1.0, 1.0, 0.0]), dim=1)
    assert ((found.axis * radial).sum(1).abs() < 0.35).all()
    assert ((found.inner * -radial).sum(1) > 0.9).float().mean() > 0.9
    assert found.gap.median() == pytest.approx(0.058, abs=0.008)


def test_handle_of_a_mug():
    obj = prepared(mug())
    found = rods(obj, 128, seeded())
    place = found.points.numpy() + obj.centroid
    assert len(found) >= 16
    assert (place[:, 0] > 0.036).mean() > 0.95
    outer = place[:, 0] > 0.06
    assert outer.sum() >= 6
    assert (found.inner.numpy()[outer][:, 0] < -0.8).mean() > 0.8
    assert found.gap.numpy()[outer].max() < 0.04


@pytest.mark.parametrize("size", [(0.05, 0.05, 0.05), (0.2, 0.2, 0.01)])
def test_blocks_and_plates_are_no_rods(size: tuple[float, float, float]):
    assert len(rods(prepared(trimesh.creation.box(size)), 64, seeded())) == 0
