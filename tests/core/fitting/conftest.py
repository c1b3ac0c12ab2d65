"""A few held-out training grasps and their objects, and hands at work on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import trimesh

from core.dataset.training_grasps import load_training, training_object
from core.fitting.contact_fit import FitEnergy, StiffFitEnergy, StiffnessEvaluator
from core.fitting.energy import GraspEnergy
from core.fitting.hand_points import HandPoints
from core.fitting.poses import Poses, poses_of_grasps
from core.grasps.batch import Grasps
from core.hand import HandModel
from core.metrics.controls import random_wrists
from core.objects import GraspObject, prepare_object

TRAINING = Path(__file__).resolve().parents[3] / "weights" / "training" / "grasps.npz"


@pytest.fixture(scope="session")
def held_out(hand):
    """(object, grasps) of two shapes that no training split holds, six grasps each."""
    data = load_training(TRAINING).split("shape")
    found = []
    for name in ("apple/5", "ball/5"):
        mine = data[data.object == data.objects.index(name)][:6]
        found.append((training_object(name), mine.grasps(hand)))
    return found


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@dataclass
class Setting:
    """Hands of one shape on an object, and the energies they may be optimised with."""

    obj: GraspObject
    hand: HandModel
    points: HandPoints
    betas: torch.Tensor
    poses: Poses

    @property
    def energy(self) -> GraspEnergy:
        return GraspEnergy(self.hand, self.points, self.betas, self.obj)

    @property
    def everywhere(self) -> torch.Tensor:
        """(B, C) every contact candidate is to touch."""
        return torch.ones(len(self.poses), self.points.candidates.stop)

    @property
    def evaluator(self) -> StiffnessEvaluator:
        return StiffnessEvaluator(self.energy, self.obj)

    def fit_energy(self) -> FitEnergy:
        return FitEnergy(self.hand, self.points, self.betas, self.obj, self.poses, self.everywhere)

    def stiff_energy(self) -> StiffFitEnergy:
        return StiffFitEnergy(self.hand, self.points, self.betas, self.obj, self.poses, self.everywhere,
                              self.evaluator)

    def grasps(self, poses: Poses) -> Grasps:
        return self.energy.grasps(poses, "", 0)


@pytest.fixture(scope="session")
def setting_of(hand):
    """The setting of grasps on an object."""
    def setting(obj: GraspObject, grasps: Grasps) -> Setting:
        points = HandPoints(hand, grasps.betas[0])
        return Setting(obj, hand, points, grasps.betas[0], poses_of_grasps(hand, points, grasps))

    return setting


@pytest.fixture(scope="session")
def thrown(hand):
    """Hands at random wrists around an object, all joints bent alike by so many radians."""
    def throw(obj: GraspObject, count: int, rng: torch.Generator, bend: float = 0.4) -> Grasps:
        return random_wrists(obj, hand, count, rng, hand.pose_from_dofs(torch.full((1, 21), bend))[0])

    return throw


@pytest.fixture(scope="session")
def cube():
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    return prepare_object(mesh.vertices, mesh.faces)
