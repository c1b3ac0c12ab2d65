"""Normals of a mesh whose vertices are tensors."""

from __future__ import annotations

import torch


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """(V, 3) area-weighted unit normals of a mesh's vertices (V, 3), its triangles (F, 3) outward."""
    corners = vertices[faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(vertices).index_add_(0, faces.reshape(-1), normal.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(total, dim=1)
