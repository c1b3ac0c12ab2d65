"""Some of the hand's vertices, posed without the rest, for losses that are evaluated thousands of times."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.hand.normals import vertex_normals
from core.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from core.hand.model import HandModel

#: a sample has every so many vertices of the hand
STRIDE: Final = 10
#: and of its contact regions
REGION_STRIDE: Final = 2
#: vertices of a sample of the embedded hand with these strides
COUNT: Final = 230


@dataclass(frozen=True)
class Skin:
    """Some vertices of N posed hands.

    Attributes:
        points: (N, V, 3) metres.
        normals: (N, V, 3) outward, unit.
        priors: (H,) those of the V that are in the hand's contact regions, where contact is likely beforehand.
    """

    points: torch.Tensor
    normals: torch.Tensor
    priors: torch.Tensor


class SkinSample(nn.Module):
    """Vertices spread over a hand, denser in its contact regions.

    Args:
        hand: the hand; the points are where `hand` puts those vertices, within rounding.
        stride: a sample has every so many vertices.
        anchored: with the vertices that the hand's anchors lie between.

    Attributes:
        rows: (V,) the hand's vertices that are in the sample.
        priors: (H,) those of the V that are in the hand's contact regions.
        area: (V,) cm2 of skin nearer to each point than to any other, the hand at rest.
    """

    def __init__(self, hand: HandModel, stride: int = STRIDE, *, anchored: bool = False) -> None:
        super().__init__()
        self.hand = hand
        regions = torch.cat([region[::REGION_STRIDE] for region in hand.contact_regions]).unique()
        spread = torch.arange(0, len(hand.v_template), stride, device=regions.device)
        corners = hand.anchor_faces.reshape(-1) if anchored else regions[:0]
        rows = torch.cat([spread, regions, corners]).unique()
        self.rows, self.priors = rows, torch.isin(rows, regions).nonzero()[:, 0]
        self.corners = torch.searchsorted(rows, hand.anchor_faces) if anchored else None
        self.rest_normals = vertex_normals(hand.v_template, hand.faces)[rows]
        self.template, self.weights = hand.v_template[rows], hand.lbs_weights[rows]
        nearest = torch.cdist(hand.v_template, self.template).argmin(1)
        self.area = torch.zeros(len(rows), device=rows.device).index_add_(0, nearest, vertex_area(hand))
        self.shapes = hand.shapedirs[rows].reshape(-1, 10).T.contiguous()
        self.correctives = hand.posedirs.reshape(135, -1, 3)[:, rows].reshape(135, -1).contiguous()

    def forward(self, rotation: torch.Tensor, hand_pose: torch.Tensor, transl: torch.Tensor,
                betas: torch.Tensor) -> Skin:
        """Poses N hands, as `HandModel.forward` does, but for wrists given as matrices.

        The gradient of an axis-angle vector near half a turn is useless. Normals are rotated with the bones.

        Args:
            rotation: (N, 3, 3) of the wrist.
            hand_pose: (N, 45) axis-angle radians.
            transl: (N, 3) metres.
            betas: (N, 10) shape.
        """
        count = len(hand_pose)
        fingers = axis_angle_to_matrix(hand_pose.reshape(count, 15, 3))
        rotations = torch.cat([rotation[:, None], fingers], 1)
        feature = (fingers - torch.eye(3, dtype=fingers.dtype, device=fingers.device)).reshape(count, 135)
        rest = self.template + (betas @ self.shapes + feature @ self.correctives).reshape(count, -1, 3)
        transforms = self.hand.chain(rotations, transl, self.hand.rest_joints(betas))
        x, y, z, at = (transforms[:, :, :3].reshape(count, 16, 12).transpose(1, 2) @ self.weights.T).unflatten(
            1, (3, 4)).unbind(2)
        # coordinate by coordinate: as many products of small matrices take a third longer
        points = x * rest[:, None, :, 0] + y * rest[:, None, :, 1] + z * rest[:, None, :, 2] + at
        across, along, up = self.rest_normals.unbind(1)
        normals = x * across + y * along + z * up
        length = normals.square().sum(1, keepdim=True).sqrt()  # norm(dim=1) of three takes several times as long
        return Skin(points.transpose(1, 2), (normals / length).transpose(1, 2), self.priors)

    def anchors(self, skin: Skin) -> torch.Tensor:
        """(N, 32, 3) the hands' anchors, metres.

        Raises:
            ValueError: the sample is not `anchored`.
        """
        if self.corners is None:
            raise ValueError("this sample of the skin is without the anchors' vertices")
        return (skin.points[:, self.corners] * self.hand.anchor_weights[..., None]).sum(2)


@dataclass(frozen=True)
class SkinRows:
    """Some vertices of one hand shape, posed from the transforms of its bones.

    Attributes:
        rest: (V, 3) at rest, metres.
        weights: (V, 16) of skinning.
        correctives: (135, 3 V) metres, the pose correctives.
        normals: (V, 3) outward at rest, unit.
        area: (V,) cm2 of skin that each stands for.
    """

    rest: torch.Tensor
    weights: torch.Tensor
    correctives: torch.Tensor
    normals: torch.Tensor
    area: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> SkinRows:
        correctives = self.correctives.unflatten(1, (-1, 3))[:, rows].flatten(1)
        return SkinRows(self.rest[rows], self.weights[rows], correctives, self.normals[rows], self.area[rows])

    def to(self, device: torch.device | str) -> SkinRows:
        return SkinRows(*(getattr(self, field.name).to(device) for field in fields(SkinRows)))

    def points(self, rotations: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
        """The posed points. The gradient is that of the bones alone: correctives are small, and half of the cost.

        Args:
            rotations: (B, 16, 3, 3) of the bones, each against its parent's.
            transforms: (B, 16, 4, 4) of `HandModel.chain`.

        Returns:
            (B, V, 3) metres.
        """
        rest = torch.cat([self.rest, torch.ones_like(self.rest[:, :1])], 1)
        return blended(self.weights, rest, transforms[:, :, :3]) + self._moved_correctives(rotations, transforms)

    @torch.no_grad()
    def _moved_correctives(self, rotations: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
        count = len(rotations)
        feature = (rotations[:, 1:] - torch.eye(3).to(rotations)).reshape(count, 135)
        offsets = (feature @ self.correctives).unflatten(1, (-1, 3)).transpose(1, 2)
        blended_rotations = transforms[:, :, :3, :3].reshape(count, 16, 9).transpose(1, 2) @ self.weights.T
        return (blended_rotations.unflatten(1, (3, 3)) * offsets[:, None]).sum(2).transpose(1, 2)

    @torch.no_grad()
    def normals_under(self, transforms: torch.Tensor) -> torch.Tensor:
        """(B, V, 3) normals, rotated with the bones, of transforms (B, 16, 4, 4)."""
        return blended(self.weights, self.normals, transforms[:, :, :3, :3])


def blended(weights: torch.Tensor, points: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Linear blend skinning, as one product of matrices: blending the maps first takes several times as long.

    Args:
        weights: (P, 16) of skinning.
        points: (P, D) at rest: D is 4 for homogeneous points, 3 for directions.
        moves: (B, 16, 3, D) linear maps of the bones.

    Returns:
        (B, P, 3) the weighted mean of what the maps make of each point.
    """
    rows = (weights[:, :, None] * points[:, None]).flatten(1)
    return (moves.transpose(1, 2).flatten(2) @ rows.T).transpose(1, 2)


def vertex_area(hand: HandModel) -> torch.Tensor:
    """(V,) cm2 of skin for each vertex of the hand at rest."""
    corners = hand.v_template[hand.faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1) / 6
    return torch.zeros(len(hand.v_template), device=area.device).index_add_(
        0, hand.faces.reshape(-1), area.repeat_interleave(3)) * 1e4


