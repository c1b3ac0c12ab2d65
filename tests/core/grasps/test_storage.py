"""GRASPS.npz: what is written is read again, and files of earlier versions are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.grasps.storage import read_grasps, write_grasps

DATA = Path(__file__).resolve().parents[1] / "data"


def test_a_file_of_version_0_1_0_is_read(hand):
    path = DATA / "made_by_0_1_0.npz"
    grasps, unit = read_grasps(path)
    assert (len(grasps), grasps.method, grasps.seed, grasps.hand, unit) == (2, "fastgrasp", 0, "right", "m")
    assert all(grasps.type)
    with np.load(path, allow_pickle=False) as stored, torch.no_grad():
        vertices = hand(**grasps.parameters()).vertices.double().numpy() + stored["centroid"]
        assert np.abs(vertices - stored["vertices"]).max() < 1e-6
        assert np.array_equal(stored["faces"], hand.faces.numpy())
        assert np.array_equal(grasps.score.numpy(), stored["score"])


@pytest.mark.parametrize("unit", ["m", "cm"])
def test_what_is_written_is_read_again(tmp_path, hand, ball, ball_grasp, unit):
    path = tmp_path / "grasps.npz"
    given = replace(ball_grasp, score=torch.tensor([42.0]), method="synthesis", seed=7)
    write_grasps(path, hand, ball, given, unit)
    grasps, told = read_grasps(path)
    assert told == unit
    for name, value in given.parameters().items():
        assert torch.equal(getattr(grasps, name), value)
    assert (grasps.score.tolist(), grasps.type, grasps.method, grasps.seed) == ([42.0], given.type, "synthesis", 7)
