"""Starts that are searched for near a pose: out of the object, onto it, and where fingers close firmly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from core.fitting.contact_energy import distances_to
from core.fitting.fit import SCHEDULE
from core.fitting.fit_hand import finger_closings
from core.fitting.nearby_poses import out_of_object, stiffest_nearby, toward_object
from core.quality.bones import bones_crossing
from core.quality.stiffness import grasp_quality, stiffness_deficit
from core.training.noise import perturbed


def test_a_firmer_grasp_is_found_near_a_loose_hand(held_out, hand, setting_of):
    better, nearer = [], []
    for obj, grasps in held_out:
        off = perturbed(hand, grasps, (0.012, 0.0, 0.1), torch.Generator().manual_seed(3))
        loose = replace(off, hand_pose=hand.pose_from_dofs(0.75 * hand.dofs_from_pose(off.hand_pose)))
        setting = setting_of(obj, loose)
        found = stiffest_nearby(setting.hand, setting.stiffness, obj, setting.poses)
        both = [setting.grasps(poses) for poses in (setting.poses, found)]
        before, after = (stiffness_deficit(grasp_quality(obj, hand, some)) for some in both)
        better.append((before - after)[before > SCHEDULE.slack])
        one, other = (hand(**some.parameters()).joints for some in both)
        nearer.append((one - other).norm(dim=-1).mean(1))
    assert len(torch.cat(better)) >= 6
    assert (torch.cat(better) > 0.5).float().mean() > 0.5
    assert torch.cat(nearer).max() < 0.05


def test_where_there_is_nothing_to_hold_the_hand_stays_as_it_is(held_out, setting_of):
    obj, grasps = held_out[0]
    setting = setting_of(obj, replace(grasps, transl=grasps.transl + 1.0))
    found = stiffest_nearby(setting.hand, setting.stiffness, obj, setting.poses)
    assert np.allclose(found.wrist, setting.poses.wrist, atol=1e-6)
    assert np.allclose(found.dofs, setting.poses.dofs, atol=1e-6)


def test_each_finger_closes_by_its_own_joints(hand):
    closing = finger_closings(hand)
    assert (closing > 0).sum(1).tolist() == [3] * 5
    assert ((closing > 0).sum(0) <= 1).all()
    assert {name for name, on in zip(hand.dof_names, closing[1] > 0, strict=True) if on} == {
        "index MCP bend", "index PIP bend", "index DIP bend"}


def test_the_way_out_is_none_where_nothing_is_in(held_out, setting_of):
    obj, grasps = held_out[0]
    setting = setting_of(obj, replace(grasps, transl=grasps.transl + 1.0))
    out = out_of_object(setting.hand, obj, setting.poses)
    assert np.array_equal(out.wrist, setting.poses.wrist)
    assert np.array_equal(out.dofs, setting.poses.dofs)


def test_a_way_out_leaves_hardly_a_bone_in_the_object(held_out, hand, rng, setting_of, thrown):
    obj, _ = held_out[1]
    setting = setting_of(obj, thrown(obj, 8, rng))

    def crossings(poses) -> int:
        return int(bones_crossing(obj, hand(**setting.grasps(poses).parameters()).joints).sum())

    assert crossings(setting.poses) >= 4
    assert crossings(out_of_object(setting.hand, obj, setting.poses)) <= crossings(setting.poses) / 4


def test_a_hand_afloat_is_moved_until_it_is_close_and_another_stays(held_out, setting_of):
    obj, grasps = held_out[0]
    shift = torch.zeros(len(grasps), 3)
    shift[0, 2] = 0.3
    setting = setting_of(obj, replace(grasps, transl=grasps.transl + shift))
    moved = toward_object(setting.hand, obj, setting.poses)
    points = setting.hand.candidates.posed(setting.hand.chain.posed(moved).moves)
    assert 0 < float(distances_to(obj.grid, points[:1])[0].min()) < 0.01
    assert np.array_equal(moved.wrist[1:], setting.poses.wrist[1:])
