"""What the tests of synthesis share: a bowl, starts on objects, and a progress that remembers."""

from __future__ import annotations

import pytest
import torch
import trimesh

from core.fitting.energy import GraspEnergy
from core.fitting.hand_points import HandPoints
from core.grasps.batch import Grasps
from core.grasps.request import GraspRequest
from core.objects import prepare_object
from core.progress import Progress
from core.synthesis.starts import StartSampler


class Watch(Progress):
    """A progress that remembers what it was told and shown; stops at its report number `patience`."""

    def __init__(self, patience: int = 10**9) -> None:
        self.patience, self.fractions = patience, []
        self.shown: list[Grasps] = []
        super().__init__(self.told, self.shown.append)

    def told(self, fraction: float, stage: str) -> bool:
        assert stage
        self.fractions.append(fraction)
        return len(self.fractions) < self.patience


@pytest.fixture
def watch() -> type[Watch]:
    return Watch


@pytest.fixture(scope="session")
def wide_bowl():
    """A bowl 14 cm wide with a wall of 3 mm."""
    outer = [[0.0, 0.0], [0.03, 0.0], [0.06, 0.02], [0.07, 0.06]]
    inner = [[0.067, 0.06], [0.057, 0.022], [0.029, 0.003], [0.0, 0.003]]
    mesh = trimesh.creation.revolve(outer + inner, sections=64)
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture(scope="session")
def energy_on(hand):
    """The energy of the mean hand on an object."""
    return lambda obj: GraspEnergy(hand, HandPoints(hand), torch.zeros(10), obj)


@pytest.fixture(scope="session")
def sampler_on(hand, energy_on):
    """A sampler of starts on an object, of one type or any."""
    def sampler(obj, grasp_type: str = "any", variety: float = 0.0) -> StartSampler:
        request = GraspRequest(obj, hand, 4, type=grasp_type)
        return StartSampler(obj, energy_on(obj), request, torch.Generator().manual_seed(0), variety)

    return sampler
