"""The heading frame."""

from __future__ import annotations

import numpy as np
import torch
import trimesh

from core.grasps.batch import Grasps
from core.grasps.heading_frame import (
    Cloud,
    Frames,
    frames_at,
    frames_of_grasps,
    into_frames,
    local_distances,
    local_points,
    out_of_frames,
    random_frames,
    smoothed_normals,
)
from core.objects import prepare_object
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle


def block(turn=None):
    mesh = trimesh.creation.box((0.03, 0.05, 0.12)).subdivide().subdivide()
    vertices = np.asarray(mesh.vertices)
    return prepare_object(vertices if turn is None else vertices @ turn.T, np.asarray(mesh.faces))


def some_grasps(count=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return Grasps(torch.randn(count, 3, generator=rng), 0.2 * torch.randn(count, 45, generator=rng),
                  0.08 * torch.randn(count, 3, generator=rng), torch.zeros(count, 10), torch.zeros(count))


def test_axes_are_a_right_handed_frame_with_the_normal_up(hand):
    obj = block()
    frames = frames_of_grasps(obj, hand, some_grasps())
    eye = torch.eye(3).expand(5, 3, 3)
    assert torch.allclose(frames.axes.transpose(1, 2) @ frames.axes, eye, atol=1e-5)
    assert torch.allclose(torch.linalg.det(frames.axes), torch.ones(5), atol=1e-5)
    inside = frames.to_object(torch.tensor([[0.0, 0, -0.003]]))[:, 0]
    assert (obj.grid.query(inside)[0] < 0).all()


def test_the_same_points_for_all_frames_go_out_as_each_frame_s_own():
    rng = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(5, 3, 3, generator=rng))
    frames, points = Frames(torch.randn(5, 3, generator=rng), axes), torch.randn(7, 3, generator=rng)
    assert torch.allclose(frames.to_object(points), frames.to_object(points.expand(5, -1, -1)), atol=1e-5)
    assert torch.allclose(frames.to_object(points)[2, 3], axes[2] @ points[3] + frames.origin[2], atol=1e-5)


def test_a_thin_wall_has_the_normal_of_the_side_that_is_asked():
    """Both sides averaged nearly cancel, and what is left is noise."""
    sheet = trimesh.creation.box((0.10, 0.10, 0.001)).subdivide().subdivide().subdivide()
    obj = prepare_object(np.asarray(sheet.vertices), np.asarray(sheet.faces))
    inner = (obj.points[:, :2].abs() < 0.035).all(1)
    places = obj.points[inner & (obj.normals[:, 2].abs() > 0.9)]
    z = smoothed_normals(obj, places)[:, 2]
    assert torch.allclose(z, places[:, 2].sign(), atol=1e-3)
    pen = trimesh.creation.cylinder(0.004, 0.12, sections=24)
    obj = prepare_object(np.asarray(pen.vertices), np.asarray(pen.faces))
    places = obj.points[obj.points[:, 2].abs() < 0.04]
    out = torch.nn.functional.normalize(places * torch.tensor([1.0, 1, 0]), dim=1)
    assert ((smoothed_normals(obj, places) * out).sum(1) > 0.97).all()


def test_into_a_frame_and_out_of_it_is_the_same_grasp(hand):
    obj, grasps = block(), some_grasps()
    frames = frames_of_grasps(obj, hand, grasps)
    again = out_of_frames(hand, frames, *into_frames(hand, grasps, frames), grasps.hand_pose, grasps.betas, "x")
    assert torch.allclose(hand(**again.parameters()).joints, hand(**grasps.parameters()).joints, atol=1e-5)


def test_turning_object_and_hand_together_changes_nothing_in_the_frame(hand):
    turn = axis_angle_to_matrix(torch.tensor([[0.5, -1.0, 0.7]]))[0]
    straight, turned = block(), block(turn.double().numpy())
    grasps = some_grasps()
    root = hand.rest(torch.zeros(1, 10))[1][0, 0]
    moved = Grasps(matrix_to_axis_angle(turn @ axis_angle_to_matrix(grasps.global_orient)), grasps.hand_pose,
                   (grasps.transl + root) @ turn.T - root, grasps.betas, grasps.score)
    frames = frames_of_grasps(straight, hand, grasps)
    carried = type(frames)(frames.origin @ turn.T, turn @ frames.axes)
    for one, two in zip(into_frames(hand, grasps, frames), into_frames(hand, moved, carried), strict=True):
        assert torch.allclose(one, two, atol=1e-4)
    assert torch.allclose(local_distances(straight, frames), local_distances(turned, carried), atol=0.004)


def test_probes_fill_the_window():
    radius = local_points().norm(dim=1)
    assert radius.max() <= 0.09
    assert radius.min() < 0.035
    assert local_points().mean(0).norm() < 0.01


def test_random_frames_are_on_the_surface_and_turn_in_even_steps():
    obj = block()
    frames = random_frames(obj, 3, 4, torch.Generator().manual_seed(0))
    assert (obj.grid.query(frames.origin)[0].abs() < 0.003).all()
    assert torch.allclose(frames.axes[0, :, 0], -frames.axes[2, :, 0], atol=1e-5)
    assert torch.allclose(frames.axes[:4, :, 2], frames.axes[:1, :, 2].expand(4, 3))


def test_a_thin_sheet_has_a_normal():
    """Both sides of it are as many: their mean says nothing, so the nearest point's is taken."""
    across = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0)) * 0.004
    sides = torch.cat([torch.cat([across, torch.full((25, 1), height)], 1) for height in (0.0, 0.001)])
    facing = torch.cat([torch.tensor([[0, 0, -1.0]]).expand(25, 3), torch.tensor([[0, 0, 1.0]]).expand(25, 3)])
    place = torch.tensor([[0.008, 0.008, 0.0012]])
    found = frames_at(Cloud(sides, facing), place, torch.tensor([[0.0, 1, 0]]))
    assert torch.allclose(found.axes, torch.eye(3)[None])
