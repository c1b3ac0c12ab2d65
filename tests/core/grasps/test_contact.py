"""Which skin and which parts of a hand are in contact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.grasps.contact import CONTACT_TOLERANCE, in_contact, touches, touching_parts


def test_skin_inside_or_within_the_tolerance_touches():
    distance = np.array([-0.01, 0.0, 0.5 * CONTACT_TOLERANCE, CONTACT_TOLERANCE, 2 * CONTACT_TOLERANCE])
    expected = [True, True, True, False, False]
    assert touches(distance).tolist() == expected
    assert touches(torch.from_numpy(distance)).tolist() == expected
    assert touches(distance, 0.005).tolist() == [True] * 5


def test_a_part_touches_by_any_of_its_vertices():
    parts = torch.tensor([0, 0, 1, 2, 5, 5])
    distance = torch.full((2, 6), 0.01)
    distance[0, 1] = distance[0, 4] = 0.001
    distance[1, 2] = 0.004
    assert touching_parts(distance, parts).tolist() == [[True, False, False, False, False, True], [False] * 6]
    assert touching_parts(distance, parts, 0.005)[1].tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize("touching, expected", [((0, 1), True), ((5, 3), True), ((1, 2, 3, 4), False), ((0,), False)])
def test_contact_needs_the_thumb_or_the_palm(touching, expected):
    parts = torch.zeros(1, 6, dtype=torch.bool)
    parts[0, list(touching)] = True
    assert in_contact(parts).tolist() == [expected]
