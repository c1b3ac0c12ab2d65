"""What a learned generator sees of an object: the surface around a place, in the heading frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from core.grasps.heading_frame import LOCAL_RADIUS, Frames, local_distances

if TYPE_CHECKING:
    from core.objects import GraspObject

#: points of a local cloud, where a network asks for no other number
POINTS: Final = 1024


@dataclass(frozen=True)
class PlaceFeatureConfig:
    """Units of `place_features`, chosen so that features are about one. The shipped scorer was trained with these.

    Attributes:
        near_unit: metres, of the signed distances at the fixed points within `LOCAL_RADIUS`.
        far_probes: fixed points around that.
        far_radius: metres from the place to the farthest of them.
        far_unit: metres, of the signed distances there.
        far_least: metres at which those are cut inside the object.
        far_most: metres at which they are cut outside.
        middle_unit: metres, of the object's middle.
    """

    near_unit: float = 0.02
    far_probes: int = 64
    far_radius: float = 0.25
    far_unit: float = 0.08
    far_least: float = -0.02
    far_most: float = 0.16
    middle_unit: float = 0.1


PLACE_FEATURES: Final = PlaceFeatureConfig()


def local_cloud(points: torch.Tensor, normals: torch.Tensor, frames: Frames, count: int, rng: torch.Generator,
                radius: float = LOCAL_RADIUS) -> torch.Tensor:
    """Points of an object's surface around N places, seen from their frames.

    Args:
        points: (P, 3), or (N, P, 3) of each place's own object; object frame, metres.
        normals: outward unit normals of the same shape.
        frames: the N places.
        count: drawn from the points within the radius without repeats, while there are as many.
        rng: of the draw.
        radius: metres around the place; infinite for the whole object.

    Returns:
        (N, count, 6) positions over `LOCAL_RADIUS` and unit normals, in no order.
    """
    offset = points - frames.origin[:, None]
    inside = offset.square().sum(-1) < radius**2
    key = torch.rand(inside.shape, generator=rng).to(inside.device) + 2.0 * ~inside
    rows = key.topk(count, dim=1, largest=False).indices
    available = inside.sum(1, keepdim=True).clamp(1, count)
    rows = rows.gather(1, torch.arange(count, device=rows.device)[None] % available)
    chosen = rows[..., None].expand(-1, -1, 3)
    position = offset.gather(1, chosen) @ frames.axes / LOCAL_RADIUS
    normal = normals.expand_as(offset).gather(1, chosen) @ frames.axes
    return torch.cat([position, normal], -1)


def object_cloud(points: torch.Tensor, normals: torch.Tensor, frames: Frames, count: int,
                 rng: torch.Generator) -> torch.Tensor:
    """Whole objects seen from N places, half of the points drawn from `LOCAL_RADIUS` around the place.

    Args:
        points: as for `local_cloud`.
        normals: likewise.
        frames: likewise.
        count: of all points.
        rng: of the draw.

    Returns:
        (N, count, 6) as `local_cloud`.
    """
    near = count // 2
    return torch.cat([local_cloud(points, normals, frames, near, rng),
                      local_cloud(points, normals, frames, count - near, rng, math.inf)], 1)


@dataclass(frozen=True)
class LocalPointCloud:
    """The surface around N places, in their heading frames.

    Attributes:
        scaled: (N, P, 6) positions over `LOCAL_RADIUS` and outward unit normals, in no order: what networks see.
        middle: (N, 3) metres, the object's middle.
        area: (N,) cm2 of surface around the place.
    """

    scaled: torch.Tensor
    middle: torch.Tensor
    area: torch.Tensor

    @staticmethod
    def around(obj: GraspObject, frames: Frames, count: int, rng: torch.Generator,
               radius: float = LOCAL_RADIUS) -> LocalPointCloud:
        """`count` points of the object's surface around N places; see `local_cloud`."""
        near = (obj.points - frames.origin[:, None]).square().sum(-1) < radius**2
        return LocalPointCloud(local_cloud(obj.points, obj.normals, frames, count, rng, radius), frames.object_origin(),
                               1e4 * obj.area * near.float().mean(1))

    @property
    def points(self) -> torch.Tensor:
        """(N, P, 3) metres."""
        return self.scaled[..., :3] * LOCAL_RADIUS

    @property
    def normals(self) -> torch.Tensor:
        """(N, P, 3) outward unit normals."""
        return self.scaled[..., 3:]

    def __len__(self) -> int:
        return len(self.scaled)

    def __getitem__(self, rows: torch.Tensor | slice) -> LocalPointCloud:
        return LocalPointCloud(self.scaled[rows], self.middle[rows], self.area[rows])

    def to(self, device: torch.device | str) -> LocalPointCloud:
        """The same on a device."""
        return LocalPointCloud(self.scaled.to(device), self.middle.to(device), self.area.to(device))

    def first(self, count: int) -> LocalPointCloud:
        """The same, of at most `count` points; they are in no order."""
        return replace(self, scaled=self.scaled[:, :count])

    def offset(self, by: torch.Tensor | float) -> LocalPointCloud:
        """The clouds of surfaces moved outward along their normals.

        Args:
            by: metres, (N,) or for all.
        """
        by = torch.as_tensor(by).to(self.scaled).reshape(-1, 1, 1) / LOCAL_RADIUS
        return replace(self, scaled=torch.cat([self.scaled[..., :3] + by * self.normals, self.normals], -1))


def place_features(obj: GraspObject, frames: Frames) -> torch.Tensor:
    """What N places are like, near and far, in units of about one (`PlaceFeatureConfig`).

    Returns:
        (N, 195) signed distances at 128 fixed points near and 64 far, and where the object's middle lies.
    """
    units, count = PLACE_FEATURES, PLACE_FEATURES.far_probes
    near = local_distances(obj, frames) / units.near_unit
    index = torch.arange(count) + 0.5
    polar = torch.acos(1 - 2 * index / count)
    around = torch.pi * (1 + 5**0.5) * index
    radius = units.far_radius * ((torch.arange(count) * 0.618034) % 1.0 * 0.7 + 0.3)
    probes = torch.stack([polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos()], 1) * radius[:, None]
    distance = obj.grid.approximate_distance(frames.to_object(probes))
    far = distance.clamp(units.far_least, units.far_most) / units.far_unit
    return torch.cat([near, far, frames.object_origin() / units.middle_unit], 1)
