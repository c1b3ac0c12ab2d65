"""Rotations against scipy's, their gradients, and how random ones are distributed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from core.rotations import axis_angle_to_matrix, cross_matrix, frame_from, matrix_to_axis_angle, random_rotations


def vectors(count=50, dtype=torch.float64):
    return torch.randn(count, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))


def test_axis_angle_is_scipys_both_ways():
    given = vectors()
    matrices = axis_angle_to_matrix(given)
    assert np.allclose(matrices, Rotation.from_rotvec(given.numpy()).as_matrix(), atol=1e-7)
    back = matrix_to_axis_angle(matrices)
    assert torch.allclose(axis_angle_to_matrix(back), matrices, atol=1e-7)
    assert (back.norm(dim=1) <= math.pi + 1e-9).all()


def test_axis_angle_has_a_gradient_at_zero():
    zero = torch.zeros(1, 3, requires_grad=True)
    weight = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(1))
    (axis_angle_to_matrix(zero) * weight).sum().backward()
    # the derivative there is that of the cross product's matrix
    expected = [(cross_matrix(torch.eye(3)[axis]) * weight[0]).sum() for axis in range(3)]
    assert torch.allclose(zero.grad[0], torch.stack(expected), atol=1e-5)


def test_cross_matrix_makes_cross_products():
    a, b = vectors(), vectors().flip(0)
    assert torch.allclose((cross_matrix(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))


def test_frames_are_rotations_that_keep_the_first_direction():
    a, b = vectors(), vectors().flip(0)
    frames = frame_from(a, b)
    assert torch.allclose(frames.transpose(1, 2) @ frames, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    assert torch.allclose(torch.linalg.det(frames), torch.ones(50, dtype=torch.float64))
    assert torch.allclose(frames[..., 0], torch.nn.functional.normalize(a, dim=1))
    assert ((frames[..., 1] * b).sum(1) > 0).all()


def test_random_rotations_are_uniform():
    rotations = random_rotations(20_000, torch.Generator().manual_seed(0))
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(20_000), atol=1e-4)
    assert rotations.mean(0).abs().max() < 0.02
    trace = rotations.diagonal(dim1=1, dim2=2).sum(1)
    mean_angle = math.degrees(math.pi / 2 + 2 / math.pi)  # of Haar measure: density (1 - cos a) / pi
    assert float(torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()).mean()) == pytest.approx(mean_angle, abs=1)
