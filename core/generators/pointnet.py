"""PointNet (Qi et al. 2017), the one encoder of point clouds that all generators share."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Points whose widest features are made at once when nothing is trained: larger maps fall out of the cache.
TILE: Final = 4096


class Transform(nn.Module):
    """T-Net: a (size, size) matrix for each cloud, the identity at first (Sec. 4.2).

    Args:
        channels: of a point.
        size: of the matrix.
        widths: of the per-point layers.
    """

    def __init__(self, channels: int, size: int, widths: Sequence[int] = (64, 128, 256)) -> None:
        super().__init__()
        self.size = size
        self.points = pointwise((channels, *widths))
        first, last = nn.Linear(widths[-1], widths[-1] // 2), nn.Linear(widths[-1] // 2, size * size)
        self.head = nn.Sequential(first, nn.ReLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """(B, size, size), to be multiplied on the right of points (B, K, size)."""
        wide = self.points(points).amax(1)
        return self.head(wide).reshape(-1, self.size, self.size) + torch.eye(self.size, device=points.device)


class PointNet(nn.Module):
    """Per-point layers, then the maximum over the points.

    The heading frame aligns clouds already, so our own networks do without transforms. The last layer has no
    activation: global features may be negative.

    Args:
        channels: of a point, the coordinates first.
        widths: of the per-point layers; the last is the width of the global feature.
        align: an input transform on the coordinates (Qi et al.'s STN).
        align_features: a transform on the first layer's features too.
        mean: the mean over the points beside the maximum, twice the width: what is linear in a cloud, such as where it
            lies and how it is turned, is there at once.

    Attributes:
        width: of the global feature.
    """

    def __init__(self, channels: int, widths: Sequence[int] = (64, 128, 512), *, align: bool = False,
                 align_features: bool = False, mean: bool = False) -> None:
        super().__init__()
        self.mean, self.width = mean, widths[-1] * (1 + mean)
        self.align = Transform(channels, 3) if align else None
        self.first = pointwise((channels, widths[0]))
        self.align_features = Transform(widths[0], widths[0]) if align_features else None
        self.middle = pointwise(widths[:-1])
        self.last = nn.Linear(widths[-2], widths[-1])
        self.norm = nn.LayerNorm(widths[-1])

    def per_point(self, points: torch.Tensor) -> torch.Tensor:
        """(B, K, widths[0]) local features of clouds (B, K, channels)."""
        if self.align is not None:
            points = torch.cat([points[..., :3] @ self.align(points), points[..., 3:]], -1)
        local = self.first(points)
        return local if self.align_features is None else local @ self.align_features(local)

    def pooled(self, local: torch.Tensor) -> torch.Tensor:
        """(B, width) the global feature of local ones (B, K, widths[0])."""
        if torch.is_grad_enabled():
            return self._global(*self._reduced(local), local.shape[1])
        clouds = max(1, TILE // max(1, local.shape[1]))
        return torch.cat([self._tiled(some) for some in local.split(clouds)])

    def _tiled(self, local: torch.Tensor) -> torch.Tensor:
        most, total = zip(*(self._reduced(tile) for tile in local.split(TILE, 1)), strict=True)
        return self._global(torch.stack(most).amax(0), torch.stack(total).sum(0), local.shape[1])

    def _reduced(self, local: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        wide = self.last(self.middle(local))
        return wide.amax(1), wide.sum(1) if self.mean else wide[:, 0]

    def _global(self, most: torch.Tensor, total: torch.Tensor, count: int) -> torch.Tensor:
        most = self.norm(most)
        return torch.cat([most, total / count], 1) if self.mean else most

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """(B, width) the global feature of clouds (B, K, channels)."""
        return self.pooled(self.per_point(points))


def pointwise(widths: Sequence[int]) -> nn.Sequential:
    """Layers applied to each point alone: linear, normalised, rectified."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Shortcut(nn.Module):
    """A perceptron beside a linear layer: a map that is nearly linear, as of vertices to a pose, is found at once.

    Args:
        widths: of the perceptron's layers, from input to output.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        # Names in the weights' files.
        self.straight, self.bent = nn.Linear(widths[0], widths[-1]), perceptron(*widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, widths[-1]) of (N, widths[0])."""
        return self.straight(x) + self.bent(x)


def perceptron(*widths: int) -> nn.Sequential:
    """A multi-layer perceptron, rectified between its layers."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
