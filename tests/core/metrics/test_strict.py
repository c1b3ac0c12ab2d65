from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from core.grasps import Grasps
from core.metrics.bones import BONES, bones_crossing
from core.metrics.strict import common_volume, in_contact, near_surface, strict_measures
from core.objects import prepare_object
from core.objects.exact import ExactSurface


def surface_of(mesh):
    return ExactSurface(mesh.vertices, mesh.faces)


def lens(first, second, apart):
    """Common volume of two balls."""
    return np.pi * (first + second - apart) ** 2 * (
        apart**2 + 2 * apart * (first + second) - 3 * (first - second) ** 2) / (12 * apart)


@pytest.mark.parametrize("apart", [0.020, 0.028, 0.033])
def test_volume_of_two_balls(apart):
    mesh = trimesh.creation.icosphere(4, 0.020)
    obj = prepare_object(mesh.vertices, mesh.faces)
    other = trimesh.creation.icosphere(4, 0.015)
    other.apply_translation([apart, 0, 0])
    assert common_volume(obj, surface_of(other)) == pytest.approx(lens(0.020, 0.015, apart), rel=0.02, abs=4e-9)


def test_volume_is_nothing_without_overlap_and_all_when_inside(ball):
    small = trimesh.creation.box((0.010, 0.012, 0.014))
    assert common_volume(ball, surface_of(small)) == pytest.approx(0.010 * 0.012 * 0.014, rel=0.01)
    small.apply_translation([0.1, 0, 0])
    assert common_volume(ball, surface_of(small)) == 0


def test_volume_in_a_thin_wall(bowl):
    """A rod through a wall of one millimetre: what the wall cuts out of it, and nothing of the cavity."""
    rod = trimesh.creation.cylinder(0.008, 0.03)
    rod.apply_translation(np.array([0, 0, -0.0395]) - bowl.centroid)
    assert common_volume(bowl, surface_of(rod)) == pytest.approx(np.pi * 0.008**2 * 0.001, rel=0.12)


def test_volume_agrees_with_rays(ball, hand, ball_grasp):
    """Another library's inside (trimesh's rays), on random points, of a hand pushed deep into the ball."""
    deep = replace(ball_grasp, transl=ball_grasp.transl + torch.tensor([[0.0, -0.012, 0.0]]))
    with torch.no_grad():
        skin = hand(**deep.parameters()).vertices[0].double().numpy()
    measured = common_volume(ball, ExactSurface(skin, hand.faces.numpy()))
    low, high = np.maximum(skin.min(0), -0.033), np.minimum(skin.max(0), 0.033)
    points = np.random.default_rng(0).uniform(low, high, (100_000, 3))
    both = np.linalg.norm(points, axis=1) < 0.033
    both[both] = trimesh.Trimesh(skin, hand.faces.numpy(), process=False).contains(points[both])
    assert both.sum() > 2000
    assert measured == pytest.approx(both.mean() * (high - low).prod(), rel=0.05)


def test_depth_of_known_offsets():
    box = trimesh.creation.box((0.04, 0.04, 0.04))
    obj = prepare_object(box.vertices, box.faces)
    points = np.array([[0.017, 0, 0], [0, -0.0195, 0.001], [0.021, 0, 0], [0.05, 0, 0]])
    distance = near_surface(obj, points)
    assert distance[:3] == pytest.approx([-0.003, -0.0005, 0.001], abs=1e-6)
    assert distance[3] > 0.002


def test_measures_of_a_grasped_ball(ball, hand, ball_grasp):
    measures = strict_measures(ball, hand, ball_grasp, hold=False)
    with torch.no_grad():
        distance = hand(**ball_grasp.parameters()).vertices[0].norm(dim=1) - 0.033
    assert float(measures["depth_mm"][0]) == pytest.approx(-1000 * float(distance.min()), abs=0.1)
    clear = [part for part in range(6) if abs(float(distance[hand.parts == part].min()) - 0.002) > 1e-4]
    touching = [bool((distance[hand.parts == part] <= 0.002).any()) for part in clear]
    assert measures["parts"][0, clear].tolist() == touching
    assert measures["contact"].tolist() == [True]
    assert measures["bones_crossing"].tolist() == [0]
    assert 0 < float(measures["volume_cm3"][0]) < 0.2
    assert "held" not in measures


def test_measures_of_a_hand_far_away_and_of_none(ball, hand, ball_grasp):
    far = replace(ball_grasp, transl=ball_grasp.transl + 1.0)
    measures = strict_measures(ball, hand, far, hold=False)
    for name in ("volume_cm3", "depth_mm", "bones_crossing"):
        assert measures[name].tolist() == [0]
    assert not measures["parts"].any()
    assert not measures["contact"].any()
    assert len(strict_measures(ball, hand, Grasps.empty(), hold=False)["depth_mm"]) == 0


@pytest.mark.parametrize("touching, expected", [((0, 1), True), ((5, 3), True), ((1, 2, 3, 4), False), ((0,), False)])
def test_contact_needs_the_thumb_or_the_palm(touching, expected):
    parts = torch.zeros(1, 6, dtype=torch.bool)
    parts[0, list(touching)] = True
    assert in_contact(parts).tolist() == [expected]


def hand_with_bone(start, end, bone=0):
    """Joints far away, but for one bone."""
    joints = torch.full((1, 21, 3), 1.0) + torch.arange(21)[None, :, None] * 0.01
    first, last = BONES[bone]
    joints[0, first], joints[0, last] = torch.tensor(start).float(), torch.tensor(end).float()
    for other in {joint for pair in BONES[3 * (bone // 3):3 * (bone // 3) + 3] for joint in pair} - {first, last}:
        joints[0, other] = joints[0, last] if other > last or other >= 16 else joints[0, first]
    return joints


def test_a_bone_through_a_thin_bowl(bowl):
    down = np.array([0, 0, -0.0395]) - bowl.centroid
    across = hand_with_bone(down - [0, 0, 0.01], down + [0, 0, 0.01])
    assert bones_crossing(bowl, across).tolist() == [1]
    inside = hand_with_bone(down + [0, 0, 0.005], down + [0, 0, 0.025])
    assert bones_crossing(bowl, inside).tolist() == [0]


def test_bones_in_a_solid(ball):
    ending = hand_with_bone([0, 0, 0.05], [0.001, 0.001, 0.0])
    assert bones_crossing(ball, ending).tolist()[0] >= 1
    wholly = hand_with_bone([0, 0, 0.005], [0, 0, -0.005])
    assert bones_crossing(ball, wholly).tolist()[0] >= 1
    beside = hand_with_bone([0.04, 0, 0.02], [0.04, 0, -0.02])
    assert bones_crossing(ball, beside).tolist() == [0]


def test_a_pressing_fingertip_is_no_crossing_but_one_far_in_is(ball):
    pressing = hand_with_bone([0, 0, 0.06], [0, 0, 0.0320], bone=2)
    assert bones_crossing(ball, pressing).tolist() == [0]
    through = hand_with_bone([0, 0, 0.06], [0, 0, 0.0290], bone=2)
    assert bones_crossing(ball, through).tolist() == [1]
