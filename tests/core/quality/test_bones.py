"""Bones in the object: a search may ask its grid which are inside."""

from __future__ import annotations

import torch
import trimesh

from core.metrics.controls import random_wrists
from core.objects import prepare_object
from core.quality.bones import bones_crossing


def test_a_search_finds_the_same_bones_by_the_grid(hand):
    """But for a bone whose middle is within the grid's rounding of the surface."""
    mesh = trimesh.creation.box((0.05, 0.06, 0.07))
    obj, bent = prepare_object(mesh.vertices, mesh.faces), hand.pose_from_dofs(torch.full((1, 21), 0.4))[0]
    given = random_wrists(obj, hand, 40, torch.Generator().manual_seed(0), bent)
    with torch.no_grad():
        joints = hand(**given.parameters()).joints
    exact, rough = (bones_crossing(obj, joints, palm=True, exact=on) for on in (True, False))
    assert (exact > 0).sum() > 10
    assert (exact == rough).float().mean() > 0.9


def test_a_bone_wholly_inside_is_found_by_the_grid_too(hand):
    mesh = trimesh.creation.box((0.08, 0.08, 0.08))
    obj, zero = prepare_object(mesh.vertices, mesh.faces), torch.zeros(1, 3)
    with torch.no_grad():
        joints = hand(zero, torch.zeros(1, 45), zero, torch.zeros(1, 10)).joints
    joints = joints - joints[:, 6]  # the middle finger's last bone begins in the box's middle, and ends in it
    exact, rough = (int(bones_crossing(obj, joints, exact=on)) for on in (True, False))
    assert exact == rough > 3
