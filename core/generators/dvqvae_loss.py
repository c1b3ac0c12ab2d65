"""What DVQ-VAE's hands are judged by (Sec. 3.4 and 3.5), and the two halves of the hand parameters that it decodes.

Symbols and equation numbers are the paper's: P^h the hand's points, P_m the object's points that are touched, P_c those
of the hand that touch, P_in those inside the object. Object points and normals are scaled as `LocalPointCloud.scaled`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from core.generators.contact_losses import CM2, nearest_plane, prior_distance, surface_distance
from core.generators.hand_parameters import BETAS, POSE, POSITION, ROTATION
from core.grasps.heading_frame import LOCAL_RADIUS

if TYPE_CHECKING:
    from core.generators.hand_parameters import HandNormalizer
    from core.generators.training_config import Batch, Terms
    from core.hand.skin import SkinSample

#: metres from a contact prior within which an object point is touched (P_m of Eq. 13 and 14); chosen here
TOUCHED: Final = 0.005
#: numbers of M_posture (betas and fingers) and of M_position (the wrist's rotation and place)
POSTURE_SIZE, POSITION_SIZE = 55, 6


@dataclass(frozen=True)
class DvqvaeLoss:
    """Eq. 3, 12 and 17: weights, of means over squared centimetres; and two terms of our own.

    The paper's (lambda_e 10, lambda_h 0.1, lambda_v 10, lambda_c 1500, lambda_m -50, lambda_p 5) belong to its sums and
    metres.

    Attributes:
        codes: lambda_e, of the codebooks (Eq. 1 and 2).
        posture: lambda_h, of fingers and betas (Eq. 6).
        position: lambda_h, of the wrist (Eq. 10).
        vertices: lambda_v (Eq. 11).
        touch: lambda_c (Eq. 13).
        agreement: -lambda_m (Eq. 14).
        penetration: lambda_p (Eq. 15).
        surface: of `surface_distance`, per centimetre; 0 is the paper.
        depth: weight of depth in that.
        unseen: of the terms that need no true hand in the same place, of hands whose codes the prior drew, as those of
            proposals are; 0 is the paper, which judges reconstructions alone.
    """

    codes: float = 1.0
    posture: float = 3.0
    position: float = 3.0
    vertices: float = 0.5
    touch: float = 0.3
    agreement: float = 0.3
    penetration: float = 0.3
    surface: float = 1.0
    depth: float = 4.0
    unseen: float = 0.0

    @property
    def judges_object(self) -> bool:
        """Whether it matters where the object is."""
        return bool(self.touch or self.agreement or self.penetration or self.surface)


#: Eq. 3 and 12 alone
RECONSTRUCTION: Final = DvqvaeLoss(touch=0, agreement=0, penetration=0, surface=0)


def touch_loss(distance: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Eq. 13: (N,) mean metres (N, P) to the predicted hand's contact priors from where the true hand touches.

    Args:
        distance: (N, P) metres from object points to the predicted hand's contact priors.
        truth: (N, P) the same of the true hand.
    """
    touched = (truth < TOUCHED).float()
    return (distance * touched).sum(1) / touched.sum(1).clamp_min(1)


def agreement(distance: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Eq. 14: (N,) share of what the true hand touches that the predicted hand touches too.

    A point is counted in softly, over a millimetre, or it would have no gradient.

    Args:
        distance: see `touch_loss`.
        truth: see `touch_loss`.
    """
    touched = (truth < TOUCHED).float()
    found = torch.sigmoid((TOUCHED - distance) / 1e-3)
    return (touched * found).sum(1) / touched.sum(1).clamp_min(1)


def depth_loss(points: torch.Tensor, normals: torch.Tensor, hand_points: torch.Tensor) -> torch.Tensor:
    """Eq. 15 and 16: (N,) mean m2 from hand points that are inside the object to its surface.

    Args:
        points: (N, P, 3) of the object, metres.
        normals: (N, P, 3) outward, unit.
        hand_points: (N, V, 3) metres.
    """
    distance, _ = nearest_plane(points, normals, hand_points)
    return distance.clamp_max(0).square().mean(1)


def put_together(posture: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Hand parameters (N, 61) of M_posture (N, 55) and M_position (N, 6)."""
    return torch.cat([posture[:, BETAS], position[:, :3], posture[:, 10:], position[:, 3:]], 1)


def posture_of(params: torch.Tensor) -> torch.Tensor:
    """M_posture (N, 55) of hand parameters (N, 61)."""
    return torch.cat([params[:, BETAS], params[:, POSE]], 1)


def position_of(params: torch.Tensor) -> torch.Tensor:
    """M_position (N, 6) of hand parameters (N, 61)."""
    return torch.cat([params[:, ROTATION], params[:, POSITION]], 1)


def judged(hand: SkinSample, code: HandNormalizer, params: torch.Tensor, batch: Batch, weights: DvqvaeLoss) -> Terms:
    """Eq. 12 and 17 of predicted hands against the true ones, term by term.

    Args:
        hand: points of the embedded right hand.
        code: the parameters' units.
        params: (N, 61) predicted.
        batch: `params` (N, 61) true, `cloud` (N, P, 6) and `betas` (N, 10), which both hands have.
        weights: which terms matter.
    """
    truth, points, normals = batch["params"], batch["cloud"][..., :3] * LOCAL_RADIUS, batch["cloud"][..., 3:]
    skin = code.skin(hand, params, batch["betas"])
    with torch.no_grad():
        right = code.skin(hand, truth, batch["betas"])
    off = (posture_of(params) - posture_of(truth)).square()
    terms = {"posture": off[:, BETAS.stop:].mean() + 0.1 * off[:, BETAS].mean(),
             "position": (position_of(params) - position_of(truth)).square().mean(),
             "vertices": CM2 * (skin.points - right.points).square().sum(-1).mean()}
    if weights.judges_object:
        distance, true_distance = prior_distance(points, skin), prior_distance(points, right)
        terms["touch"] = 100 * touch_loss(distance, true_distance).mean()
        terms["agreement"] = 1 - agreement(distance, true_distance).mean()
        terms["penetration"] = CM2 * depth_loss(points, normals, skin.points).mean()
        terms["surface"] = 100 * surface_distance(points, normals, skin.points, right.points, weights.depth).mean()
    return terms


def unseen_loss(hand: SkinSample, code: HandNormalizer, params: torch.Tensor, batch: Batch,
                weights: DvqvaeLoss) -> torch.Tensor:
    """The mean loss of hands whose codes the prior drew: what can be said without a true hand of theirs.

    Args:
        hand: points of the embedded right hand.
        code: the parameters' units.
        params: (N, 61) predicted.
        batch: see `judged`.
        weights: of depth and of the distance to the surface.
    """
    points, normals = batch["cloud"][..., :3] * LOCAL_RADIUS, batch["cloud"][..., 3:]
    skin = code.skin(hand, params, batch["betas"])
    with torch.no_grad():
        right = code.skin(hand, batch["params"], batch["betas"])
    off = surface_distance(points, normals, skin.points, right.points, weights.depth, sides=False)
    return (weights.surface * 100 * off + weights.penetration * CM2 * depth_loss(points, normals, skin.points)).mean()


def with_sum(terms: Terms, weights: DvqvaeLoss) -> Terms:
    """The terms, and "loss", their weighted sum."""
    total = sum(getattr(weights, name) * value for name, value in terms.items() if name != "unseen")
    return terms | {"loss": torch.as_tensor(total + weights.unseen * terms.get("unseen", 0))}
