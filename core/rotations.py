"""Rotations in the forms that grasps need: axis-angle and matrices."""

from __future__ import annotations

import torch


def axis_angle_to_matrix(vectors: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotations of (..., 3) axis-angle vectors (Rodrigues' formula), smooth at zero."""
    angle = vectors.square().sum(-1, keepdim=True).add(1e-16).sqrt()
    cross = cross_matrix(vectors / angle)
    angle = angle[..., None]
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return identity + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def cross_matrix(vectors: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) of vectors r (..., 3): times w it is r x w."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)


def matrix_to_axis_angle(rotation: torch.Tensor) -> torch.Tensor:
    """(N, 3) axis-angle of (N, 3, 3) rotations, exact up to a half turn; not differentiable."""
    from scipy.spatial.transform import Rotation

    vectors = Rotation.from_matrix(rotation.detach().cpu().double().numpy()).as_rotvec()
    return torch.as_tensor(vectors, dtype=rotation.dtype, device=rotation.device).reshape(-1, 3)


def frame_from(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotation whose columns are `first`, `second` made orthogonal to it, and their cross product."""
    a = torch.nn.functional.normalize(first, dim=-1)
    b = torch.nn.functional.normalize(second - (second * a).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b, dim=-1)], -1)
