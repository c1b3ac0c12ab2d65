"""The synergy basis on made angles, and the bundled one on the bundled grasps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.dataset.synergies import fit_synergies, load_synergies

TRAINING = Path(__file__).resolve().parents[3] / "weights" / "training"


def test_a_plane_of_angles_is_found():
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(21, 2)))[0].T
    dofs = 0.5 + rng.normal(size=(4000, 2)) * [0.4, 0.1] @ plane
    found = fit_synergies(dofs)
    assert found.deviation[:2] == pytest.approx([0.4, 0.1], rel=0.05)
    assert found.explained[1] == pytest.approx(1)
    assert abs(found.basis[0] @ plane[0]) == pytest.approx(1, abs=1e-2)
    assert np.abs(found.dofs(found.coordinates(dofs)[:, :2]) - dofs).max() < 1e-6


def test_weights_count(tmp_path):
    dofs = np.concatenate([np.zeros((90, 21)), np.ones((10, 21))])
    even = fit_synergies(dofs, np.concatenate([np.full(90, 1 / 90), np.full(10, 1 / 10)]))
    assert even.mean == pytest.approx(np.full(21, 0.5))
    even.save(tmp_path / "a.npz")
    assert np.array_equal(load_synergies(tmp_path / "a.npz").basis, even.basis)


def test_the_bundled_basis_is_of_the_bundled_grasps():
    from core.dataset.training_grasps import load_training

    data, kept = load_training(TRAINING / "grasps.npz"), load_synergies(TRAINING / "synergies.npz")
    counts = np.bincount(data.type, minlength=18)
    again = fit_synergies(data.dofs.astype(np.float64), 1 / counts[data.type])
    assert np.allclose(again.deviation, kept.deviation, atol=1e-6)
    assert kept.explained[5] > 0.75  # six synergies say most of a grasping hand
