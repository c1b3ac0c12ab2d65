"""What predicted hands are judged by against true ones: FastGrasp's Eq. 7 with two terms of our own.

Hands and clouds are in the heading frame, metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.generators.contact_losses import (
    CM2,
    hand_centric,
    nearest_point,
    object_centric,
    penetration,
    prior_distance,
    prior_map,
    surface_distance,
)
from core.grasps.heading_frame import LOCAL_RADIUS

if TYPE_CHECKING:
    from core.generators.learned import Network
    from core.generators.training_config import Batch, Terms
    from core.hand.skin import SkinSample


@dataclass(frozen=True)
class HandLoss:
    """Eq. 1 and 7: the weights lambda_1 to lambda_5, of means over squared centimetres; and two terms of our own.

    The paper's numbers (0.1, 1, 1000, 10, 10; adaptation 100, 0.1, 1000, 20, 0.1) belong to its sums and metres.

    Attributes:
        param: lambda_1, of the hand parameters (Eq. 2).
        mesh: lambda_2, of the Chamfer distance of the hands' points (Eq. 3).
        contact: lambda_3 (Eq. 5).
        penetration: lambda_4 (Eq. 6).
        consistency: lambda_5, of the contact maps (Eq. 4).
        surface: of `surface_distance`, per centimetre; 0 is the paper.
        depth: weight of depth in that.
        vertices: of the squared distance between the same points of both hands; 0 is the paper.
    """

    param: float = 5.0
    mesh: float = 0.3
    contact: float = 0.2
    penetration: float = 0.5
    consistency: float = 1.0
    surface: float = 1.0
    depth: float = 4.0
    vertices: float = 0.3

    @property
    def judges_object(self) -> bool:
        """Whether it matters where the object is."""
        return bool(self.mesh or self.contact or self.penetration or self.consistency or self.surface)

    @property
    def judges_vertices(self) -> bool:
        """Whether it matters where the hand's points are."""
        return self.judges_object or bool(self.vertices)

    def __call__(self, hand: SkinSample, network: Network, params: torch.Tensor, batch: Batch) -> Terms:
        """Eq. 7 of predicted hands against true ones.

        A loss that sees the betas predicted makes hands thin instead of taking them out of the object, so hands have
        the true ones'.

        Args:
            hand: points of the embedded right hand.
            network: whose units the parameters have.
            params: (N, 61) predicted.
            batch: `params` (N, 61) true, `cloud` (N, P, 6) and `betas` (N, 10).
        """
        truth, points, normals = batch["params"], batch["cloud"][..., :3] * LOCAL_RADIUS, batch["cloud"][..., 3:]
        terms = {"param": (params - truth).square().mean()}
        if self.judges_vertices:
            mine = network.code.skin(hand, params, batch["betas"])
            with torch.no_grad():
                right = network.code.skin(hand, truth)
        if self.vertices:
            terms["vertices"] = CM2 * (mine.points - right.points).square().sum(-1).mean()
        if self.mesh:
            there, _ = nearest_point(mine.points, right.points)
            back, _ = nearest_point(right.points, mine.points)
            terms["mesh"] = CM2 * (there.square().mean() + back.square().mean())
        if self.contact or self.consistency:
            distance = prior_distance(points, mine)
        if self.contact:
            terms["contact"] = CM2 * hand_centric(distance).mean()
        if self.penetration:
            terms["penetration"] = CM2 * penetration(points, normals, mine).mean()
        if self.consistency:
            terms["consistency"] = object_centric(distance, prior_map(points, right)).mean()
        if self.surface:
            terms["surface"] = 100 * surface_distance(points, normals, mine.points, right.points, self.depth).mean()
        terms["loss"] = torch.as_tensor(sum(getattr(self, name) * value for name, value in terms.items()))
        return terms


#: Eq. 7 in the diffusion: where the hand's points are, and how far from the object's surface
PHYSICAL_DIFFUSION: Final = HandLoss(param=0, mesh=0, contact=0, penetration=0, consistency=0, surface=2, depth=10,
                                     vertices=0.5)
