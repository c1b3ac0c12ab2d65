"""A few held-out training grasps and their objects, and hands at work on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from core.dataset.training_grasps import load_training, training_object
from core.fitting.contact_energy import ContactEnergy
from core.fitting.fit_hand import FitHand, fit_hand
from core.fitting.posing import HandPoses
from core.fitting.stiffness_term import StiffnessTerm
from core.grasps.batch import Grasps
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
    """Hands of one shape on an object, as the fit moves them."""

    obj: GraspObject
    hand: FitHand
    poses: HandPoses
    given: Grasps

    @property
    def everywhere(self) -> np.ndarray:
        """(B, C) every contact candidate is to touch."""
        return np.ones((len(self.poses), len(self.hand.candidates)), np.float32)

    @property
    def stiffness(self) -> StiffnessTerm:
        return StiffnessTerm(self.hand, self.obj)

    def energy(self, *, stiff: bool = False) -> ContactEnergy:
        term = self.stiffness if stiff else None
        return ContactEnergy(self.hand, self.obj, self.poses, self.everywhere, term)

    def grasps(self, poses: HandPoses) -> Grasps:
        return self.hand.grasps(poses, self.given)


@pytest.fixture(scope="session")
def setting_of(hand):
    """The setting of grasps on an object."""
    def setting(obj: GraspObject, grasps: Grasps) -> Setting:
        shaped = fit_hand(hand, grasps.betas[0])
        return Setting(obj, shaped, shaped.poses_of(grasps), grasps)

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
