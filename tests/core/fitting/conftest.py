"""A few held-out training grasps and their objects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.dataset.training_grasps import load_training, training_object

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
