"""The energies of the fit: where a hand is meant to touch, and the stiffness while it moves."""

from __future__ import annotations

from dataclasses import replace

import torch

from core.fitting.contact_fit import CONFIG
from core.fitting.contact_targets import targets_of_grasp
from core.quality.stiffness import grasp_quality, stiffness_deficit


def test_the_stiffness_of_moving_hands_is_that_of_all_their_skin(held_out, hand, setting_of):
    obj, grasps = held_out[0]
    opened = hand.dofs_from_pose(grasps.hand_pose) * torch.linspace(0.8, 1.0, len(grasps))[:, None]
    some = replace(grasps, hand_pose=hand.pose_from_dofs(opened))
    setting = setting_of(obj, some)
    wrist = setting.poses.wrist.clone().requires_grad_(True)
    rough = setting.stiff_energy().stiffness(replace(setting.poses, wrist=wrist))
    exact = grasp_quality(obj, hand, some)
    rank = [value.argsort().argsort().double() for value in (rough.detach(), exact)]
    assert float(torch.corrcoef(torch.stack(rank))[0, 1]) > 0.7
    rough.clamp_min(1e-3).log().sum().backward()
    assert torch.isfinite(wrist.grad).all()
    assert (wrist.grad.norm(dim=1) > 0).float().mean() > 0.5


def test_the_slope_of_the_stiffness_stands_for_some_steps(held_out, setting_of):
    setting = setting_of(*held_out[0])
    start = replace(setting.poses, dofs=0.9 * setting.poses.dofs)
    setting = replace(setting, poses=start)

    def slope_of(energy, wrist):
        free = wrist.clone().requires_grad_(True)
        return torch.autograd.grad(energy.pose_terms(replace(start, wrist=free)).sum(), free)[0]

    stiff, plain = setting.stiff_energy(), setting.fit_energy()
    free = start.wrist.clone().requires_grad_(True)
    stiffness = setting.stiff_energy().stiffness(replace(start, wrist=free))
    pull = torch.autograd.grad((CONFIG.stiffness_weight * stiffness_deficit(stiffness)).sum(), free)[0]
    assert pull.norm() > 0
    assert torch.allclose(slope_of(stiff, start.wrist) - slope_of(plain, start.wrist), pull, rtol=1e-3, atol=1e-2)
    for step in range(1, CONFIG.stiffness_every + 1):
        moved = start.wrist + 0.002
        again = slope_of(stiff, moved) - slope_of(plain, moved)
        assert torch.allclose(again, pull, rtol=1e-3, atol=1e-2) == (step < CONFIG.stiffness_every)


def test_only_skin_near_the_object_and_facing_it_is_meant_to_touch(held_out, setting_of):
    obj, grasps = held_out[0]
    setting = setting_of(obj, grasps)
    hand_points, energy, poses = setting.points, setting.energy, setting.poses
    points = energy.points(poses)
    normals = energy.local(poses.dofs)[1] @ poses.rotation.transpose(1, 2)
    unknown = ("",) * len(grasps)
    targets = targets_of_grasp(obj, hand_points, points, normals, unknown)
    distance = obj.grid.query(points[:, hand_points.candidates])[0]
    assert (targets[distance > 0.061] == 0).all()
    assert (targets[(distance < 0.001) & (distance > 0)] > 0).float().mean() > 0.7
    away = targets_of_grasp(obj, hand_points, points, -normals, unknown)
    assert away[distance > 0].sum() < 0.3 * targets[distance > 0].sum()
    named = targets_of_grasp(obj, hand_points, points, normals, ("palmar_pinch",) * len(grasps))
    assert (named[:, hand_points.candidate_parts == 4] == 0).all()  # the little finger has no part in a pinch
