"""Hands that come back from a program are the grasps that went out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from core.grasps.batch import Grasps
from core.grasps.posed import pose_hands, read_posed
from core.hand import load_hand
from core.objects import prepare_object


@pytest.fixture(scope="module")
def far_ball():
    """A ball that lies three metres off the origin of its mesh."""
    mesh = trimesh.creation.icosphere(3, 0.03)
    return prepare_object(mesh.vertices + [3.0, -1.0, 0.5], mesh.faces)


def some(count, side="right", betas=None):
    draw = torch.Generator().manual_seed(3)
    shape = torch.zeros(10) if betas is None else torch.tensor(betas)
    return Grasps(torch.randn(count, 3, generator=draw), 0.3 * torch.randn(count, 45, generator=draw),
                  0.1 * torch.randn(count, 3, generator=draw), shape.expand(count, -1), torch.zeros(count), hand=side)


@pytest.mark.parametrize("side, scale, betas", [("right", 1.0, None), ("left", 100.0, [0.5, -1.0, *[0.0] * 8])])
def test_what_was_posed_comes_back(far_ball, side, scale, betas):
    hand = load_hand(None, side)
    grasps = some(5, side, betas)
    posed = pose_hands(hand, grasps, far_ball, scale)
    flipped = posed.rotations * np.array([1.0, -1.0] * 8)[:, None]  # a quaternion and its negative are one rotation
    back = read_posed({"rotations": 2 * flipped, "translation": posed.translation}, far_ball, scale, side, betas)
    assert back.hand == side
    assert torch.allclose(back.transl, grasps.transl, atol=1e-6)
    again = pose_hands(hand, back, far_ball, scale)
    assert np.abs(again.vertices - posed.vertices).max() < 2e-6 * scale


def test_one_hand_may_come_alone(far_ball):
    posed = pose_hands(load_hand(), some(3), far_ball)
    one = read_posed({"rotations": posed.rotations[1], "translation": posed.translation[1]}, far_ball)
    assert torch.allclose(one.transl, some(3).transl[1:2], atol=1e-6)


@pytest.mark.parametrize("change, sentence", [
    ({"rotations": None}, "rotations are missing"),
    ({"rotations": None, "translation": None}, "rotations and translation are missing"),
    ({"rotations": np.ones((2, 15, 4))}, "16 rotations of four"),
    ({"translation": np.zeros((3, 3))}, "16 rotations of four"),
    ({"rotations": np.zeros((0, 16, 4)), "translation": np.zeros((0, 3))}, "1 to 10000"),
    ({"rotations": np.zeros((2, 16, 4))}, "rotation that is none"),
    ({"translation": np.full((2, 3), np.nan)}, "numbers that are none"),
])
def test_what_is_no_hand_is_a_sentence(far_ball, change, sentence):
    arrays = {"rotations": np.ones((2, 16, 4)), "translation": np.zeros((2, 3)), **change}
    with pytest.raises(ValueError, match=sentence):
        read_posed({name: array for name, array in arrays.items() if array is not None}, far_ball)
