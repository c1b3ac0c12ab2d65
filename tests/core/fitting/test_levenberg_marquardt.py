"""Levenberg and Marquardt's method: energies fall, limits hold, hands do not heed each other, and it repeats."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.fitting.levenberg_marquardt import SOLVER, Stages, limited, minimise, newton_step, solved
from core.fitting.posing import moved_by
from core.progress import Progress, Stopped


@pytest.fixture
def off(held_out, setting_of):
    """Hands on an apple, off their place and bent otherwise by some degrees."""
    setting = setting_of(*held_out[0])
    draw = np.random.default_rng(0).normal(size=(len(setting.poses), 27)).astype(np.float32)
    poses = moved_by(setting.poses, 0.15 * draw, setting.hand.pivot)
    return replace(setting, poses=replace(poses, dofs=setting.hand.clamped(poses.dofs)))


def test_energies_fall_and_angles_stay_within_their_limits(off):
    energy = off.energy()
    found = minimise(energy, off.poses, Stages(8, 0))
    assert (energy(found).energy < 0.6 * energy(off.poses).energy).mean() > 0.8
    assert ((found.dofs >= off.hand.low) & (found.dofs <= off.hand.high)).all()


def test_a_few_steps_go_as_low_as_many(off):
    energy = off.energy()
    start, few, many = (energy(minimise(energy, off.poses, Stages(steps, 0))).energy for steps in (0, 8, 60))
    assert np.median((few - many) / (start - many)) < 0.05


def test_the_last_stage_takes_the_skin_out_of_the_object(off):
    found = minimise(off.energy(), off.poses, Stages(8, 8))
    depth = [-off.obj.grid.query(torch.from_numpy(off.hand.skin.posed(off.hand.chain.posed(poses).moves)))[0].amin(1)
             for poses in (off.poses, found)]
    assert depth[1].mean() < 0.0025
    assert depth[1].mean() < depth[0].mean() / 3


def test_no_step_is_longer_than_it_may_be():
    steps = np.random.default_rng(0).normal(size=(200, 27))
    short = limited(steps)
    assert (np.linalg.norm(short[:, :3], axis=1) <= SOLVER.turn * 1.001).all()
    assert (np.linalg.norm(short[:, 3:6], axis=1) <= SOLVER.shift * 1.001).all()
    assert (np.abs(short[:, 6:]) <= SOLVER.angle * 1.001).all()
    assert np.allclose(limited(1e-3 * steps), 1e-3 * steps)
    assert np.allclose(short / steps, (short / steps)[:, :1])  # its direction stays


def test_a_step_that_is_no_number_is_none_and_stops_no_other_hand(off):
    energy = off.energy()
    model = energy(off.poses)
    gradient, damping = model.gradient.copy(), np.full(len(off.poses), SOLVER.damping)
    gradient[1] = np.nan
    steps = newton_step(energy, off.poses, gradient, model.hessian, damping)
    assert (steps[1] == 0).all()
    whole = newton_step(energy, off.poses, model.gradient, model.hessian, damping)
    assert np.array_equal(np.delete(steps, 1, 0), np.delete(whole, 1, 0))
    assert (np.abs(whole).sum(1) > 0).all()


def test_progress_is_told_each_step_and_a_stop_ends_it_there(off):
    fractions = []
    minimise(off.energy(), off.poses, Stages(2, 3), Progress(lambda fraction, stage: fractions.append(fraction)))
    assert fractions == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    fractions.clear()

    def stop(fraction: float, stage: str) -> bool:
        fractions.append(fraction)
        return len(fractions) < 3

    with pytest.raises(Stopped):
        minimise(off.energy(), off.poses, Stages(2, 3), Progress(stop))
    assert len(fractions) == 3


HASHED = """
import hashlib
import torch, trimesh
from core.fitting.fit import fit
from core.hand import load_hand
from core.metrics.controls import random_wrists
from core.objects import prepare_object

def hash_of_fit(hand):
    mesh = trimesh.creation.box((0.05, 0.06, 0.07))
    obj, bent = prepare_object(mesh.vertices, mesh.faces), hand.pose_from_dofs(torch.full((1, 21), 0.4))[0]
    found = fit(obj, hand, random_wrists(obj, hand, 16, torch.Generator().manual_seed(0), bent)).grasps
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in found.parameters().values())).hexdigest()
"""


def test_the_number_of_cores_changes_no_bit(hand):
    """Of those that NumPy's products of matrices may use, here and in a process of its own."""
    here: dict[str, Any] = {}
    exec(HASHED, here)
    threads = "2" if os.environ.get("OPENBLAS_NUM_THREADS") == "1" else "1"
    run = subprocess.run(
        [sys.executable, "-c", HASHED + "torch.set_num_threads(1)\nprint(hash_of_fit(load_hand()))"],
        cwd=Path(__file__).resolve().parents[3], env=os.environ | {"OPENBLAS_NUM_THREADS": threads}, check=True,
        capture_output=True, text=True)
    assert run.stdout.strip() == here["hash_of_fit"](hand)


def test_systems_are_solved():
    draw = np.random.default_rng(0)
    root, right = draw.normal(size=(7, 27, 27)), draw.normal(size=(7, 27))
    systems = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(27)
    assert np.allclose(solved(systems, right), np.linalg.solve(systems, right[..., None])[..., 0], rtol=1e-6)
