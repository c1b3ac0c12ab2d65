"""The pose correctives keep the flesh, stay where their joints are, and no finger goes through another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.hand import load_hand
from core.hand.articulation import fist_dofs, relaxed_dofs


def posed(hand, dofs: torch.Tensor) -> torch.Tensor:
    count = len(dofs)
    zero = torch.zeros(count, 3)
    return hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(count, 10)).vertices


def volume(hand, vertices: torch.Tensor) -> torch.Tensor:
    a, b, c = vertices[:, hand.faces].unbind(2)
    return (a * torch.linalg.cross(b, c)).sum((1, 2)) / 6


@pytest.fixture(scope="module")
def hands():
    plain = load_hand()
    plain.posedirs.zero_()
    return plain, load_hand()


@pytest.mark.parametrize(
    "name", ["index PIP bend", "middle PIP bend", "index MCP bend", "ring PIP bend", "thumb IP bend"]
)
def test_hard_bends_keep_their_volume(hands, name):
    plain, hand = hands
    dofs = torch.zeros(1, 21)
    dofs[0, hand.dof_names.index(name)] = np.deg2rad(80)
    rest = volume(hand, hand.v_template[None])
    lost = (volume(hand, posed(hand, dofs)) - rest).abs()
    assert lost < 0.6 * (volume(plain, posed(plain, dofs)) - rest).abs()
    assert lost < 1.5e-6, "ml"


def test_a_fist_keeps_its_volume(hands):
    plain, hand = hands
    rest = volume(hand, hand.v_template[None])
    fist = fist_dofs()[None]
    assert (volume(plain, posed(plain, fist)) / rest - 1).abs() > 0.08
    assert (volume(hand, posed(hand, fist)) / rest - 1).abs() < 0.02


@pytest.mark.parametrize("dofs", [fist_dofs(), relaxed_dofs()], ids=["fist", "relaxed"])
def test_no_finger_through_another(hands, dofs):
    igl = pytest.importorskip("igl")
    hand = hands[1]
    skin = posed(hand, dofs[None])[0].double().numpy()
    faces, parts = hand.faces.numpy(), hand.parts.numpy()
    for finger in range(5):
        mine = faces[(parts[faces] == finger).all(1)]
        loop = igl.boundary_loop(mine)
        cap = [[b, a, len(skin)] for a, b in zip(loop, np.roll(loop, -1))]
        closed = np.vstack([skin, skin[loop].mean(0)])
        others = skin[(parts != finger) & (parts < 5)]
        sign = igl.SIGNED_DISTANCE_TYPE_WINDING_NUMBER
        distance = igl.signed_distance(others, closed, np.vstack([mine, cap]), sign_type=sign)[0]
        assert distance.min() > -3e-4


def test_the_thumb_lies_on_the_index_in_a_fist(hands):
    hand = hands[1]
    skin = posed(hand, fist_dofs()[None])[0]
    pad, index = skin[hand.contact_regions[0]], skin[hand.parts == 1]
    assert torch.cdist(pad, index).min() < 0.002


def test_nothing_spikes_in_any_pose(hands):
    plain, hand = hands
    pose = torch.randn(200, 45, generator=torch.Generator().manual_seed(0))  # far outside the joints' limits
    zero = torch.zeros(200, 3)
    a, b = (each(zero, pose, zero, torch.zeros(200, 10)).rest_vertices for each in (plain, hand))
    assert (a - b).norm(dim=-1).max() < 0.03
    assert (a - b).norm(dim=-1).mean() < 0.002


def test_a_joint_corrects_its_own_skin_only(hands):
    hand = hands[1]
    dofs = torch.zeros(1, 21)
    dofs[0, hand.dof_names.index("index PIP bend")] = 1.5
    zero = torch.zeros(1, 3)
    moved = hand(zero, hand.pose_from_dofs(dofs), zero, torch.zeros(1, 10)).rest_vertices[0] - hand.v_template
    assert moved.norm(dim=1).max() > 1e-4
    assert (moved[hand.lbs_weights[:, 2] < 0.01] == 0).all()
