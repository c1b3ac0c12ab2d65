"""Rotations: axis-angle to matrix and back, and the frame of two directions."""

from __future__ import annotations

import torch

from core.rotations import axis_angle_to_matrix, frame_from, matrix_to_axis_angle


def test_rotations_go_there_and_back():
    vectors = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(matrix_to_axis_angle(axis_angle_to_matrix(vectors)), vectors, atol=1e-5)


def test_a_frame_has_its_directions_as_axes():
    frame = frame_from(torch.tensor([0.0, 0, 2]), torch.tensor([1.0, 0, 5]))
    assert torch.allclose(frame, torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]), atol=1e-6)
