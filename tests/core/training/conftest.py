"""A little training data, made once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.dataset.training_grasps import load_training, merge
from core.progress import Progress
from core.training.data import load_training_data
from core.training.shapes import ShapeData, make_columns


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A few grasps of two training shapes, of one held out, and of a family held out."""
    folder = tmp_path_factory.mktemp("data")
    every = load_training("weights/training/grasps.npz")
    parts = []
    for name in ("mug/0", "can/0", "mug/5", next(n for n in every.objects if every.split("family").families.size
                                               and n.split("/")[0] in set(every.split("family").families.tolist()))):
        parts.append(every[np.flatnonzero(every.object == every.objects.index(name))[:12]])
    merge(parts).save(folder / "grasps.npz")
    return folder


@pytest.fixture(scope="session")
def data(files, hand):
    return load_training_data(files / "grasps.npz", files / "windows.npz", hand)


@pytest.fixture(scope="session")
def shapes():
    """Two shapes to be trained on and one held out."""
    return ShapeData.of(make_columns([("mug", 0), ("hammer", 1), ("mug", 5)], Progress()))


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)
