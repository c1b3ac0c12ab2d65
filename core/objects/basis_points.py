"""Basis point set: an object as its distances to a fixed lattice of points (CHOIR's grid)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from core.objects.grasp_object import GraspObject

#: points along each side of the lattice
SIDE: Final = 16
#: metres, side of the cube that the lattice fills
BPS_SIDE: Final = 0.20


def basis_lattice(device: torch.device | str = "cpu", side: int = SIDE) -> torch.Tensor:
    """The points of a cubic lattice over 20 cm around the origin.

    Args:
        device: of the result.
        side: points along each side.

    Returns:
        (side^3, 3) metres, x slowest.
    """
    axis = torch.linspace(-BPS_SIDE / 2, BPS_SIDE / 2, side, device=device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def basis_distances(
    obj: GraspObject, centre: torch.Tensor | None = None, rotation: torch.Tensor | None = None
) -> torch.Tensor:
    """Unsigned distances from the lattice's points to an object's surface.

    Args:
        obj: the object.
        centre: (3,) metres, the lattice's centre in the object's frame; the object's centroid when None.
        rotation: (3, 3) from the lattice's frame to the object's; none when None.

    Returns:
        (4096,) metres.
    """
    points = basis_lattice(obj.points.device)
    if rotation is not None:
        points = points @ rotation.T
    if centre is not None:
        points = points + centre
    return obj.grid.query(points)[0].abs()
