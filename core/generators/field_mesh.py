"""A closed mesh of where a signed distance field is negative: marching cubes, by libigl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class MeshingConfig:
    """How finely a field is looked at; chosen here.

    Attributes:
        nodes: of the first look, along each axis.
        cells: of the grid that is meshed, at most.
        finest: metres, side of its smallest cell.
        margin: metres around what was found.
        at_once: places that the field is asked for at once.
        least: share of the largest piece's volume below which a piece is left out.
    """

    nodes: int = 56
    cells: int = 400_000
    finest: float = 0.0015
    margin: float = 0.008
    at_once: int = 65536
    least: float = 0.05


MESHING: Final = MeshingConfig()


@torch.no_grad()
def mesh_of_field(distance: Callable[[torch.Tensor], torch.Tensor], places: torch.Tensor,
                  ) -> tuple[np.ndarray, np.ndarray] | None:
    """The surface of a field as a closed mesh; where the field is cut off, so is the mesh, and closed there.

    Args:
        distance: of places (K, 3) metres: their signed distances (K,) metres, negative inside.
        places: (X, Y, Z, 3) metres of the first look, in a box along the axes; the mesh stays within a cell of it.

    Returns:
        (V, 3) float64 metres and (F, 3) int64, outward, every edge between two faces; None where nothing is inside.
    """
    import igl

    box = _inside_box(_asked(distance, places), places)
    if box is None:
        return None
    low, high = box
    side = max(MESHING.finest, float((high - low).prod().item() / MESHING.cells) ** (1 / 3))
    axes = [torch.arange(float(begin), float(end) + side, side) for begin, end in zip(low, high, strict=True)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    values = _asked(distance, grid).clamp(-1.0, 1.0)
    # No node is on the surface, or triangles would have no area; nothing goes through the sides of the box.
    values = torch.where(values.abs() < 1e-6, 1e-6, values)
    for axis in range(3):
        for end in (0, -1):
            values.select(axis, end).clamp_min_(1e-6)
    if not (values < 0).any():
        return None
    # libigl counts x first.
    count = grid.shape[:3]
    nodes = grid.permute(2, 1, 0, 3).reshape(-1, 3).double().numpy()
    vertices, faces, _ = igl.marching_cubes(
        values.permute(2, 1, 0).reshape(-1).double().numpy(), np.ascontiguousarray(nodes), *count, 0.0)
    vertices, faces = _large_pieces(np.asarray(vertices), np.asarray(faces, dtype=np.int64))
    return (vertices, faces) if len(faces) else None


def _asked(distance: Callable[[torch.Tensor], torch.Tensor], places: torch.Tensor) -> torch.Tensor:
    flat = places.reshape(-1, 3)
    return torch.cat([distance(some) for some in flat.split(MESHING.at_once)]).reshape(places.shape[:-1]).cpu()


def _inside_box(values: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Least and largest coordinates (3,) of the nodes that a surface may be next to, with a margin."""
    corners = places.cpu()
    # A thing that is thinner than the nodes are apart is between them.
    apart = torch.stack([torch.gradient(corners[..., axis], dim=axis)[0] for axis in range(3)]).amax(0)
    near = corners[values < 0.5 * apart]
    if not len(near):
        return None
    most = corners.reshape(-1, 3)
    low = torch.maximum(near.amin(0) - MESHING.margin, most.amin(0))
    return low, torch.minimum(near.amax(0) + MESHING.margin, most.amax(0))


def _large_pieces(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh without its small pieces, and its faces outward."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(vertices), len(vertices)))
    number, piece = connected_components(graph, directed=False)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    signed = (a * np.cross(b, c)).sum(1) / 6
    if signed.sum() < 0:
        faces, signed = faces[:, ::-1], -signed
    volume = np.bincount(piece[faces[:, 0]], weights=signed, minlength=number)
    kept = faces[(volume > MESHING.least * volume.max())[piece[faces[:, 0]]]]
    rows, faces = np.unique(kept, return_inverse=True)
    return vertices[rows], np.ascontiguousarray(faces.reshape(-1, 3), dtype=np.int64)
