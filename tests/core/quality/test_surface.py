"""How hands lie on a surface: contact and wrenches on plates, walls that hide depth, and which of two is better."""

from __future__ import annotations

import pytest
import torch

from core.quality.surface import (
    SurfaceQuality,
    defect_cost,
    has_contact,
    is_better,
    is_defective,
    is_sound,
    is_worse,
    last_bone_out,
    measure_surface,
    score_surface,
    skin_behind_walls,
    wrench_residual,
)


def surface(overlap: float, bones: int, touching: bool, residual: float = 0.0) -> SurfaceQuality:
    """One hand whose index finger touches, and its thumb where `touching`."""
    parts = torch.tensor([[touching, True, False, False, False, False]])
    return SurfaceQuality(torch.tensor([1.0]), torch.tensor([overlap]), parts, torch.tensor([residual]),
                          torch.tensor([bones]), torch.tensor([0]))


def test_the_choice_never_takes_what_is_worse():
    assert is_sound(surface(0.1, 0, True))
    assert not is_better(surface(0.0, 0, True), surface(0.1, 0, True))  # what is sound stays
    assert is_better(surface(0.1, 0, True), surface(3.0, 0, True))
    assert not is_better(surface(0.1, 1, True), surface(3.0, 0, True))
    assert not is_better(surface(0.1, 0, False), surface(0.5, 0, True))
    assert is_better(surface(0.1, 0, True), surface(0.0, 0, False))
    assert defect_cost(surface(0.1, 0, True, 0.5)) > defect_cost(surface(0.1, 0, True))
    assert has_contact(surface(0, 0, True))
    assert not has_contact(surface(0, 0, False))


def test_a_stiffer_grasp_is_better_where_it_is_nothing_worse():
    sound = surface(0.1, 0, True)
    assert is_better(sound, sound, torch.tensor([1.0]))
    assert not is_better(surface(0.0, 0, True), sound, torch.tensor([-1.0]))
    assert not is_better(surface(0.1, 1, True), sound, torch.tensor([5.0]))


def test_contact_may_be_lost_for_the_last_bone():
    freed, through = surface(0.1, 0, False), surface(0.1, 1, True)
    assert last_bone_out(freed, through)
    assert not is_worse(freed, through)
    assert is_worse(freed, surface(0.1, 0, True))


def test_what_is_sunk_through_a_wall_or_afloat_is_defective():
    assert not is_defective(surface(0.1, 0, True))
    for defective in (surface(1.1, 0, True), surface(0.1, 1, True), surface(0.1, 0, False)):
        assert is_defective(defective)


def test_rows_are_taken_put_back_and_chosen():
    two = SurfaceQuality.cat([surface(0.1, 0, True), surface(0.2, 1, False)])
    put = surface(0.7, 2, True).scattered_into(two, torch.tensor([1]))
    assert put.overlap_cm3.tolist() == pytest.approx([0.1, 0.7])
    assert two.overlap_cm3.tolist() == pytest.approx([0.1, 0.2])
    mixed = SurfaceQuality.where(torch.tensor([True, False]), put, two)
    assert mixed.bones.tolist() == [0, 1]
    assert mixed.parts.tolist() == two.parts.tolist()
    assert put[torch.tensor([1])].measures()["contacts"].tolist() == [2.0]


def test_the_score_asks_a_power_grasp_for_more_contact():
    one, unnatural = surface(0.0, 0, True), torch.zeros(1)
    power, pinch, unknown = (float(score_surface(one, (name,), unnatural)) for name in ("large_diameter", "tripod", ""))
    assert power < unknown < pinch < 100
    assert float(score_surface(one, ("tripod",), torch.tensor([30.0]))) == pytest.approx(pinch - 25)


def test_wrench_residual_of_two_plates_and_of_one():
    parts = torch.tensor([0, 0, 0, 1, 1, 1])
    triangle = [(0.0, 0.02), (0.017, -0.01), (-0.017, -0.01)]
    skin = torch.tensor([[0.03, y, z] for y, z in triangle] + [[-0.03, y, z] for y, z in triangle])
    normal = torch.tensor([[1.0, 0, 0]] * 3 + [[-1.0, 0, 0]] * 3)
    touching = torch.zeros(6)
    assert wrench_residual(skin, touching, normal, parts) < 1e-6
    assert wrench_residual(skin, touching, normal, parts, friction=0.0) > 0.5
    one_sided = torch.where(parts == 0, 0.0, 1.0)
    assert wrench_residual(skin, one_sided, normal, parts) == 1.0


def test_skin_behind_a_thin_wall_is_counted(hand, bowl):
    """A hand pushed through the bowl is noticed although hardly any of its skin lies inside the thin wall."""
    zero = torch.zeros(1, 3)
    transl = torch.tensor([[0.12, 0.0, 0.0]]) - hand.rest_joints(torch.zeros(1, 10))[0, :1]
    with torch.no_grad():
        out = hand(zero, torch.zeros(1, 45), transl, torch.zeros(1, 10))
    distance, _ = bowl.signed_distance(out.vertices.reshape(-1, 3))
    distance = torch.as_tensor(distance).float().reshape(1, -1)
    assert int(skin_behind_walls(bowl, hand, out.vertices, distance)) > 0
    found = measure_surface(bowl, hand, out.vertices, out.joints)
    assert int(found.through) > 0
    assert is_defective(found)
