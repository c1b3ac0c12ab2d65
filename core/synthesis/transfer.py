"""Starts from grasps that have passed: a grasp of one shape laid on another of its family, by parts and heading frames.

The place is carried over: the point of the part of the same name that lies as far along it, and faces the same way.
There the hand stands as it stood (`core.grasps.heading_frame`), turned, shifted and bent a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.dataset.training_grasps import TYPE_NAMES, load_training, split_of
from core.files import digest_of
from core.fitting.energy import Poses
from core.grasps.heading_frame import Cloud, frames_at, frames_of_grasps, into_frames, out_of_frames
from core.grasps.intents import INTENTS
from core.grasps.taxonomy import templates
from core.objects.mesh_query import ExactSurface
from core.objects.sampling import sample_surface
from core.rotations import axis_angle_to_matrix
from core.synthesis.starts import other_fingers

if TYPE_CHECKING:
    from core.dataset.training_grasps import TrainingGrasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: How far a copy is from what it is copied from: radians of the wrist, share of `other_fingers`, metres.
TURNED, BENT, MOVED = 0.15, 0.75, 0.005
#: Of a place carried over: share of the part's size by which it wanders, and what facing another way costs.
WANDER, FACING = 0.08, 0.3
#: What is grasped with no function in mind may start from any such grasp.
PLAIN: Final = ("any", "hold", "lift")
CLOUD: Final = 2048


@dataclass(frozen=True)
class KnownShape:
    """A shape of the library as far as places on it go: its points, and the name of each point's part."""

    cloud: Cloud
    part: np.ndarray


@dataclass(frozen=True)
class GraspLibrary:
    """Grasps that passed, to start others from.

    Attributes:
        grasps: of the procedural shapes. digest: eight hexadecimal digits of the file that they are from.
    """

    grasps: TrainingGrasps
    digest: str

    def near(self, name: str, intent: str, kinds: set[str]) -> TrainingGrasps:
        """Those of other shapes of the family of "family/seed", in its split, for such an intent, of types `kinds`.

        Held-out shapes start from held-out shapes alone, so that nothing passes from the training grasps to them.
        """
        family = name.split("/")[0]
        shapes = np.array([other.split("/")[0] == family and other != name and split_of(other) == split_of(name)
                           for other in self.grasps.objects], bool)
        wanted = [INTENTS.index(other) for other in (PLAIN if intent in PLAIN else (intent,))]
        types = [TYPE_NAMES.index(kind) for kind in kinds]
        return self.grasps[shapes[self.grasps.object] & np.isin(self.grasps.intent, wanted)
                           & np.isin(self.grasps.type, types)]


@cache
def load_library(path: str | Path) -> GraspLibrary:
    """The seeds of a training file.

    Raises:
        OSError, ValueError: there is no such file, or not of training grasps.
    """
    return GraspLibrary(load_training(path), digest_of(path)[:8])


@cache
def known_shape(name: str) -> KnownShape:
    """The points of "family/seed", centred as `core.objects.prepare_object` does, and their parts."""
    from core.dataset.shapes import make_shape

    family, seed = name.split("/", 1)
    shape = make_shape(family, int(seed))
    points, face = sample_surface(shape.vertices, shape.faces, CLOUD, np.random.default_rng(0))
    normals = ExactSurface(shape.vertices, shape.faces).face_normals[face]
    points = points - area_centroid(shape.vertices, shape.faces)
    return KnownShape(Cloud(torch.from_numpy(points).float(), torch.from_numpy(normals).float()),
                 np.array(shape.names)[shape.part[face]])


def transfer_grasps(seeds: TrainingGrasps, obj: GraspObject, hand: HandModel, betas: torch.Tensor,
            rng: torch.Generator) -> Poses:
    """Grasps of other shapes, one copy of each of N, on this one.

    Args:
        seeds: N grasps of shapes of one family. obj: the prepared object. betas: (10,) of the hand that is to hold it.
    """
    pieces: list[Poses] = []
    for number in np.unique(seeds.object):
        mine = seeds[seeds.object == number]
        pieces.append(_from_one(known_shape(seeds.objects[number]), mine, obj, hand, betas, rng))
    return Poses.cat(pieces)


def _from_one(shape: KnownShape, seeds: TrainingGrasps, obj: GraspObject, hand: HandModel, betas: torch.Tensor,
              rng: torch.Generator) -> Poses:
    count = len(seeds)
    grasps = seeds.grasps(hand)
    frames = frames_of_grasps(shape.cloud, hand, grasps)
    rotation, wrist = into_frames(hand, grasps, frames)
    rows = torch.cdist(frames.origin, shape.cloud.points).argmin(1)
    place = torch.stack([_like(shape, int(row), obj, rng) for row in rows])
    there = frames_at(obj, place, frames.axes[:, :, 1])
    moved = out_of_frames(hand, there, rotation, wrist, grasps.hand_pose, betas.expand(count, -1), "synthesis")
    turn = axis_angle_to_matrix(TURNED * torch.randn(count, 3, generator=rng))
    root = hand.rest(moved.betas)[1][:, 0]
    final = moved.transl + root - place
    wrist = place + (turn @ final[..., None])[..., 0] + MOVED * torch.randn(count, 3, generator=rng)
    dofs = torch.from_numpy(seeds.dofs.astype(np.float32)) + BENT * other_fingers(count, rng)
    dofs = torch.minimum(torch.maximum(dofs, hand.dof_limits[:, 0]), hand.dof_limits[:, 1])
    types = tuple(TYPE_NAMES[kind] for kind in seeds.type)
    meant = []
    for posture, kind in zip(dofs, types, strict=True):
        knots = torch.stack([knot.dofs for knot in templates(kind, hand.side)])
        meant.append(knots[(knots - posture).square().sum(1).argmin()])
    # As with other starts, fingers are drawn to between the type's posture and this one's.
    return Poses(turn @ axis_angle_to_matrix(moved.global_orient), wrist, dofs, 0.5 * (dofs + torch.stack(meant)),
                 types)


def _like(shape: KnownShape, row: int, obj: GraspObject, rng: torch.Generator) -> torch.Tensor:
    """(3,) the object's point that lies on its part as the shape's point `row` lies on its own."""
    name = str(shape.part[row])
    there = torch.from_numpy(shape.part == name)
    here = obj.parts.mask(frozenset({name})) if obj.parts is not None else torch.zeros(len(obj.points)).bool()
    if not here.any():
        there, here = torch.ones_like(there), torch.ones(len(obj.points), dtype=torch.bool)
    points, normals = obj.points[here], obj.normals[here]
    least, size = _box(shape.cloud.points[there])
    low, extent = _box(points)
    share = (shape.cloud.points[row] - least) / size + WANDER * torch.randn(3, generator=rng)
    # A thin part's thickness says little: lengths count by how long the part is that way.
    away = ((points - low) / extent - share) * extent / extent.max()
    cost = away.square().sum(1) + FACING**2 * (1 - normals @ shape.cloud.normals[row])
    return points[cost.argmin()]


def area_centroid(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(3,) the middle of a surface, vertices (V, 3) and faces (F, 3), by area."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return area @ corners.mean(1) / area.sum()


def _box(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    low = points.amin(0)
    return low, (points.amax(0) - low).clamp_min(1e-4)
