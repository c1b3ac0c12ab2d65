from __future__ import annotations

import pytest
import torch

from core.generators.learned import Network
from core.generators.local_cloud import LocalPointCloud, window_cloud
from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.hand.skin import SkinSample


class Quiet:
    """A `Progress` that notes the fractions and stops after `most` of them."""

    def __init__(self, most: int = 10**9) -> None:
        self.fractions: list[float] = []
        self.most = most

    def __call__(self, fraction: float, stage: str) -> bool:
        self.fractions.append(fraction)
        return len(self.fractions) < self.most

    def accepted(self, grasps: Grasps) -> None:
        pass


@pytest.fixture(scope="session")
def mug_batch(mug_grasps, hand):
    """Has a network's code fitted to the mug's grasps; gives the hand's skin and those grasps as a batch."""
    def make(network: Network) -> tuple[SkinSample, dict[str, torch.Tensor]]:
        obj, grasps, frames = mug_grasps
        network.code.fit(hand, grasps, frames)
        count = len(grasps)
        return SkinSample(hand), {
            "window": window_cloud(obj.points, obj.normals, frames, 128, torch.Generator().manual_seed(0)),
            "code": network.code.encode(hand, grasps, frames), "betas": grasps.betas,
            "kind": torch.ones(count, dtype=torch.long), "intent": torch.zeros(count, dtype=torch.long),
            "seen": LocalPointCloud.around(obj, frames, 128, torch.Generator().manual_seed(0))}

    return make


@pytest.fixture
def request_of(block, hand):
    def make(count: int = 4, **options: object) -> GraspRequest:
        return GraspRequest(block, options.pop("hand", hand), count, **options)

    return make


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)
