"""Starts from grasps that have passed: a grasp of one shape laid on another of its family, by parts and heading frames.

Its surface point is carried over: to the point of the part of the same name that lies as far along it, with the same
normal. There the hand stands as it stood (`core.grasps.heading_frame`), turned, shifted and bent a little.
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
from core.fitting.poses import Poses
from core.grasps.heading_frame import Cloud, frames_at, frames_of_grasps, into_frames, out_of_frames
from core.grasps.intents import INTENTS
from core.grasps.taxonomy import templates
from core.objects.mesh_query import ExactSurface, face_normals_areas
from core.objects.sampling import sample_surface
from core.rotations import axis_angle_to_matrix
from core.synthesis.starts import sample_finger_variety

if TYPE_CHECKING:
    from core.dataset.training_grasps import TrainingGrasps
    from core.hand import HandModel
    from core.objects import GraspObject

#: what is grasped with no function in mind may start from any such grasp
PLAIN: Final = ("any", "hold", "lift")
#: points of a shape of the library
CLOUD: Final = 2048


@dataclass(frozen=True)
class TransferConfig:
    """How far a copy is from what it is copied from.

    Attributes:
        turn: radians of the wrist, one standard deviation.
        bend: times `sample_finger_variety` of the joint angles.
        move: metres, one standard deviation.
        wander: share of the part's size by which the point on the surface wanders, one standard deviation.
        normal: share of the part's size that a normal at right angles costs in the choice of that point.
    """

    turn: float = 0.15
    bend: float = 0.75
    move: float = 0.005
    wander: float = 0.08
    normal: float = 0.3


TRANSFER: Final = TransferConfig()


@dataclass(frozen=True)
class KnownShape:
    """A shape of the library as far as points on it go.

    Attributes:
        cloud: of its surface.
        part: (P,) the name of each point's part.
    """

    cloud: Cloud
    part: np.ndarray


@dataclass(frozen=True)
class GraspLibrary:
    """Grasps that passed, to start others from.

    Attributes:
        grasps: of the procedural shapes.
        digest: eight hexadecimal digits of the file that they are from.
    """

    grasps: TrainingGrasps
    digest: str

    def near(self, name: str, intent: str, types: set[str]) -> TrainingGrasps:
        """Those of other shapes of the same family and split, for such an intent, of some types.

        Held-out shapes start from held-out shapes alone, so that nothing passes from the training grasps to them.

        Args:
            name: "family/seed" of the shape.
            intent: of `core.grasps.intents.INTENTS`.
            types: names of grasp types.
        """
        family = name.split("/")[0]
        shapes = np.array([other.split("/")[0] == family and other != name and split_of(other) == split_of(name)
                           for other in self.grasps.objects], bool)
        wanted = [INTENTS.index(other) for other in (PLAIN if intent in PLAIN else (intent,))]
        numbers = [TYPE_NAMES.index(grasp_type) for grasp_type in types]
        return self.grasps[shapes[self.grasps.object] & np.isin(self.grasps.intent, wanted)
                           & np.isin(self.grasps.type, numbers)]


@cache
def load_library(path: str | Path) -> GraspLibrary:
    """The grasps of a training file.

    Raises:
        OSError: there is no such file.
        ValueError: it is not of training grasps.
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


def transfer_grasps(sources: TrainingGrasps, obj: GraspObject, hand: HandModel, betas: torch.Tensor,
                    rng: torch.Generator, config: TransferConfig = TRANSFER) -> Poses:
    """Grasps of other shapes, one copy of each, on this one.

    Args:
        sources: N grasps of shapes of one family.
        obj: the prepared object.
        hand: the hand model.
        betas: (10,) of the hand that is to hold it.
        rng: all that is random comes from it.
        config: how far a copy is from what it is copied from.

    Returns:
        N poses, those of one source shape together.
    """
    pieces: list[Poses] = []
    for number in np.unique(sources.object):
        mine = sources[sources.object == number]
        pieces.append(_transfer_one(known_shape(sources.objects[number]), mine, obj, hand, betas, rng, config))
    return Poses.cat(pieces)


def _transfer_one(shape: KnownShape, sources: TrainingGrasps, obj: GraspObject, hand: HandModel, betas: torch.Tensor,
                  rng: torch.Generator, config: TransferConfig) -> Poses:
    """The copies of grasps of one shape."""
    count = len(sources)
    grasps = sources.grasps(hand)
    frames = frames_of_grasps(shape.cloud, hand, grasps)
    rotation, wrist = into_frames(hand, grasps, frames)
    rows = torch.cdist(frames.origin, shape.cloud.points).argmin(1)
    point = torch.stack([_corresponding_point(shape, int(row), obj, rng, config) for row in rows])
    target_frames = frames_at(obj, point, frames.axes[:, :, 1])
    moved = out_of_frames(hand, target_frames, rotation, wrist, grasps.hand_pose, betas.expand(count, -1), "synthesis")
    turn = axis_angle_to_matrix(config.turn * torch.randn(count, 3, generator=rng))
    root = hand.rest(moved.betas)[1][:, 0]
    from_point = moved.transl + root - point
    wrist = point + (turn @ from_point[..., None])[..., 0] + config.move * torch.randn(count, 3, generator=rng)
    dofs = torch.from_numpy(sources.dofs.astype(np.float32)) + config.bend * sample_finger_variety(count, rng)
    dofs = hand.clamp_dofs(dofs)
    types = tuple(TYPE_NAMES[number] for number in sources.type)
    nearest = []
    for posture, name in zip(dofs, types, strict=True):
        knots = torch.stack([knot.dofs for knot in templates(name, hand.side)])
        nearest.append(knots[(knots - posture).square().sum(1).argmin()])
    # As with other starts, fingers are drawn to between the type's posture and this one's.
    return Poses(turn @ axis_angle_to_matrix(moved.global_orient), wrist, dofs, 0.5 * (dofs + torch.stack(nearest)),
                 types)


def _corresponding_point(shape: KnownShape, row: int, obj: GraspObject, rng: torch.Generator,
                         config: TransferConfig) -> torch.Tensor:
    """(3,) the object's point that lies on its part as the shape's point `row` lies on its own, metres."""
    name = str(shape.part[row])
    of_shape = torch.from_numpy(shape.part == name)
    of_object = obj.parts.mask(frozenset({name})) if obj.parts is not None else torch.zeros(len(obj.points)).bool()
    if not of_object.any():
        of_shape, of_object = torch.ones_like(of_shape), torch.ones(len(obj.points), dtype=torch.bool)
    points, normals = obj.points[of_object], obj.normals[of_object]
    least, size = _box(shape.cloud.points[of_shape])
    low, extent = _box(points)
    share = (shape.cloud.points[row] - least) / size + config.wander * torch.randn(3, generator=rng)
    # A thin part's thickness says little: lengths count by how long the part is that way.
    away = ((points - low) / extent - share) * extent / extent.max()
    cost = away.square().sum(1) + config.normal**2 * (1 - normals @ shape.cloud.normals[row])
    return points[cost.argmin()]


def area_centroid(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(3,) the centroid of a surface, vertices (V, 3) and faces (F, 3), by its area."""
    _, areas = face_normals_areas(vertices, faces)
    return areas @ vertices[faces].mean(1) / areas.sum()


def _box(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(3,) the least corner of the box of points (P, 3), and (3,) its size."""
    low = points.amin(0)
    return low, (points.amax(0) - low).clamp_min(1e-4)
