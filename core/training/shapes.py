"""The procedural shapes as batches, grasped or not: point clouds and distances, in random heading frames."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.dataset.shapes import FAMILIES, make_shape, split
from core.files import save_arrays
from core.generators.local_cloud import object_cloud
from core.generators.object_autoencoder import OBJECT_POINTS
from core.grasps.heading_frame import LOCAL_RADIUS, Cloud, Frames, frames_at
from core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.generators.training_config import Batch


@dataclass(frozen=True)
class ShapeConfig:
    """What is kept of each shape, and how it is varied. Chosen here.

    Attributes:
        seeds: numbers of each family's shapes that are made.
        points: on the surface.
        near: places about the surface whose distance is known, half of them `close` and half `about`.
        far: such places in space, half in the bounding box and `margin` around it, half `wide` about its middle.
        close: metres, standard deviation.
        about: metres, standard deviation.
        margin: metres.
        wide: metres, standard deviation.
        queries: places of a shape in a batch: a quarter each near the surface around the frame's origin, near all of
            the surface, about it, and in space.
        shift: metres, standard deviation by which frames lie along the surface from its points, as grasps' frames do.
        stretch: standard deviation of the logarithm of the size, and of each axis.
    """

    seeds: int = 48
    points: int = 4096
    near: int = 4096
    far: int = 2048
    close: float = 0.002
    about: float = 0.01
    margin: float = 0.04
    wide: float = 0.12
    queries: int = 768
    shift: float = 0.006
    stretch: tuple[float, float] = (0.12, 0.08)


SHAPES: Final = ShapeConfig()


@dataclass(frozen=True)
class ShapeData:
    """M shapes, none of them of a family that is held out; all half precision, metres, the shapes' own frames.

    Attributes:
        points: (M, P, 3) on the surface.
        normals: (M, P, 3) outward, unit.
        places: (M, Q, 3) the first `SHAPES.near` about the surface, the others in space.
        distance: (M, Q) signed, at the places.
        away: (M, Q, 3) unit, away from the surface, at the places.
        train: (M,) bool, to be trained on; the others are held out.
    """

    points: torch.Tensor
    normals: torch.Tensor
    places: torch.Tensor
    distance: torch.Tensor
    away: torch.Tensor
    train: torch.Tensor

    @staticmethod
    def of(columns: Mapping[str, np.ndarray]) -> ShapeData:
        """The shapes whose columns are given by attribute."""
        return ShapeData(*(torch.from_numpy(columns[field.name]) for field in fields(ShapeData)))

    def to(self, device: torch.device | str) -> ShapeData:
        """The same on a device."""
        return ShapeData(*(value.to(device) for value in vars(self).values()))

    def batch(self, count: int, rng: torch.Generator, *, train: bool = True, points: int = OBJECT_POINTS) -> Batch:
        """Shapes drawn at random, stretched and mirrored a little at random, seen from random heading frames.

        Args:
            count: n, of the shapes.
            rng: of everything random.
            train: shapes to be trained on, not those held out, which are neither stretched nor mirrored.
            points: of the clouds.

        Returns:
            `shape` (n, points, 6) as `core.generators.local_cloud.object_cloud`; `query` (n, Q, 3) metres in the
            frames, and `distance` (n, Q) metres there, right to the first order where the shape is stretched.
        """
        device = self.points.device
        rows = (self.train == train).nonzero()[:, 0]
        rows = rows[torch.randint(len(rows), (count,), generator=rng).to(device)]
        size, axis = SHAPES.stretch
        scale = (size * torch.randn(count, 1, generator=rng) + axis * torch.randn(count, 3, generator=rng)).exp()
        scale[:, 0] *= torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
        scale = scale.to(device)[:, None] if train else torch.ones(count, 1, 3, device=device)
        surface = self.points[rows].float() * scale
        normals = torch.nn.functional.normalize(self.normals[rows].float() / scale, dim=-1)
        frames = self._frames(surface, normals, rng)
        picked = self._picked(self.places[rows, :SHAPES.near].float() * scale - frames.origin[:, None], rng)
        places = self.places[rows[:, None], picked].float() * scale
        # A stretched field's slope is no longer one.
        slope = (self.away[rows[:, None], picked].float() / scale).norm(dim=-1).clamp_min(1e-6)
        return {"shape": object_cloud(surface, normals, frames, points, rng),
                "query": (places - frames.origin[:, None]) @ frames.axes,
                "distance": self.distance[rows[:, None], picked].float() / slope}

    def _frames(self, points: torch.Tensor, normals: torch.Tensor, rng: torch.Generator) -> Frames:
        """A heading frame on each of n surfaces (n, P, 3), moved a little along it."""
        count, device = len(points), points.device
        at = torch.randint(points.shape[1], (count,), generator=rng).tolist()
        lateral = torch.randn(count, 3, generator=rng).to(device)
        found = [frames_at(Cloud(points[row], normals[row]), points[row, None, at[row]], lateral[row, None])
                 for row in range(count)]
        axes = torch.cat([each.axes for each in found])
        along = SHAPES.shift * torch.randn(count, 2, generator=rng).to(device)
        moved = (axes[:, :, :2] @ along[..., None])[..., 0]
        return Frames(torch.cat([each.origin for each in found]) + moved, axes)

    @staticmethod
    def _picked(offset: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """(n, Q) places to ask at; offset (n, near, 3) of those about the surface from the frames' origins."""
        count, some = len(offset), SHAPES.queries // 4
        key = torch.rand(offset.shape[:2], generator=rng).to(offset.device)
        near = (key + 2.0 * (offset.square().sum(-1) > LOCAL_RADIUS**2)).topk(some, largest=False).indices
        ranges = ((0, SHAPES.near // 2), (SHAPES.near // 2, SHAPES.near), (SHAPES.near, SHAPES.near + SHAPES.far))
        others = [torch.randint(low, high, (count, some), generator=rng).to(offset.device) for low, high in ranges]
        return torch.cat([near, *others], 1)


def load_shape_data(path: str | Path, progress: Progress | None = None) -> ShapeData:
    """The shapes, kept at `path`; made where there is no such file, which needs the mesh libraries.

    Args:
        path: of what is kept.
        progress: told how far it is, where they are made.
    """
    path = Path(path)
    if not path.exists():
        names = [(family, seed) for family in FAMILIES for seed in range(SHAPES.seeds)
                 if split(family, seed) != "family"]
        save_arrays(path, make_columns(names, progress or Progress()), packed=False)
    with np.load(path, allow_pickle=False) as stored:
        return ShapeData.of({field.name: stored[field.name] for field in fields(ShapeData)})


def make_columns(names: Sequence[tuple[str, int]], progress: Progress) -> dict[str, np.ndarray]:
    """What `load_shape_data` keeps, of shapes named by family and seed."""
    columns: dict[str, list[np.ndarray]] = {}
    for done, (family, seed) in enumerate(names):
        progress(done / len(names), "Making shapes")
        for name, value in shape_columns(family, seed).items():
            columns.setdefault(name, []).append(value)
    return {name: np.stack(parts) for name, parts in columns.items()}


def shape_columns(family: str, seed: int) -> dict[str, np.ndarray]:
    """The row of `ShapeData` of one shape, by attribute."""
    from core.objects.mesh_query import ExactSurface
    from core.objects.sampling import sample_surface

    shape, rng = make_shape(family, seed), np.random.default_rng(seed)
    # Half precision is finer near 0.
    middle = (shape.vertices.min(0) + shape.vertices.max(0)) / 2
    surface = ExactSurface(shape.vertices - middle, shape.faces)
    points, face = sample_surface(surface.vertices, surface.faces, SHAPES.points, rng)
    spread = np.repeat([SHAPES.close, SHAPES.about], SHAPES.near // 2)[:, None]
    near = points[rng.integers(len(points), size=SHAPES.near)] + spread * rng.standard_normal((SHAPES.near, 3))
    half = np.ptp(shape.vertices, axis=0) / 2
    box = (half + SHAPES.margin) * rng.uniform(-1, 1, (SHAPES.far // 2, 3))
    wide = half * rng.uniform(-1, 1, (SHAPES.far // 2, 3)) + SHAPES.wide * rng.standard_normal((SHAPES.far // 2, 3))
    # Distances are those of the places as they are kept.
    places = np.concatenate([near, box, wide]).astype(np.float16)
    distance, _, closest = surface.signed(places.astype(np.float64))
    away = (places - closest) / np.where(np.abs(distance) < 1e-9, 1.0, distance)[:, None]
    return {"points": points.astype(np.float16), "normals": surface.face_normals[face].astype(np.float16),
            "places": places, "distance": distance.astype(np.float16), "away": away.astype(np.float16),
            "train": np.array(split(family, seed) == "train")}
