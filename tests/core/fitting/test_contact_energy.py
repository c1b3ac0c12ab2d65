"""The energy of the fit: its model is that of its values, walls are seen from behind, and what is to touch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from core.fitting.contact_energy import ContactEnergy, distances_to, on_thin_wall, parts_that_must_touch
from core.fitting.contact_targets import targets_of_grasp
from core.fitting.posing import HandPoses, moved_by
from core.hand.tables import PARTS
from core.objects import prepare_object


def numeric_slope(energy, poses: HandPoses) -> np.ndarray:
    """(B, 27) the slope of the energy by central differences."""
    count, found = len(poses), np.zeros((len(poses), 27))
    for unknown in range(27):
        by = 2e-3 if 3 <= unknown < 6 else 3e-4
        step = np.zeros((count, 27), np.float32)
        step[:, unknown] = by
        ends = [energy(moved_by(poses, sign * step, energy.hand.pivot)).energy for sign in (1, -1)]
        found[:, unknown] = (ends[0] - ends[1]) / (2 * by)
    return found


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("stiff", [False, True])
def test_the_gradient_is_the_energys(held_out, setting_of, whole, stiff):
    """But for what is left out on purpose, and steps of the grid: see the module."""
    setting = setting_of(*held_out[0])
    draw = np.random.default_rng(0).normal(size=(len(setting.poses), 27)).astype(np.float32)
    poses = moved_by(setting.poses, 0.03 * draw, setting.hand.pivot)
    energy = setting.energy(stiff=stiff)
    energy = energy.reading_whole_skin(poses) if whole else energy
    mine, numeric = energy(poses).gradient, numeric_slope(energy, poses)
    cosine = (mine * numeric).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(numeric, axis=1)
    assert np.median(cosine) > 0.99
    assert cosine.min() > 0.6
    assert np.abs(np.linalg.norm(mine, axis=1) / np.linalg.norm(numeric, axis=1) - 1).max() < 0.35


def test_the_hessians_model_is_symmetric_and_positive(held_out, setting_of):
    setting = setting_of(*held_out[0])
    for energy in (setting.energy(), setting.energy(stiff=True).reading_whole_skin(setting.poses)):
        hessian = energy(setting.poses).hessian
        assert np.allclose(hessian, hessian.transpose(0, 2, 1), rtol=1e-4, atol=1e-3)
        assert (np.linalg.eigvalsh(hessian)[:, 0] > -1e-3).all()


@pytest.fixture(scope="module")
def sheet():
    """A wall of 3 mm, 20 cm square, across z."""
    mesh = trimesh.creation.box((0.2, 0.2, 0.003))
    return prepare_object(mesh.vertices, mesh.faces)


def test_the_farther_skin_is_beyond_a_thin_wall_the_more_it_is_pushed_back(sheet, hand, setting_of, thrown):
    """A flat hand whose fingers' skin comes out on the wall's far side, where the nearest surface would draw it on."""
    setting = setting_of(sheet, thrown(sheet, 8, torch.Generator().manual_seed(0), 0.0))
    shaped = setting.hand
    palm_down = np.tile(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32), (8, 1, 1))
    poses = HandPoses(palm_down, np.zeros((8, 3), np.float32), np.zeros((8, 21), np.float32))
    skin = shaped.skin.posed(shaped.chain.posed(poses).moves)
    height = 0.0006 * np.arange(8, dtype=np.float32)  # of the lowest skin under the sheet's upper side
    lowest = skin[:, shaped.skin.carried[:, 4:8].sum(1) > 1.5, 2].min(1)
    poses = replace(poses, wrist=np.stack([0 * height, 0 * height, 0.0015 - height - lowest], 1))
    energy = ContactEnergy(shaped, sheet, poses, np.zeros((8, len(shaped.candidates)), np.float32))
    model = energy(poses)
    beyond = height > 0.003
    assert beyond.sum() >= 2
    assert (model.gradient[beyond, 5] < -10).all()  # out of it is up
    assert (np.diff(model.energy) > 0).all()


def test_parts_without_which_nothing_is_held_must_touch(held_out, setting_of):
    setting = setting_of(*held_out[0])
    points = setting.hand.candidates.posed(setting.hand.chain.posed(setting.poses).moves)
    distance = distances_to(setting.obj.grid, points)[0]
    must = parts_that_must_touch(setting.hand, distance)
    assert (must.sum(1) == 3).all()
    assert (must[:, PARTS.index("thumb")] ^ must[:, PARTS.index("palm")]).all()
    far = np.where(setting.hand.candidate_parts == 2, 0.2, distance).astype(np.float32)
    assert not parts_that_must_touch(setting.hand, far)[:, 2].any()


def test_a_thin_wall_is_one_where_the_hand_is_meant_to_touch(held_out, sheet, setting_of):
    for obj, thin in ((held_out[0][0], False), (sheet, True)):
        setting = setting_of(obj, held_out[0][1])
        points = np.tile(obj.points[:1].numpy(), (2, len(setting.hand.candidates), 1))
        assert on_thin_wall(obj, points, np.ones(points.shape[:2], np.float32)).tolist() == [thin] * 2


def test_only_skin_near_the_object_and_facing_it_is_meant_to_touch(held_out, setting_of):
    obj, grasps = held_out[0]
    setting = setting_of(obj, grasps)
    hand_points, moves = setting.hand.points, setting.hand.chain.posed(setting.poses).moves
    points, normals = (torch.from_numpy(value) for value in (setting.hand.candidates.posed(moves),
                                                             setting.hand.candidates.normals(moves)))
    unknown = ("",) * len(grasps)
    targets = targets_of_grasp(obj, hand_points, points, normals, unknown)
    distance = obj.grid.query(points)[0]
    assert (targets[distance > 0.061] == 0).all()
    assert (targets[(distance < 0.001) & (distance > 0)] > 0).float().mean() > 0.7
    away = targets_of_grasp(obj, hand_points, points, -normals, unknown)
    assert away[distance > 0].sum() < 0.3 * targets[distance > 0].sum()
    named = targets_of_grasp(obj, hand_points, points, normals, ("palmar_pinch",) * len(grasps))
    assert (named[:, hand_points.candidate_parts == 4] == 0).all()  # the little finger has no part in a pinch
