"""What a learned generator sees of an object: the surface around a place, in the heading frame, and what is wished."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.grasps.heading_frame import LOCAL_RADIUS, Frames, window_features

if TYPE_CHECKING:
    from core.objects import GraspObject

POINTS: Final = 1024
#: Of what is around the window: metres, and how many fixed points.
FAR, FAR_PROBES = 0.25, 64


def window_cloud(points: torch.Tensor, normals: torch.Tensor, frames: Frames, count: int,
                 rng: torch.Generator, reach: float = LOCAL_RADIUS) -> torch.Tensor:
    """(N, count, 6) positions over `WINDOW` and unit normals around N places, in their frames.

    Args:
        points, normals: (P, 3), or (N, P, 3) of each place's own object; object frame, metres.
        count: drawn from the points in the window without repeats, while there are as many.
        reach: metres, of the window; infinite for the whole object.
    """
    away = points - frames.origin[:, None]
    inside = away.square().sum(-1) < reach**2
    key = torch.rand(inside.shape, generator=rng).to(inside.device) + 2.0 * ~inside
    rows = key.topk(count, dim=1, largest=False).indices
    have = inside.sum(1, keepdim=True).clamp(1, count)
    rows = rows.gather(1, torch.arange(count, device=rows.device)[None] % have)
    chosen = rows[..., None].expand(-1, -1, 3)
    place = away.gather(1, chosen) @ frames.axes / LOCAL_RADIUS
    facing = normals.expand_as(away).gather(1, chosen) @ frames.axes
    return torch.cat([place, facing], -1)


@dataclass(frozen=True)
class LocalPointCloud:
    """The surface around N places, in their frames.

    Attributes:
        window: (N, P, 6) positions over `WINDOW` and unit normals, in no order. middle: (N, 3) metres, of the object.
        area: (N,) cm2 of surface in the window.
    """

    window: torch.Tensor
    middle: torch.Tensor
    area: torch.Tensor

    @staticmethod
    def around(obj: GraspObject, frames: Frames, count: int, rng: torch.Generator,
               reach: float = LOCAL_RADIUS) -> LocalPointCloud:
        """`count` points of the object's surface around N places; see `window_cloud`."""
        near = (obj.points - frames.origin[:, None]).square().sum(-1) < reach**2
        return LocalPointCloud(window_cloud(obj.points, obj.normals, frames, count, rng, reach), frames.middle(),
                    1e4 * obj.area * near.float().mean(1))

    @property
    def cloud(self) -> torch.Tensor:
        """(N, P, 3) the points, metres."""
        return self.window[..., :3] * LOCAL_RADIUS

    @property
    def facing(self) -> torch.Tensor:
        """(N, P, 3) outward unit normals."""
        return self.window[..., 3:]

    def __len__(self) -> int:
        return len(self.window)

    def __getitem__(self, rows: torch.Tensor | slice) -> LocalPointCloud:
        return LocalPointCloud(self.window[rows], self.middle[rows], self.area[rows])

    def to(self, device: torch.device | str) -> LocalPointCloud:
        return LocalPointCloud(self.window.to(device), self.middle.to(device), self.area.to(device))

    def few(self, count: int) -> LocalPointCloud:
        """The same, of at most `count` points."""
        return replace(self, window=self.window[:, :count])

    def grown(self, by: torch.Tensor | float) -> LocalPointCloud:
        """Of objects whose surfaces stand out by so many metres, (N,) or for all, more."""
        by = torch.as_tensor(by).to(self.window).reshape(-1, 1, 1) / LOCAL_RADIUS
        return replace(self, window=torch.cat([self.window[..., :3] + by * self.facing, self.facing], -1))


def place_features(obj: GraspObject, frames: Frames) -> torch.Tensor:
    """(N, 195) what a place is like, near and far: signed distances at fixed points, and where the middle lies.

    In units of about one: distances over 2 cm near and over 8 cm far, the object's middle over 10 cm.
    """
    near = window_features(obj, frames) / 0.02
    index = torch.arange(FAR_PROBES) + 0.5
    polar = torch.acos(1 - 2 * index / FAR_PROBES)
    around = torch.pi * (1 + 5**0.5) * index
    radius = FAR * ((torch.arange(FAR_PROBES) * 0.618034) % 1.0 * 0.7 + 0.3)
    probes = torch.stack([polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos()], 1) * radius[:, None]
    far = obj.grid.nearly(frames.outward(probes)).clamp(-0.02, 0.16) / 0.08
    return torch.cat([near, far, frames.middle() / 0.1], 1)


