"""What a network predicts: hand parameters, and perhaps CHOIR's field, in the heading frame of a right hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from core.fitting.pose_fit import trilaterate
from core.fitting.representation import Choir, anchor_distances, side_of, turned_gaussians
from core.generators.hand_parameters import MIRROR
from core.grasps.heading_frame import Frames, mirrored
from core.objects.basis_points import basis_lattice

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class PredictedField:
    """N predicted fields.

    Attributes:
        distances: (N, side^3) metres, d_H of CHOIR's Eq. 2, unsquared.
        gaussians: (N, 32, 9) metres, c_H of Eq. 7; zeros where an anchor's skin does not touch.
    """

    distances: torch.Tensor
    gaussians: torch.Tensor

    def choir(self, obj: GraspObject, hand: HandModel, frames: Frames) -> Choir:
        """The fields as `core.fitting.fit` takes them, on the processor.

        Args:
            obj: the object.
            hand: of the side wanted.
            frames: the N heading frames; of a left hand `mirrored`. It comes back with frames that are not.
        """
        distances, gaussians = self.distances.cpu(), self.gaussians.cpu()
        side = side_of(distances)
        if hand.side == "left":
            distances = anchor_distances(trilaterate(distances) * MIRROR, side)
            gaussians = turned_gaussians(gaussians, torch.diag(MIRROR)[None])
            frames = mirrored(frames)
        object_distances = obj.grid.query(frames.to_object(basis_lattice(side=side)))[0].abs()
        return Choir(object_distances, distances, gaussians, frames)


class Prediction(NamedTuple):
    """What a network predicts of N right hands.

    Attributes:
        params: (N, 61) hand parameters, as `core.generators.hand_parameters` has them.
        field: the N fields that the hands lie in; None where the network predicts none.
    """

    params: torch.Tensor
    field: PredictedField | None = None
