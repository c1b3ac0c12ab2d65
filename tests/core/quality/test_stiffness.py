"""Grasp stiffness: computed by hand on plates, and true to what the hold test says of real hands."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh

from core.dataset.training_grasps import load_training, training_object
from core.grasps.batch import Grasps
from core.hand.squeeze import SQUEEZE
from core.objects import prepare_object
from core.quality.stiffness import (
    STIFFNESS,
    centre_of_mass,
    grasp_quality,
    grasp_stiffness,
    isotropic_stiffness,
    stiffness_at_rest,
)
from core.rotations import axis_angle_to_matrix, cross_matrix

TRAINING = Path(__file__).resolve().parents[3] / "weights" / "training" / "grasps.npz"


def plates(press: tuple[float, float], count: int = 40) -> tuple[torch.Tensor, ...]:
    """Skin of two plates on a cube's sides at x = +-2 cm, pressed inward by so many cm; 1 cm2 of it at each vertex."""
    angle = torch.arange(count) * 2 * math.pi / count
    ring = 0.01 * torch.stack([torch.zeros(count), angle.cos(), angle.sin()], 1)
    side = torch.tensor([[0.02, 0, 0]])
    skin = torch.cat([ring + side, ring - side])[None]
    outward = torch.cat([side.expand(count, 3), -side.expand(count, 3)])[None] / 0.02
    moved = -outward * torch.tensor([press[0]] * count + [press[1]] * count)[None, :, None]
    return skin, torch.zeros(1, 2 * count), outward, moved, torch.ones(1, 2 * count)


def test_two_plates_withstand_a_pull_along_them_by_friction_alone():
    firm = grasp_stiffness(*plates((0.05, 0.05)))
    force = 80 * 0.05  # 80 cm2 pressed by half a millimetre
    assert float(firm) == pytest.approx(STIFFNESS.friction**2 * force, rel=0.05)


def test_the_object_gives_way_until_both_plates_press_alike():
    one_sided, both = (float(grasp_stiffness(*plates(press))) for press in ((0.10, 0.0), (0.05, 0.05)))
    assert one_sided == pytest.approx(both, rel=0.05)


def test_one_plate_pushes_the_object_away():
    skin, distance, outward, moved, area = plates((0.05, 0.05))
    area[:, 40:] = 0
    assert float(grasp_stiffness(skin, distance, outward, moved, area)) < 20 * STIFFNESS.floor
    assert float(grasp_stiffness(*plates((0.05, -0.2)))) < 20 * STIFFNESS.floor  # the other is there, and not near


def test_sinking_deeper_does_not_count_as_pressing_harder():
    skin, distance, outward, moved, area = plates((0.05, 0.05))
    deep, deeper = (float(grasp_stiffness(skin, distance - depth, outward, moved, area)) for depth in (0.05, 0.5))
    assert deep == pytest.approx(deeper)


def test_what_springs_bear_is_summed_over_each():
    lever, force = torch.randn(2, 7, 3), torch.rand(2, 7)
    travel = torch.cat([torch.eye(3).expand(2, 7, 3, 3), -cross_matrix(lever)], -1)
    each = force[..., None, None] * travel.transpose(-1, -2) @ travel
    torch.testing.assert_close(isotropic_stiffness(lever, force), each.sum(1), atol=1e-5, rtol=1e-5)


def test_from_where_it_rested_the_balance_is_found_in_few_steps():
    skin, distance, outward, moved, area = plates((0.10, -0.04))  # one plate comes to bear only as the object shifts
    firm, place = stiffness_at_rest(skin, distance, outward, moved, area, steps=20)
    again, there = stiffness_at_rest(skin, distance, outward, 1.02 * moved, area, place, 1)
    exact, _ = stiffness_at_rest(skin, distance, outward, 1.02 * moved, area, steps=20)
    far, _ = stiffness_at_rest(skin, distance, outward, 1.02 * moved, area, steps=0)
    assert float(again) == pytest.approx(float(exact), rel=1e-3)
    assert abs(float(far) - float(exact)) > abs(float(again) - float(exact))
    assert float(firm) != float(exact)
    assert there.shape == (1, 6)


def test_the_gradient_tells_how_the_stiffness_grows():
    skin, distance, outward, moved, area = (value.double() for value in plates((0.06, 0.04)))
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)

    def firm(scale: torch.Tensor) -> torch.Tensor:
        return stiffness_at_rest(skin, distance, outward, scale * moved, area, steps=30)[0].sum()

    (slope,) = torch.autograd.grad(firm(scale), scale)
    with torch.no_grad():
        found = (firm(scale + 1e-4) - firm(scale - 1e-4)) / 2e-4
    assert float(slope) == pytest.approx(float(found), rel=1e-3)
    assert float(slope) > 0


def hands(hand, bends: list[float], transl: torch.Tensor) -> Grasps:
    dofs = torch.zeros(len(bends), 21)
    dofs[:, [0, 2, 4, 6, 8, 10, 12, 14]] = torch.tensor(bends)[:, None]
    dofs[:, [16, 17, 18]] = torch.tensor([0.3, 0.5, 0.3])
    return Grasps(torch.zeros(len(bends), 3), hand.pose_from_dofs(dofs), transl.expand(len(bends), 3).clone(),
                  torch.zeros(len(bends), 10), torch.zeros(len(bends)))


def test_hands_that_held_are_stiffer_than_the_same_hands_a_little_off(hand):
    """Training grasps passed the hold test; a centimetre back, fingers as they are, the object is loose in the hand."""
    data = load_training(TRAINING)
    name = next(name for name in data.objects if name.startswith("can/"))
    obj, mine = training_object(name), data[data.object == data.objects.index(name)]
    given = mine.grasps(hand)
    back = axis_angle_to_matrix(given.global_orient)[:, :, 1]
    off = replace(given, transl=given.transl + 0.01 * back)
    for closing in (SQUEEZE, STIFFNESS.closing_degrees):
        firm, loose = grasp_quality(obj, hand, given, closing), grasp_quality(obj, hand, off, closing)
        assert float((firm > loose).float().mean()) > 0.8
        assert float(firm.median()) > 2 * float(loose.median())


def test_the_centre_of_mass_is_that_of_what_is_inside():
    ball, rod = trimesh.creation.icosphere(4, 0.03), trimesh.creation.cylinder(0.006, 0.12).subdivide().subdivide()
    rod.apply_translation((0, 0, 0.08))
    mesh = trimesh.boolean.union([ball, rod])
    club = prepare_object(mesh.vertices, mesh.faces)
    there = torch.from_numpy(mesh.center_mass - club.centroid).float()
    assert torch.allclose(centre_of_mass(club), there, atol=0.0015)
    assert float(there.norm()) > 0.004


def test_none_is_none_and_a_blocked_hand_is_less_stiff(hand, ball):
    assert len(grasp_quality(ball, hand, Grasps.empty("x"))) == 0
    with torch.no_grad():
        middle = hand(**hands(hand, [0.0], torch.zeros(3)).parameters()).joints[0, [2, 5]].mean(0)
    through = hands(hand, [0.0], -middle)  # the ball is threaded on two fingers
    assert 0 < STIFFNESS.blocked < 1
    assert float(grasp_quality(ball, hand, through)) < 0.05
