from __future__ import annotations

import pytest
import torch
import trimesh

from core.dataset.training_grasps import load_training, training_object
from core.generators.learned import Network
from core.generators.local_cloud import LocalPointCloud, window_cloud
from core.grasps.batch import Grasps
from core.grasps.heading_frame import frames_of_grasps
from core.grasps.request import GraspRequest
from core.hand import load_hand
from core.hand.skin import SkinSample
from core.objects import prepare_object


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
def hand():
    return load_hand()


@pytest.fixture(scope="session")
def mug_grasps(hand):
    """A training object, its grasps and their frames."""
    data = load_training("weights/training/grasps.npz")
    name = "mug/0"
    mine = data[data.object == data.objects.index(name)]
    obj = training_object(name)
    grasps = mine.grasps(hand)
    return obj, grasps, frames_of_grasps(obj, hand, grasps)


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


@pytest.fixture(scope="session")
def block():
    mesh = trimesh.creation.box((0.03, 0.05, 0.16)).subdivide_to_size(0.01)
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture
def request_of(block, hand):
    def make(count: int = 4, **options: object) -> GraspRequest:
        return GraspRequest(block, options.pop("hand", hand), count, **options)

    return make


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)
