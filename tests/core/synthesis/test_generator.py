"""`synthesis`: its grasps pass what they promise, differ, repeat by their seed, and come as soon as they are good."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.fitting.poses import Poses
from core.grasps.request import GraspRequest
from core.grasps.taxonomy import BY_NAME
from core.hand import load_hand
from core.objects import prepare_object
from core.progress import Stopped
from core.quality.bones import bones_crossing
from core.synthesis.acceptance import check
from core.synthesis.generator import Synthesis
from tests.core.synthesis.conftest import Watch


def sampled(obj, hand, count: int, seed: int, watch: Watch | None = None, grasp_type: str = "any"):
    request = GraspRequest(obj, hand, count, type=grasp_type)
    return Synthesis().sample(request, torch.Generator().manual_seed(seed), watch or Watch()).grasps


@pytest.fixture(scope="module")
def grasped(hand, rod):
    """(grasps of the rod, what was told and shown meanwhile)."""
    watch = Watch()
    return sampled(rod, hand, 2, 3, watch), watch


def test_grasps_of_a_rod_pass_what_they_promise(grasped, hand, rod):
    grasps, watch = grasped
    assert len(grasps) >= 2
    assert sum(len(one) for one in watch.shown) == len(grasps)
    assert grasps.measures["depth_mm"].max() <= 1.81
    assert ((grasps.score > 0) & (grasps.score <= 100)).all()
    for name, contacts in zip(grasps.type, grasps.measures["contacts"].tolist(), strict=True):
        assert contacts >= (4 if BY_NAME[name].power else 2)
    out = hand(**grasps.parameters())
    distance, _ = rod.signed_distance(out.vertices.reshape(-1, 3))
    distance = torch.as_tensor(distance).reshape(len(grasps), -1)
    assert float(distance.min()) > -0.0019
    assert float(distance.amin(1).max()) < 0.002


def test_grasps_differ_by_three_centimetres(grasped, hand):
    joints = hand(**grasped[0].parameters()).joints
    apart = (joints[:, None] - joints[None]).norm(dim=-1).mean(-1)
    apart.fill_diagonal_(math.inf)
    assert apart.min() >= 0.03 - 1e-6


def test_a_seed_repeats_and_another_does_not(grasped, hand, rod):
    again = sampled(rod, hand, 2, 3)
    assert torch.equal(again.transl, grasped[0].transl)
    assert again.type == grasped[0].type
    assert not torch.equal(sampled(rod, hand, 1, 4).transl[:1], again.transl[:1])


def test_a_left_hand_grasps_by_the_type_asked_for(rod):
    grasps = sampled(rod, load_hand(side="left"), 2, 1, grasp_type="prismatic_four")
    assert len(grasps) >= 2
    assert grasps.hand == "left"
    assert set(grasps.type) == {"prismatic_four"}


def test_a_bowl_is_held_by_its_wall(hand, wide_bowl):
    grasps = sampled(wide_bowl, hand, 2, 1)
    assert len(grasps) >= 2
    assert int(bones_crossing(wide_bowl, hand(**grasps.parameters()).joints).sum()) == 0


@pytest.mark.parametrize("patience", [1, 40])
def test_a_stop_ends_the_work_within_one_step(hand, rod, patience):
    watch = Watch(patience)
    with pytest.raises(Stopped):
        sampled(rod, hand, 16, 0, watch)
    assert len(watch.fractions) == patience


def test_what_was_accepted_before_a_stop_stands(grasped, hand, rod):
    """The first that was shown is the same in a run that is stopped at once when it has been shown."""
    class FirstOnly(Watch):
        def told(self, fraction: float, stage: str) -> bool:
            return super().told(fraction, stage) and not self.shown

    watch = FirstOnly()
    with pytest.raises(Stopped):
        sampled(rod, hand, 2, 3, watch)
    assert len(watch.shown) >= 1
    assert torch.equal(watch.shown[0].transl, grasped[1].shown[0].transl)


def test_a_hand_through_a_wall_is_not_accepted(energy_on, wide_bowl):
    straight = torch.zeros(1, 21)
    poses = Poses(torch.eye(3)[None], torch.tensor([[0.12, 0.0, 0.0]]), straight, straight, ("tripod",))
    checked = check(wide_bowl, energy_on(wide_bowl), poses)
    assert int(checked.surface.through) > 0
    assert not bool(checked.accepted)


def test_a_sheet_without_thickness_is_told_what_gives_it_one(hand):
    sheet = prepare_object(np.array([[0, 0, 0], [0.2, 0, 0], [0.2, 0.15, 0], [0, 0.15, 0.0]]),
                           np.array([[0, 1, 2], [0, 2, 3]]))
    with pytest.raises(LookupError, match=r"without thickness.*Solidify"):
        sampled(sheet, hand, 1, 0)
