"""The energy of the fit: its model is that of its values, walls are seen from behind, and what is to touch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from core.fitting.contact_energy import CONFIG, distances_to, on_thin_wall, parts_that_must_touch
from core.fitting.contact_targets import targets_of_grasp
from core.fitting.posing import HandPoses, moved_by, rotations
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


def test_the_wrist_and_the_fingers_are_drawn_to_where_they_were(setting_of, held_out):
    """Far from the object nothing else counts: the energy is that of the posture, the limits and the place."""
    obj, grasps = held_out[0]
    setting = setting_of(obj, replace(grasps, transl=grasps.transl + 1.0))
    energy, start = setting.energy(), setting.poses
    turn = np.zeros((len(start), 3), np.float32)
    turn[:, 2] = 0.2
    shifted = replace(start, wrist=start.wrist + np.float32([0.02, 0, 0]))
    turned = rotations(turn) @ start.rotation
    centre = start.rotation @ setting.hand.pivot + start.wrist
    turned = HandPoses(turned, centre - turned @ setting.hand.pivot, start.dofs)
    rest = energy(start)
    distant = np.abs(energy(shifted).energy - rest.energy)
    assert np.allclose(rest.gradient[:, :3], 0, atol=20)
    assert (distant > CONFIG.stay).all()
    squares = ((turned.rotation - start.rotation) ** 2).sum((1, 2))
    found = energy(turned)
    pull = energy(turned).gradient[:, 2] - rest.gradient[:, 2]
    assert np.allclose(pull, CONFIG.stay * CONFIG.turn_scale * 4 * np.sin(0.2), rtol=0.2)
    assert found.energy.shape == squares.shape


@pytest.fixture(scope="module")
def sheet():
    """A wall of 3 mm, 20 cm square, across z."""
    mesh = trimesh.creation.box((0.2, 0.2, 0.003))
    return prepare_object(mesh.vertices, mesh.faces)


@pytest.fixture
def through_sheet(hand, sheet, setting_of, thrown):
    """Flat hands with their fingers half through the sheet, from either side."""
    grasps = thrown(sheet, 2, torch.Generator().manual_seed(0), 0.0)
    setting = setting_of(sheet, grasps)
    tip = setting.hand.tips[2]
    down = np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]], np.float32)  # fingers along -x at rest now along z
    rotation = np.stack([down.T, down.T @ np.diag([1.0, -1, -1]).astype(np.float32)])
    wrist = -(rotation @ tip) + np.float32([0, 0, 0])
    ends = rotation @ tip + wrist
    way = np.sign((rotation @ tip)[:, 2])
    wrist[:, 2] += 0.012 * way
    poses = HandPoses(rotation.astype(np.float32), wrist.astype(np.float32), np.zeros((2, 21), np.float32))
    assert (np.abs(ends) < 1e-6).all()
    return replace(setting, poses=poses), way


def test_skin_beyond_a_thin_wall_is_pushed_back_through_it(through_sheet):
    """Fingertips 12 mm beyond the sheet: the nearest surface is its far side, which would draw them on."""
    setting, way = through_sheet
    energy = setting.energy()
    model = energy(setting.poses)
    assert (model.gradient[:, 5] * way > 0).all()  # the energy falls as the hand goes back
    back = replace(setting.poses, wrist=setting.poses.wrist - np.float32([0, 0, 0.014]) * way[:, None])
    assert (energy(back).energy < model.energy).all()


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
