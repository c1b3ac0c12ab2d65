"""Basis point set: an object as its distances to a fixed lattice of points (CHOIR's grid)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from core.objects.grasp_object import GraspObject

SIDE = 16
BPS_SIDE = 0.20
"""Side of the cube the lattice fills, metres."""


def basis_lattice(device: torch.device | str = "cpu", side: int = SIDE) -> torch.Tensor:
    """(side^3, 3) points of a cubic lattice, 16 x 16 x 16 as a rule, over 20 cm around the origin, x slowest."""
    axis = torch.linspace(-BPS_SIDE / 2, BPS_SIDE / 2, side, device=device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def basis_distances(
    obj: GraspObject, centre: torch.Tensor | None = None, rotation: torch.Tensor | None = None
) -> torch.Tensor:
    """Distances to the surface (4096,), metres, unsigned, from the lattice placed in the object's frame.

    Args:
        centre: (3,) where the lattice's centre is; the object's centroid when None.
        rotation: (3, 3) from the lattice's frame to the object's.
    """
    points = basis_lattice(obj.points.device)
    if rotation is not None:
        points = points @ rotation.T
    if centre is not None:
        points = points + centre
    return obj.grid.query(points)[0].abs()
