"""The heading frame: where a grasp is, seen from the surface it is on.

Origin at a surface point, z its smoothed normal, y the hand's lateral axis (from the little finger's knuckle to the
index finger's) laid on the tangent plane. What is predicted in this frame is equivariant by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch.nn.functional import normalize

from core.grasps.batch import Grasps
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject

#: metres: of the window around the origin; normals are averaged within the smaller one
LOCAL_RADIUS: Final = 0.09
SMOOTH: Final = 0.012


@dataclass(frozen=True)
class Frames:
    """N heading frames in an object's frame: origin (N, 3) metres, axes (N, 3, 3) with x, y, z as columns."""

    origin: torch.Tensor
    axes: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Frames:
        return Frames(self.origin[rows], self.axes[rows])

    def to(self, device: torch.device | str) -> Frames:
        return Frames(self.origin.to(device), self.axes.to(device))

    def middle(self) -> torch.Tensor:
        """(N, 3) the object's middle, the zero of its frame, as seen from the frames, metres."""
        return (-self.origin[:, None] @ self.axes)[:, 0]

    def outward(self, points: torch.Tensor) -> torch.Tensor:
        """(N, K, 3) points (K, 3) or (N, K, 3) of the frames, in the object's frame."""
        if points.ndim == 3:
            return points @ self.axes.transpose(1, 2) + self.origin[:, None]
        # the same points for all: one product is quicker than as many small ones
        turned = (self.axes.flatten(0, 1) @ points.T).unflatten(0, (len(self.axes), 3)).transpose(1, 2)
        return turned + self.origin[:, None]


class Cloud(NamedTuple):
    """An object's points (P, 3), metres, and unit normals, where that is all there is of it."""

    points: torch.Tensor
    normals: torch.Tensor


def smoothed_normals(obj: GraspObject | Cloud, places: torch.Tensor) -> torch.Tensor:
    """(N, 3) mean unit normals of the object's points within `SMOOTH` of places (N, 3), of the side the place is on.

    Each counts by how far it faces the nearest point's way: of a thin wall, the other side does not count.
    """
    near = torch.cdist(places, obj.points)
    least, nearest = near.min(1, keepdim=True)
    own = obj.normals[nearest[:, 0]]
    weight = (near < least + SMOOTH).float() * (own @ obj.normals.T).clamp_min(0)
    return normalize(weight @ obj.normals, dim=1)


def frames_at(obj: GraspObject | Cloud, places: torch.Tensor, lateral: torch.Tensor) -> Frames:
    """Frames at surface places (N, 3) with the hand's lateral axis (N, 3), any length, projected."""
    z = smoothed_normals(obj, places)
    y = lateral - (lateral * z).sum(1, keepdim=True) * z
    # A lateral axis along the normal says nothing: any direction on the plane does.
    one, other = torch.eye(3, device=z.device)[:2]
    spare = torch.where(z[:, :1].abs() < 0.9, one, other)
    y = torch.where(y.norm(dim=1, keepdim=True) > 1e-4, y, torch.linalg.cross(z, spare))
    y = normalize(y, dim=1)
    return Frames(places, torch.stack([torch.linalg.cross(y, z), y, z], 2))


def frames_of_grasps(obj: GraspObject | Cloud, hand: HandModel, grasps: Grasps) -> Frames:
    """The heading frame of each grasp: at the surface point nearest to the middle of palm and fingertips."""
    with torch.no_grad():
        return frames_of_joints(obj, hand(**grasps.parameters()).joints)


def frames_of_joints(obj: GraspObject | Cloud, joints: torch.Tensor) -> Frames:
    """The heading frames of hands with joints (N, 21, 3) in the object's frame."""
    middle = 0.5 * joints[:, [0, 1, 4, 7, 10]].mean(1) + 0.5 * joints[:, 16:].mean(1)
    rows = torch.cdist(middle, obj.points).argmin(1)
    return frames_at(obj, obj.points[rows], joints[:, 1] - joints[:, 7])


def mirrored(frames: Frames) -> Frames:
    """The frames as a left hand sees them: x turned over, so that a left hand there looks like a right one."""
    return Frames(frames.origin, frames.axes * torch.tensor([-1.0, 1.0, 1.0]))


def random_frames(obj: GraspObject, points: int, rolls: int, rng: torch.Generator,
                  allowed: torch.Tensor | None = None) -> Frames:
    """`points` x `rolls` frames at points drawn by area, each turned about its normal in even steps.

    Args:
        allowed: (P,) bool, those of the object's points to draw from; all when None.
    """
    some = torch.arange(len(obj.points)) if allowed is None else allowed.nonzero()[:, 0]
    rows = some[torch.randint(len(some), (points,), generator=rng)]
    start = frames_at(obj, obj.points[rows], torch.randn(points, 3, generator=rng))
    angle = torch.arange(rolls) * 2 * torch.pi / rolls
    turn = axis_angle_to_matrix(torch.stack([0 * angle, 0 * angle, angle], 1))
    axes = start.axes[:, None] @ turn[None]
    return Frames(start.origin.repeat_interleave(rolls, 0), axes.reshape(-1, 3, 3))


def into_frames(hand: HandModel, grasps: Grasps, frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    """Wrist rotations (N, 3, 3) and places (N, 3) of grasps, seen from their frames."""
    root = hand.rest(grasps.betas)[1][:, 0]
    turn = frames.axes.transpose(1, 2) @ axis_angle_to_matrix(grasps.global_orient)
    wrist = grasps.transl + root
    return turn, ((wrist - frames.origin)[:, None] @ frames.axes)[:, 0]


def out_of_frames(hand: HandModel, frames: Frames, rotation: torch.Tensor, wrist: torch.Tensor, hand_pose: torch.Tensor,
                  betas: torch.Tensor, method: str) -> Grasps:
    """Grasps in the object's frame, of wrists as `into_frames` gives them."""
    root = hand.rest(betas)[1][:, 0]
    place = (wrist[:, None] @ frames.axes.transpose(1, 2))[:, 0] + frames.origin
    return Grasps(matrix_to_axis_angle(frames.axes @ rotation), hand_pose, place - root, betas,
                  torch.zeros(len(place)), method=method, hand=hand.side)


def object_frames(count: int, rng: torch.Generator) -> Frames:
    """`count` frames as the papers have them: the object's middle, turned at random, as its axes mean nothing."""
    turn, triangle = torch.linalg.qr(torch.randn(count, 3, 3, generator=rng))
    turn = turn * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    return Frames(torch.zeros(count, 3), turn * torch.linalg.det(turn)[:, None, None])


@cache
def window_probes(count: int = 128) -> torch.Tensor:
    """(count, 3) fixed points in the window, denser toward the origin, the same everywhere."""
    index = torch.arange(count) + 0.5
    polar = torch.acos(1 - 2 * index / count)
    around = torch.pi * (1 + 5**0.5) * index
    radius = LOCAL_RADIUS * ((torch.arange(count) * 0.618034) % 1.0 * 0.9 + 0.1) ** 0.5
    direction = torch.stack([polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos()], 1)
    return direction * radius[:, None]


def window_features(obj: GraspObject, frames: Frames, count: int = 128) -> torch.Tensor:
    """(N, count) signed distance to the object, metres, cut at -2 and 4 cm, at the window's fixed points."""
    places = frames.outward(window_probes(count))
    return obj.grid.nearly(places).clamp(-0.02, 0.04)
