"""CHOIR's keypoint baseline: it proposes and refines as JointDiffusion does, and learns."""

from __future__ import annotations

import pytest
import torch

from core.fitting.pose_fit import trilaterate
from core.fitting.representation import ANCHORS
from core.generators.keypoints import JOINTS, KeypointDiffusion
from core.generators.learned import Learned
from core.generators.local_cloud import local_cloud
from core.generators.place_scorer import PlaceScorer
from core.generators.training_config import OptimizerConfig
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.skin import SkinSample
from core.metrics.truth import joint_error_mm
from core.progress import Progress
from core.training.loop import train


@pytest.fixture(scope="module")
def known(mug_grasps, hand):
    obj, grasps, frames = mug_grasps
    torch.manual_seed(0)
    network = KeypointDiffusion(width=96, hidden=64, condition=32)
    network.code.fit(hand, grasps, frames)
    params, skin = network.code.encode(hand, grasps, frames), SkinSample(hand)
    network.standardise(skin, params)
    cloud = local_cloud(obj.points, obj.normals, frames, network.points, torch.Generator().manual_seed(0))
    none = torch.zeros(len(grasps), dtype=torch.long)
    return network, skin, {"cloud": cloud, "params": params, "grasp_type": none, "intent": none, "noisy": params,
                           "given": torch.ones(len(grasps), dtype=torch.bool)}


def test_keypoints_are_joints_and_anchors_in_the_heading_frame(known, mug_grasps, hand):
    network, skin, batch = known
    _, grasps, frames = mug_grasps
    with torch.no_grad():
        posed = hand(**grasps.parameters())
        there = torch.cat([posed.joints, hand.anchors(posed.vertices)], 1)
    found = network.keypoints(skin, batch["params"]).unflatten(1, (-1, 3))
    assert found.shape[1] == JOINTS + ANCHORS
    assert torch.allclose(frames.to_object(found), there, atol=2e-4)


def test_its_anchors_are_handed_on_as_distances(known):
    network, skin, batch = known
    true = network.keypoints(skin, batch["params"])
    field = network.out_of_units((true - network.place) / network.spread)
    assert torch.allclose(trilaterate(field.distances), true.unflatten(1, (-1, 3))[:, JOINTS:], atol=1e-4)
    assert field.gaussians.abs().max() == 0


def test_it_learns_to_keep_hands_that_need_no_refining(known, mug_grasps, hand, tmp_path):
    network, skin, batch = known
    obj, grasps, _ = mug_grasps
    learned = Learned(network, PlaceScorer(), "baseline")

    def error() -> float:
        found, choir = learned.refine(obj, hand, grasps, torch.Generator().manual_seed(0), Progress())
        assert len(choir) == len(found) == len(grasps)
        with torch.no_grad():
            pair = [hand(**one.parameters()).joints for one in (found, grasps)]
        return float(joint_error_mm(*pair)[0].mean())

    before = error()
    train(network, lambda rng: network.loss(skin, batch, rng), OptimizerConfig(300, 2e-3), tmp_path, "joint", 1e9)
    assert error() < 0.5 * before
    assert 1000 * LOCAL_RADIUS > before > 20
