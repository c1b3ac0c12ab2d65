"""What the tests of generators share: grasps on the mug, batches and requests of them."""

from __future__ import annotations

import pytest
import torch

from core.generators.conditioning import Conditioning
from core.generators.learned import Network
from core.generators.local_cloud import LocalPointCloud, local_cloud, object_cloud
from core.grasps.request import GraspRequest
from core.hand.skin import SkinSample
from core.progress import Progress


class Recorder(Progress):
    """Notes the fractions, and stops the work at one of them that is at least `stop_at`."""

    def __init__(self, stop_at: float = float("inf")) -> None:
        self.fractions: list[float] = []
        self.stop_at = stop_at
        super().__init__(self._note)

    def _note(self, fraction: float, stage: str) -> bool:
        self.fractions.append(fraction)
        return fraction < self.stop_at


@pytest.fixture
def recorder():
    return Recorder


@pytest.fixture(scope="session")
def mug_batch(mug_grasps, hand):
    """Fits a network's units to the mug's grasps; gives the hand's points, those grasps as a batch, and what they are
    asked under."""
    def make(network: Network) -> tuple[SkinSample, dict[str, torch.Tensor], Conditioning]:
        obj, grasps, frames = mug_grasps
        network.code.fit(hand, grasps, frames)
        count, skin = len(grasps), SkinSample(hand)
        grasp_type, intent = torch.ones(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)
        whole = object_cloud(obj.points, obj.normals, frames, 256, torch.Generator().manual_seed(0))
        batch = {
            "object": whole,
            "cloud": local_cloud(obj.points, obj.normals, frames, 128, torch.Generator().manual_seed(0)),
            "params": network.code.encode(hand, grasps, frames), "betas": grasps.betas, "grasp_type": grasp_type,
            "intent": intent}
        cloud = LocalPointCloud.around(obj, frames, 128, torch.Generator().manual_seed(0))
        return skin, batch, Conditioning(cloud, grasp_type, intent, grasps.betas, skin, network.without_fit,
                                         whole=whole)

    return make


@pytest.fixture
def request_of(block, hand):
    def make(count: int = 4, **options: object) -> GraspRequest:
        return GraspRequest(block, options.pop("hand", hand), count, **options)

    return make


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)
