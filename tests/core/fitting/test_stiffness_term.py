"""The stiffness while hands move: it ranks them as all of their skin does, and its slope leads to firmer ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.fitting.contact_energy import CONFIG
from core.fitting.posing import moved_by, slopes_along
from core.quality.stiffness import STIFFNESS, grasp_quality


@pytest.fixture(scope="module")
def loose(held_out, hand, setting_of):
    """The setting of grasps whose fingers are more and more opened."""
    obj, grasps = held_out[0]
    opened = hand.dofs_from_pose(grasps.hand_pose) * torch.linspace(0.8, 1.0, len(grasps))[:, None]
    return setting_of(obj, replace(grasps, hand_pose=hand.pose_from_dofs(opened)))


def test_the_stiffness_of_moving_hands_is_that_of_all_their_skin(loose, hand):
    rough = loose.stiffness.stiffness(loose.poses)
    exact = grasp_quality(loose.obj, hand, loose.given)
    rank = [value.argsort().argsort().double() for value in (rough, exact)]
    assert float(torch.corrcoef(torch.stack(rank))[0, 1]) > 0.7


def test_that_of_the_whole_skin_is_what_grasps_are_judged_by(loose, hand):
    found = loose.stiffness.of_whole_skin().stiffness(loose.poses)
    exact = grasp_quality(loose.obj, hand, loose.given)
    assert torch.allclose(found.log(), exact.log(), atol=0.1)


def test_bones_in_the_object_leave_a_share_of_it(loose):
    whole = loose.stiffness.stiffness(loose.poses)
    bones = torch.arange(len(whole))
    assert torch.allclose(loose.stiffness.with_bones(loose.poses, bones), whole * STIFFNESS.blocked**bones)


def test_its_slope_is_finite_and_leads_to_firmer_hands(loose):
    hand, poses = loose.hand, loose.poses
    links = hand.chain.posed(poses)
    found = loose.stiffness(poses, links)
    assert np.isfinite(found.slope).all()
    lacking = found.deficit > 0
    assert lacking.mean() > 0.5
    assert (np.abs(found.slope).sum(1) > 0)[lacking].all()
    centre = poses.rotation @ hand.pivot + poses.wrist
    rows = slopes_along(found.points, found.outward, hand.palmar_skin.carried, links, centre)
    slope = (found.slope[:, None] @ rows)[:, 0]
    step = -0.02 * slope / np.linalg.norm(slope, axis=1, keepdims=True).clip(1e-9)
    moved = moved_by(poses, step.astype(np.float32), hand.pivot)
    after = loose.stiffness(moved, hand.chain.posed(moved)).deficit
    assert (after < found.deficit)[lacking].mean() > 0.8


def test_from_where_the_object_rested_few_steps_lead_to_the_balance(loose):
    hand, poses = loose.hand, loose.poses
    first = loose.stiffness(poses, hand.chain.posed(poses))
    nearly = replace(poses, dofs=hand.clamped(poses.dofs + np.float32(0.01)))
    links = hand.chain.posed(nearly)
    again, anew = loose.stiffness(nearly, links, first.travel), loose.stiffness(nearly, links)
    assert np.allclose(again.deficit, anew.deficit, rtol=0.12, atol=0.05)


def test_the_energy_of_hands_that_close_has_it_as_a_term(loose):
    poses = loose.poses
    stiff, plain = (loose.energy(stiff=on)(poses) for on in (True, False))
    deficit = loose.stiffness(poses, loose.hand.chain.posed(poses)).deficit
    assert np.allclose(stiff.energy - plain.energy, CONFIG.stiffness * deficit, rtol=1e-3, atol=1e-3)
    assert ((stiff.gradient - plain.gradient)[deficit > 0] != 0).any(1).all()
