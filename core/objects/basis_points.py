"""Basis points: the fixed lattice to whose points an object's distances are taken (CHOIR's grid)."""

from __future__ import annotations

from typing import Final

import torch

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
