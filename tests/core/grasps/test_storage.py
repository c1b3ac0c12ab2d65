"""GRASPS.npz: what is written is read again, and files of earlier versions and of other tools are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.grasps.storage import read_grasps, write_grasps
from core.units import UNITS
from tests.core.hand.mano_files import hand_arrays

DATA = Path(__file__).resolve().parents[1] / "data"


def test_a_file_of_version_0_1_0_is_read(hand, ball):
    path = DATA / "made_by_0_1_0.npz"
    stored = read_grasps(path)
    with np.load(path, allow_pickle=False) as arrays, torch.no_grad():
        grasps = stored.on(replace(ball, centroid=arrays["centroid"]))
        assert (len(grasps), grasps.method, grasps.seed, grasps.hand, stored.unit) == (2, "fastgrasp", 0, "right", "m")
        assert all(grasps.type)
        assert np.array_equal(grasps.transl.numpy(), arrays["transl"])
        vertices = hand(**grasps.parameters()).vertices.double().numpy() + arrays["centroid"]
        off = np.abs(vertices - arrays["vertices"]).max((0, 2))
        assert (off > 1e-6).sum() <= 33  # the vertices that had five influences
        assert off.max() < 1e-3
        assert np.array_equal(arrays["faces"], hand.faces.numpy())
        assert np.array_equal(grasps.score.numpy(), arrays["score"])


@pytest.mark.parametrize("unit", ["m", "cm"])
def test_what_is_written_is_read_again(tmp_path, hand, ball, ball_grasp, unit):
    path = tmp_path / "grasps.npz"
    given = replace(ball_grasp, score=torch.tensor([42.0]), method="synthesis", seed=7)
    ball = replace(ball, centroid=np.array([0.5, -0.21, 7.3]))
    write_grasps(path, hand, ball, given, unit)
    stored = read_grasps(path)
    grasps = stored.on(ball)
    assert stored.unit == unit
    for name, value in given.parameters().items():
        assert (getattr(grasps, name) - value).abs().max() < 1e-6  # metres of single precision at 7 m
    assert (grasps.score.tolist(), grasps.type, grasps.method, grasps.seed) == ([42.0], given.type, "synthesis", 7)


@pytest.mark.parametrize("unit", ["m", "mm"])
def test_smplx_gives_the_files_vertices_from_its_parameters(tmp_path, ball, ball_grasp, unit):
    import smplx

    from core.hand import load_hand

    (tmp_path / "mano").mkdir()
    np.savez(tmp_path / "mano" / "MANO_RIGHT.npz", **hand_arrays())
    ours = load_hand(tmp_path / "mano" / "MANO_RIGHT.npz")
    path = tmp_path / "grasps.npz"
    write_grasps(path, ours, replace(ball, centroid=np.array([0.5, 0.2, 0.1])), ball_grasp, unit)
    theirs = smplx.create(str(tmp_path), "mano", ext="npz", use_pca=False, flat_hand_mean=True, is_rhand=True)
    with np.load(path, allow_pickle=False) as stored, torch.no_grad():
        names = ("global_orient", "hand_pose", "transl", "betas")
        out = theirs(**{name: torch.from_numpy(stored[name]) for name in names})
        assert np.abs(out.vertices.numpy() - stored["vertices"] * UNITS[unit]).max() < 1e-5
        assert not stored["centroid"].any()


def test_another_tools_file_is_read_in_the_meshs_own_frame(tmp_path, ball, ball_grasp):
    path, centroid = tmp_path / "theirs.npz", np.array([0.5, 0.2, 0.1])
    arrays = {name: value.numpy() for name, value in ball_grasp.parameters().items()}
    np.savez(path, **{**arrays, "transl": arrays["transl"] + centroid})
    stored = read_grasps(path, "left", "cm")
    grasps = stored.on(replace(ball, centroid=centroid))
    assert (grasps.hand, stored.unit, grasps.type) == ("left", "cm", ("",))
    assert torch.equal(grasps.transl, ball_grasp.transl)
