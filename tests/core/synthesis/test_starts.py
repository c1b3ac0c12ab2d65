"""Starts: types that fit the object's widths, fingers that vary as fingers do, no two alike."""

from __future__ import annotations

import pytest
import torch
import trimesh

from core.metrics.diversity import nearest_neighbour_degrees
from core.objects import prepare_object
from core.synthesis.starts import outer_width, sample_finger_variety


def test_types_are_gated_by_width(rod, sampler_on):
    names = {grasp_type.name for grasp_type in sampler_on(rod).usable()}
    assert "medium_wrap" in names
    assert "large_diameter" not in names
    assert "power_sphere" not in names


def test_a_type_that_was_asked_for_is_always_tried(rod, sampler_on):
    assert [grasp_type.name for grasp_type in sampler_on(rod, "power_sphere").usable()] == ["power_sphere"]


def test_starts_are_as_many_as_asked_for_and_their_types_take_turns(rod, sampler_on):
    sampler = sampler_on(rod)
    types = sampler.usable()
    poses = sampler.sample(2 * len(types), types)
    assert len(poses) == 2 * len(types)
    assert set(poses.types) == {grasp_type.name for grasp_type in types}


def test_no_two_starts_of_a_type_are_nearly_alike(rod, sampler_on):
    sampler = sampler_on(rod, "medium_wrap")
    poses = sampler.sample(16, sampler.usable())
    joints = sampler.energy.hand(**sampler.energy.grasps(poses, "", 0).parameters()).joints[:, [0, 4]]
    apart = (joints[:, None] - joints[None]).norm(dim=-1).mean(-1)
    assert apart.fill_diagonal_(1.0).min() > 0.01


def test_fingers_of_one_type_vary_where_variety_is_wanted(rod, sampler_on):
    def apart(variety: float) -> tuple[float, float]:
        sampler = sampler_on(rod, "medium_wrap", variety)
        poses, limits = sampler.sample(32, sampler.usable()), sampler.energy.limits
        assert ((poses.dofs >= limits[:, 0]) & (poses.dofs <= limits[:, 1])).all()
        return tuple(float(nearest_neighbour_degrees(dofs).median()) for dofs in (poses.dofs, poses.template))

    plain, varied = apart(0.0), apart(1.25)
    assert varied[0] > 1.3 * plain[0]
    assert varied[1] > 1.3 * plain[1]  # what the fingers are drawn to as well, or closing would undo it


def test_fingers_vary_with_their_neighbours():
    fingers = sample_finger_variety(4000, torch.Generator().manual_seed(0))[:, :16].unflatten(1, (4, 4))
    knuckle = torch.corrcoef(fingers[:, :, 0].T)
    assert knuckle[0, 1] > 0.7
    assert knuckle[0, 3] < knuckle[0, 1]
    assert torch.allclose(fingers[..., 3], 2 / 3 * fingers[..., 2])  # one tendon bends both
    assert fingers.std(0)[:, 0].max() < 0.3


def test_a_hollow_body_has_a_wall_and_a_whole_width():
    mesh = trimesh.creation.annulus(r_min=0.036, r_max=0.04, height=0.1, sections=64)
    tube = prepare_object(mesh.vertices, mesh.faces)
    outside = tube.points[:, :2].norm(dim=1) > 0.039
    assert tube.thickness[outside].median() == pytest.approx(0.004, abs=3e-4)
    assert outer_width(tube)[outside].median() == pytest.approx(0.08, abs=1e-3)
