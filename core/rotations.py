"""Rotations in the forms that grasps need: axis-angle vectors, matrices, random ones."""

from __future__ import annotations

import torch


def axis_angle_to_matrix(vectors: torch.Tensor) -> torch.Tensor:
    """Rotation matrices of axis-angle vectors, by Rodrigues' formula; differentiable, also at zero.

    Args:
        vectors: (..., 3) radians.

    Returns:
        (..., 3, 3).
    """
    angle = vectors.square().sum(-1, keepdim=True).add(1e-16).sqrt()
    cross = cross_matrix(vectors / angle)
    angle = angle[..., None]
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return identity + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def cross_matrix(vectors: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) matrices K of vectors r (..., 3), such that K w = r x w."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)


def matrix_to_axis_angle(rotation: torch.Tensor) -> torch.Tensor:
    """(N, 3) axis-angle radians of (N, 3, 3) rotations, exact up to half a turn; not differentiable."""
    from scipy.spatial.transform import Rotation

    vectors = Rotation.from_matrix(rotation.detach().cpu().double().numpy()).as_rotvec()
    return torch.as_tensor(vectors, dtype=rotation.dtype, device=rotation.device).reshape(-1, 3)


def frame_from(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotation whose columns are `first`, `second` made orthogonal to it, and their cross product."""
    a = torch.nn.functional.normalize(first, dim=-1)
    b = torch.nn.functional.normalize(second - (second * a).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b, dim=-1)], -1)


def random_rotations(count: int, rng: torch.Generator) -> torch.Tensor:
    """(count, 3, 3) uniformly distributed rotations.

    A QR decomposition's factor alone is not uniform, as the signs of its triangle's diagonal are fixed (Mezzadri, "How
    to Generate Random Matrices from the Classical Compact Groups", 2007).
    """
    factor, triangle = torch.linalg.qr(torch.randn(count, 3, 3, generator=rng))
    orthogonal = factor * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    return orthogonal * torch.linalg.det(orthogonal)[:, None, None]
