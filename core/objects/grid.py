"""A signed distance field on a regular grid around an object, queried in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional

if TYPE_CHECKING:
    from core.objects.mesh_query import ExactSurface

MARGIN = 0.025
"""How far the grid reaches beyond the object's box, metres."""
BAND = 0.012
"""Within this distance of the surface every node holds the exact distance, metres."""
BASE_CELLS = 64**3
THIN_BAND = 0.005
"""The same where thin walls make the cells small."""
THIN_CELLS = 2_000_000
FINEST = 0.0006
"""No cell is smaller, metres."""


@dataclass(frozen=True)
class DistanceGrid:
    """Signed distance and its direction on a grid of cubic cells, object frame, metres.

    Attributes:
        values: (X, Y, Z, 4) float32: signed distance (positive outside), unit gradient.
        origin: (3,) float32 position of node (0, 0, 0).
        spacing: side of a cell.
    """

    values: torch.Tensor
    origin: torch.Tensor
    spacing: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Nodes along x, y, z."""
        return tuple(self.values.shape[:3])

    @property
    def channels(self) -> torch.Tensor:
        """The same numbers as (4, X, Y, Z)."""
        return self.values.permute(3, 0, 1, 2)

    def to(self, device: torch.device | str) -> DistanceGrid:
        return DistanceGrid(self.values.to(device), self.origin.to(device), self.spacing)

    @torch.no_grad()
    def query(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance (...) and unit direction away from the surface (..., 3) at points (..., 3).

        Trilinear inside the grid; beyond it the distance to the surface point that the nearest
        place of the grid knows, so that it keeps growing. Not differentiable: see `distance`.
        """
        return _interpolate(self, points)

    @torch.no_grad()
    def nearly(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance (...) at points (..., 3) by what the nearest node knows: a third of the time of `query`.

        A tenth of a millimetre or two away from that where the surface bends, more between two surfaces.
        """
        wanted = (points.reshape(-1, 3) - self.origin) / self.spacing
        last = torch.tensor(self.shape, device=wanted.device) - 1
        node = torch.minimum(wanted.round().clamp_min(0.0), last)
        strides = torch.tensor(self.values.stride()[:3], dtype=node.dtype, device=node.device) // 4
        rows = self.values.reshape(-1, 4).index_select(0, (node @ strides).to(torch.int32))
        (distance, *normal), off = rows.unbind(1), ((wanted - node) * self.spacing).unbind(1)
        # far away the surface is the point that the node knows of; near by it is that point's plane
        plane, square = distance, 0.0
        for along, away in zip(normal, off, strict=True):
            plane = plane + along * away
            square = square + (away + distance * along).square()
        far = distance.abs() > 2 * self.spacing
        return torch.where(far, torch.copysign(square.sqrt(), distance), plane).reshape(points.shape[:-1])

    def distance(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance (...) at points (..., 3); its gradient is the stored direction."""
        return _Distance.apply(points, self)


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points: torch.Tensor, grid: DistanceGrid) -> torch.Tensor:  # noqa: ANN001
        distance, normal = _interpolate(grid, points)
        ctx.save_for_backward(normal)
        return distance

    @staticmethod
    def backward(ctx, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN001
        (normal,) = ctx.saved_tensors
        return upstream[..., None] * normal, None


def _interpolate(grid: DistanceGrid, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    shape = points.shape[:-1]
    flat = points.detach().reshape(-1, 3).to(grid.values.dtype)
    nodes_x, nodes_y, nodes_z = grid.shape
    last = torch.tensor([nodes_x - 1, nodes_y - 1, nodes_z - 1], dtype=flat.dtype, device=flat.device)
    wanted = (flat - grid.origin) / grid.spacing
    place = torch.minimum(wanted.clamp_min(0.0), last)
    low = torch.minimum(place.floor(), last - 1)
    high_share = place - low
    low = low.to(torch.int32)
    corner = (low[:, 0] * nodes_y + low[:, 1]) * nodes_z + low[:, 2]
    steps = torch.tensor(
        [(x * nodes_y + y) * nodes_z + z for x in (0, 1) for y in (0, 1) for z in (0, 1)],
        dtype=torch.int32, device=flat.device,
    )
    share = torch.stack((1 - high_share, high_share))
    weights = (share[:, None, None, :, 0] * share[None, :, None, :, 1] * share[None, None, :, :, 2]).reshape(8, -1)
    # One fused gather and weighted sum: a third of the time of grid_sample on one CPU thread.
    mixed = functional.embedding_bag(
        corner[:, None] + steps, grid.values.reshape(-1, 4), per_sample_weights=weights.T.contiguous(), mode="sum"
    )
    distance, x, y, z = mixed.unbind(1)
    length = (x * x + y * y + z * z).sqrt().clamp_min(1e-9)  # norm(dim=1) of three takes several times as long
    normal = mixed[:, 1:] / length[:, None]
    beyond = ((wanted - place) != 0).any(1)
    if bool(beyond.any()):
        rows = beyond.nonzero()[:, 0]
        inner = grid.origin + place[rows] * grid.spacing
        away = flat[rows] - (inner - distance[rows, None] * normal[rows])
        length = away.norm(dim=1)
        distance = distance.index_put((rows,), length)
        normal = normal.index_put((rows,), away / length.clamp_min(1e-9)[:, None])
    return distance.reshape(shape), normal.reshape(*shape, 3)


def choose_spacing(extent: np.ndarray, thin: float) -> float:
    """Side of a cell, metres: about 64^3 cells for the box, more when walls of width `thin` need them."""
    box = np.asarray(extent) + 2 * MARGIN
    base = float((box.prod() / BASE_CELLS) ** (1 / 3))
    finest = float((box.prod() / THIN_CELLS) ** (1 / 3))
    return max(finest, FINEST, min(base, thin / 2))


def build_grid(surface: ExactSurface, thin: float = 1.0, watertight: bool = False) -> DistanceGrid:
    """Samples the signed distance of `surface` on a grid adapted to its bounding box.

    Args:
        surface: the object's exact surface, centred.
        thin: the width of its thinner walls, metres; decides how fine the grid is.
        watertight: the surface has no hole, so that regions it bounds are inside or outside as a whole.
    """
    low = surface.vertices.min(0)
    high = surface.vertices.max(0)
    spacing = choose_spacing(high - low, thin)
    cells = np.ceil((high - low + 2 * MARGIN) / spacing).astype(int)
    cells += -cells % COARSE
    origin = (low + high) / 2 - cells * spacing / 2
    nodes = cells + 1
    axes = [origin[i] + spacing * np.arange(nodes[i]) for i in range(3)]
    values = _coarse_field(surface, axes)
    fine = spacing < 0.99 * choose_spacing(high - low, thin=1.0)
    band = np.abs(values[..., 0]).ravel() < (THIN_BAND if fine else BAND) + 2 * spacing
    index = np.flatnonzero(band)
    points = _node_positions(axes, index)
    distance, face, closest = surface.closest(points)
    inside = _inside_nodes(surface, index, nodes, points, distance, spacing) if watertight else surface.inside(points)
    sign = np.where(inside, -1.0, 1.0)
    direction = (points - closest) * sign[:, None]
    touching = distance < 1e-5
    direction[touching] = surface.face_normals[face[touching]]
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
    rows = values.reshape(-1, 4)
    rows[index, 0] = distance * sign
    rows[index, 1:] = direction
    return DistanceGrid(
        torch.from_numpy(values), torch.from_numpy(origin.astype(np.float32)), float(spacing)
    )


COARSE = 4
"""Nodes between two exact samples far from the surface."""


def _node_positions(axes: list[np.ndarray], index: np.ndarray) -> np.ndarray:
    x, y, z = np.unravel_index(index, [len(axis) for axis in axes])
    return np.stack([axes[0][x], axes[1][y], axes[2][z]], axis=1)


def _coarse_field(surface: ExactSurface, axes: list[np.ndarray]) -> np.ndarray:
    """Distance and direction on every fourth node, exactly, and linearly between: (X, Y, Z, 4) float32."""
    coarse_axes = [axis[::COARSE] for axis in axes]
    shape = [len(axis) for axis in coarse_axes]
    points = _node_positions(coarse_axes, np.arange(np.prod(shape)))
    distance, _, closest = surface.closest(points)
    sign = np.where(surface.inside(points), -1.0, 1.0)
    field = np.empty((len(points), 4), np.float32)
    field[:, 0] = distance * sign
    field[:, 1:] = (points - closest) * sign[:, None]
    field[:, 1:] /= np.maximum(np.linalg.norm(field[:, 1:], axis=1, keepdims=True), 1e-12)
    channels = torch.from_numpy(field.reshape(*shape, 4)).permute(3, 0, 1, 2)[None]
    fine = functional.interpolate(
        channels, size=[len(axis) for axis in axes], mode="trilinear", align_corners=True
    )[0].permute(1, 2, 3, 0).contiguous()
    fine[..., 1:] /= fine[..., 1:].norm(dim=-1, keepdim=True).clamp_min(1e-9)
    return fine.numpy()


def _inside_nodes(
    surface: ExactSurface,
    index: np.ndarray,
    nodes: np.ndarray,
    points: np.ndarray,
    distance: np.ndarray,
    spacing: float,
) -> np.ndarray:
    """Whether each node of the band is inside.

    Two neighbours of which one is further than a cell's side from the surface are on the same
    side of it (without holes), so whole regions share one winding number; only nodes near the surface need their own.
    """
    from scipy import ndimage

    far = np.zeros(nodes, bool)
    far.ravel()[index] = distance > spacing * 1.001
    regions, count = ndimage.label(far)
    region = regions.ravel()[index]
    _, first = np.unique(region, return_index=True)
    representatives = first[region[first] > 0]
    of_region = np.zeros(count + 1, bool)
    of_region[region[representatives]] = surface.inside(points[representatives])
    inside = of_region[region]
    near = region == 0
    inside[near] = surface.inside(points[near])
    return inside
