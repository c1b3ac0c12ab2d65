"""The heading frame: a coordinate frame at the surface point that a grasp is on.

Its origin is a surface point, z the smoothed normal there, y the hand's lateral axis (from the little finger's knuckle
to the index finger's) projected onto the tangent plane. What is predicted in this frame is equivariant to rotations and
translations of the object by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch.nn.functional import normalize

from core.grasps.batch import Grasps
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle, random_rotations

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject

#: metres from a frame's origin within which the object is described in it
LOCAL_RADIUS: Final = 0.09
#: metres within which normals are averaged
SMOOTHING_RADIUS: Final = 0.012


@dataclass(frozen=True)
class Frames:
    """N heading frames in an object's frame.

    Attributes:
        origin: (N, 3) metres.
        axes: (N, 3, 3) rotations from the heading frames to the object's: x, y, z as columns.
    """

    origin: torch.Tensor
    axes: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Frames:
        return Frames(self.origin[rows], self.axes[rows])

    def to(self, device: torch.device | str) -> Frames:
        """The same frames with their tensors on `device`."""
        return Frames(self.origin.to(device), self.axes.to(device))

    def object_origin(self) -> torch.Tensor:
        """(N, 3) the origin of the object's frame in the heading frames, metres."""
        return (-self.origin[:, None] @ self.axes)[:, 0]

    def to_object(self, points: torch.Tensor) -> torch.Tensor:
        """Points of the heading frames, in the object's frame.

        Args:
            points: (N, K, 3) metres, or (K, 3) the same for all frames.

        Returns:
            (N, K, 3) metres.
        """
        if points.ndim == 3:
            return points @ self.axes.transpose(1, 2) + self.origin[:, None]
        # the same points for all: one product is quicker than as many small ones
        rotated = (self.axes.flatten(0, 1) @ points.T).unflatten(0, (len(self.axes), 3)).transpose(1, 2)
        return rotated + self.origin[:, None]


class Cloud(NamedTuple):
    """An object of which there is no more than a point cloud.

    Attributes:
        points: (P, 3) metres.
        normals: (P, 3) outward, unit.
    """

    points: torch.Tensor
    normals: torch.Tensor


def smoothed_normals(obj: GraspObject | Cloud, points: torch.Tensor) -> torch.Tensor:
    """The mean normals of the object's points around given points.

    Each normal is weighted by its cosine with that of the nearest point, so that of a thin wall the other side does not
    count.

    Args:
        obj: the object.
        points: (N, 3) metres, on its surface.

    Returns:
        (N, 3) unit, over the object's points within `SMOOTHING_RADIUS` of the distance of the nearest.
    """
    distance = torch.cdist(points, obj.points)
    least, nearest = distance.min(1, keepdim=True)
    own = obj.normals[nearest[:, 0]]
    weight = (distance < least + SMOOTHING_RADIUS).float() * (own @ obj.normals.T).clamp_min(0)
    return normalize(weight @ obj.normals, dim=1)


def frames_at(obj: GraspObject | Cloud, points: torch.Tensor, lateral: torch.Tensor) -> Frames:
    """Heading frames at given points.

    Args:
        obj: the object.
        points: (N, 3) metres, on its surface.
        lateral: (N, 3) the hands' lateral axes, of any length.
    """
    z = smoothed_normals(obj, points)
    y = lateral - (lateral * z).sum(1, keepdim=True) * z
    # A lateral axis along the normal has no projection: any direction in the plane will do.
    first, second = torch.eye(3, device=z.device)[:2]
    helper = torch.where(z[:, :1].abs() < 0.9, first, second)
    y = torch.where(y.norm(dim=1, keepdim=True) > 1e-4, y, torch.linalg.cross(z, helper))
    y = normalize(y, dim=1)
    return Frames(points, torch.stack([torch.linalg.cross(y, z), y, z], 2))


def frames_of_grasps(obj: GraspObject | Cloud, hand: HandModel, grasps: Grasps) -> Frames:
    """The heading frame of each grasp: at the object's point nearest to the middle of palm and fingertips."""
    with torch.no_grad():
        return frames_of_joints(obj, hand(**grasps.parameters()).joints)


def frames_of_joints(obj: GraspObject | Cloud, joints: torch.Tensor) -> Frames:
    """The heading frames of hands with joints (N, 21, 3), object frame, metres."""
    middle = 0.5 * joints[:, [0, 1, 4, 7, 10]].mean(1) + 0.5 * joints[:, 16:].mean(1)
    rows = torch.cdist(middle, obj.points).argmin(1)
    return frames_at(obj, obj.points[rows], joints[:, 1] - joints[:, 7])


def mirrored(frames: Frames) -> Frames:
    """The frames with x reversed (left-handed), in which a left hand looks like a right one."""
    return Frames(frames.origin, frames.axes * torch.tensor([-1.0, 1.0, 1.0]))


def random_frames(obj: GraspObject, points: int, rolls: int, rng: torch.Generator,
                  allowed: torch.Tensor | None = None) -> Frames:
    """Heading frames at random points of the object, drawn by area, each rotated about its normal in even steps.

    Args:
        obj: the object.
        points: how many points are drawn.
        rolls: how many frames there are at each.
        rng: of the draws, on the CPU.
        allowed: (P,) bool, those of the object's points to draw from; all when None.

    Returns:
        `points` x `rolls` frames, those of one point together.
    """
    candidates = torch.arange(len(obj.points)) if allowed is None else allowed.nonzero()[:, 0]
    rows = candidates[torch.randint(len(candidates), (points,), generator=rng)]
    start = frames_at(obj, obj.points[rows], torch.randn(points, 3, generator=rng))
    angle = torch.arange(rolls) * 2 * torch.pi / rolls
    roll = axis_angle_to_matrix(torch.stack([0 * angle, 0 * angle, angle], 1))
    axes = start.axes[:, None] @ roll[None]
    return Frames(start.origin.repeat_interleave(rolls, 0), axes.reshape(-1, 3, 3))


def into_frames(hand: HandModel, grasps: Grasps, frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    """Wrist rotations (N, 3, 3) and positions (N, 3), metres, of grasps in their heading frames."""
    root = hand.rest(grasps.betas)[1][:, 0]
    rotation = frames.axes.transpose(1, 2) @ axis_angle_to_matrix(grasps.global_orient)
    wrist = grasps.transl + root
    return rotation, ((wrist - frames.origin)[:, None] @ frames.axes)[:, 0]


def out_of_frames(hand: HandModel, frames: Frames, rotation: torch.Tensor, wrist: torch.Tensor, hand_pose: torch.Tensor,
                  betas: torch.Tensor, method: str) -> Grasps:
    """Grasps of wrists in heading frames: the inverse of `into_frames`.

    Args:
        hand: the hand.
        frames: N heading frames.
        rotation: (N, 3, 3) of the wrists, in the heading frames.
        wrist: (N, 3) metres, likewise.
        hand_pose: (N, 45) axis-angle radians.
        betas: (N, 10) shape.
        method: the name of the generator.

    Returns:
        N grasps in the object's frame, their score zero.
    """
    root = hand.rest(betas)[1][:, 0]
    position = (wrist[:, None] @ frames.axes.transpose(1, 2))[:, 0] + frames.origin
    return Grasps(matrix_to_axis_angle(frames.axes @ rotation), hand_pose, position - root, betas,
                  torch.zeros(len(position)), method=method, hand=hand.side)


def object_frames(count: int, rng: torch.Generator) -> Frames:
    """`count` frames as the papers have them: at the object's origin, rotated at random, as its axes mean nothing."""
    return Frames(torch.zeros(count, 3), random_rotations(count, rng))


@cache
def local_points(count: int = 128) -> torch.Tensor:
    """(count, 3) fixed points within `LOCAL_RADIUS`, denser toward the origin: Fibonacci's sphere, radii by turns."""
    index = torch.arange(count) + 0.5
    polar = torch.acos(1 - 2 * index / count)
    azimuth = torch.pi * (1 + 5**0.5) * index
    radius = LOCAL_RADIUS * ((torch.arange(count) * 0.618034) % 1.0 * 0.9 + 0.1) ** 0.5
    direction = torch.stack([polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()], 1)
    return direction * radius[:, None]


def local_distances(obj: GraspObject, frames: Frames, count: int = 128) -> torch.Tensor:
    """(N, count) signed distance to the object, metres, clamped to -2 and 4 cm, at `local_points` of N frames."""
    points = frames.to_object(local_points(count))
    return obj.grid.approximate_distance(points).clamp(-0.02, 0.04)
