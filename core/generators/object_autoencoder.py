"""An object's shape, seen from a heading frame, as four latent tokens and back: E_O and X_O of JHOD (Sec. 3.2).

The paper borrows LION's networks, trained on ShapeNet. These are trained on this project's shapes, and what they decode
to is a distance field, which can be meshed. Points are sorted into the cells of three planes and encoded there by
convolutions; a token is a row of the coarse cells that are left of each plane. From the tokens three planes of features
are drawn again, from which a small perceptron reads the distance at any place. Planes are in warped coordinates: fine
where the hand is, coarse at the far end of a hammer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.generators.field_mesh import MESHING, mesh_of_field
from core.generators.pointnet import perceptron, pointwise
from core.grasps.heading_frame import LOCAL_RADIUS

if TYPE_CHECKING:
    import numpy as np

    from core.generators.training_config import Batch, Terms

#: object tokens and the numbers in each (Eq. 7)
TOKENS: Final = 4
WIDTH: Final = 512
#: points of an object that are encoded (Sec. 4.1)
OBJECT_POINTS: Final = 2048


@dataclass(frozen=True)
class FieldConfig:
    """Of the distance field that is decoded; chosen here.

    Attributes:
        reach: metres from the heading frame's origin along each axis; what is farther is cut off.
        bend: metres within which the warp is nearly even.
        unit: metres of a decoded distance.
        most: metres at which distances are cut on both sides.
        sharp: metres, the unit of a distance that tells its sign with some certainty.
        side: cells of a plane.
        coarse: cells of a plane in the middle of the networks.
    """

    reach: float = 0.36
    bend: float = 0.06
    unit: float = 0.01
    most: float = 0.02
    sharp: float = 0.002
    side: int = 32
    coarse: int = 4


FIELD: Final = FieldConfig()
#: numbers of a cell in the middle of the networks
CELL: Final = 40
#: weight of a batch in the tokens' mean and scale
REMEMBERED: Final = 0.005
#: the axes that each plane has
PLANES: Final = ((0, 1), (1, 2), (2, 0))


def warped(points: torch.Tensor) -> torch.Tensor:
    """Metres to -1 .. 1 along each axis, finer near the origin."""
    return (torch.asinh(points / FIELD.bend) / math.asinh(FIELD.reach / FIELD.bend)).clamp(-1, 1)


def unwarped(places: torch.Tensor) -> torch.Tensor:
    """The inverse of `warped` within the reach."""
    return FIELD.bend * torch.sinh(places * math.asinh(FIELD.reach / FIELD.bend))


def sinusoids(places: torch.Tensor, octaves: int) -> torch.Tensor:
    """(..., 3 + 6 octaves) places (..., 3) and sines and cosines of them, each octave twice as fast."""
    angle = torch.cat([places * (math.pi * 2**octave) for octave in range(octaves)], -1)
    return torch.cat([places, angle.sin(), angle.cos()], -1)


def _halved(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 4, 2, 1), nn.GroupNorm(4, after), nn.ReLU(inplace=True))


def _doubled(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1), nn.GroupNorm(4, after), nn.ReLU(inplace=True))


class ObjectEncoder(nn.Module):
    """E_O: points in any order to tokens of unit size.

    Args:
        features: of a point in each plane.
    """

    def __init__(self, features: int = 24) -> None:
        super().__init__()
        self.features = features
        self.point = nn.Sequential(pointwise((6 + 24, 48)), nn.Linear(48, 3 * features))
        self.planes = nn.Sequential(_halved(features + 1, 32), _halved(32, 64), _halved(64, 96), nn.Conv2d(96, CELL, 1))
        self.tokens = nn.Linear(len(PLANES) * FIELD.coarse * CELL, WIDTH)

    def forward(self, cloud: torch.Tensor) -> torch.Tensor:
        """(N, 4, 512) of clouds (N, P, 6), positions over `LOCAL_RADIUS` and outward normals."""
        places = warped(cloud[..., :3] * LOCAL_RADIUS)
        found = self.point(torch.cat([sinusoids(places, 4), cloud[..., 3:]], -1)).split(self.features, -1)
        planes = [self._plane(places[..., axes], some) for axes, some in zip(PLANES, found, strict=True)]
        cells = self.planes(torch.stack(planes, 1).flatten(0, 1)).unflatten(0, (-1, len(PLANES)))
        rows = cells.permute(0, 3, 1, 4, 2).flatten(2)  # a token is a row of cells of each plane
        return nn.functional.layer_norm(self.tokens(rows), (WIDTH,))

    def _plane(self, places: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """(N, features + 1, side, side) means of the features (N, P, features) in each cell, and whether any are."""
        count, side = len(places), FIELD.side
        cell = ((places + 1) * (0.5 * side)).long().clamp(0, side - 1)
        first = torch.arange(count, device=places.device)[:, None] * side**2
        rows = (first + cell[..., 1] * side + cell[..., 0]).flatten()
        counted = torch.cat([features, torch.ones_like(features[..., :1])], -1).flatten(0, 1)
        sums = torch.zeros(count * side**2, self.features + 1, device=places.device).index_add(0, rows, counted)
        number = sums[:, -1:]
        means = torch.cat([sums[:, :-1] / number.clamp_min(1), number.clamp_max(1)], 1)
        return means.reshape(count, side, side, -1).permute(0, 3, 1, 2)


class ObjectDecoder(nn.Module):
    """X_O: tokens to the distance at any place.

    Args:
        features: of a place in each plane.
    """

    def __init__(self, features: int = 24) -> None:
        super().__init__()
        self.cells = nn.Linear(WIDTH, len(PLANES) * FIELD.coarse * CELL)
        self.planes = nn.Sequential(nn.Conv2d(CELL, 96, 3, 1, 1), nn.ReLU(inplace=True), _doubled(96, 64),
                                    _doubled(64, 48), nn.ConvTranspose2d(48, features, 4, 2, 1))
        self.distance = perceptron(len(PLANES) * features + 27, 96, 64, 1)

    def drawn(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, 3, features, side, side) planes of tokens (N, 4, 512)."""
        cells = self.cells(tokens).unflatten(2, (len(PLANES), FIELD.coarse, CELL)).permute(0, 2, 4, 1, 3)
        return self.planes(cells.flatten(0, 1)).unflatten(0, (-1, len(PLANES)))

    def read(self, planes: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Signed distances at places, about right within `FIELD.most` of the surface.

        Args:
            planes: (N, 3, features, side, side) of `drawn`.
            points: (N, Q, 3) metres, heading frames.

        Returns:
            (N, Q) in units of `FIELD.unit`, not cut.
        """
        places = warped(points)
        at = torch.stack([places[..., axes] for axes in PLANES], 1).flatten(0, 1)[:, :, None]
        seen = nn.functional.grid_sample(planes.flatten(0, 1), at, padding_mode="border", align_corners=False)
        features = seen[..., 0].reshape(len(points), -1, points.shape[1]).transpose(1, 2)
        return self.distance(torch.cat([features, sinusoids(places, 4)], -1))[..., 0]


    def mesh(self, planes: torch.Tensor) -> tuple[np.ndarray, np.ndarray] | None:
        """The surface of one object's planes (3, features, side, side), closed, as `mesh_of_field` gives it.

        What reaches out of the field is cut off at `FIELD.reach`.
        """
        steps = unwarped(torch.linspace(-1, 1, MESHING.nodes))
        places = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1)

        def distance(points: torch.Tensor) -> torch.Tensor:
            return FIELD.unit * self.read(planes[None], points[None].to(planes))[0]

        return mesh_of_field(distance, places)


class ObjectAutoencoder(nn.Module):
    """E_O and X_O together.

    Args:
        noise: standard deviation of what is added to tokens in training, which are of size 1: near tokens are to be
            near shapes.

    Attributes:
        mean: (4, 512) of the tokens of the last shapes that were trained on.
        square: (4, 512) the mean of their squares.
    """

    mean: torch.Tensor
    square: torch.Tensor

    def __init__(self, noise: float = 0.2) -> None:
        super().__init__()
        self.noise = noise
        self.encoder, self.decoder = ObjectEncoder(), ObjectDecoder()
        self.register_buffer("mean", torch.zeros(TOKENS, WIDTH))
        self.register_buffer("square", torch.ones(TOKENS, WIDTH))

    @property
    def scale(self) -> torch.Tensor:
        """(4, 512) standard deviations of the tokens."""
        return (self.square - self.mean.square()).clamp_min(1e-4).sqrt()

    def encode(self, cloud: torch.Tensor) -> torch.Tensor:
        """z^O (N, 4, 512), standardised, of clouds (N, P, 6)."""
        return (self.encoder(cloud) - self.mean) / self.scale

    def planes(self, tokens: torch.Tensor) -> torch.Tensor:
        """What `ObjectDecoder.read` reads, of z^O (N, 4, 512), standardised."""
        return self.decoder.drawn(tokens * self.scale + self.mean)

    def loss(self, batch: Batch, rng: torch.Generator) -> Terms:
        """How wrong the decoded distances are: by their amount, cut on both sides, and by their sign.

        Args:
            batch: `shape` (N, P, 6) clouds, `query` (N, Q, 3) metres and `distance` (N, Q) metres there.
            rng: of the noise.
        """
        # Tokens are to be the same of fewer points.
        every = 1 + int(torch.randint(2, (1,), generator=rng))
        tokens = self.encoder(batch["shape"][:, ::every])
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(tokens.mean(0), REMEMBERED)
                self.square.lerp_(tokens.square().mean(0), REMEMBERED)
        tokens = tokens + self.noise * torch.randn(tokens.shape, generator=rng).to(tokens)
        found, truth = self.decoder.read(self.decoder.drawn(tokens), batch["query"]), batch["distance"]
        most = FIELD.most / FIELD.unit
        amount = (found.clamp(-most, most) - (truth / FIELD.unit).clamp(-most, most)).abs().mean()
        # Where a distance is cut nothing is learned from its amount, so the sign is what brings wrong ones back.
        logit = found * (FIELD.unit / FIELD.sharp)
        sign = nn.functional.binary_cross_entropy_with_logits(logit, (truth > 0).to(logit))
        wrong = ((found > 0) != (truth > 0)).float().mean()
        return {"amount": amount, "sign": sign, "wrong": wrong, "loss": amount + sign}
