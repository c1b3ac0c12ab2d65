"""The keypoint baseline of CHOIR's ablation (App. B.3): JointDiffusion with points in the place of its fields.

Symbols are the paper's: p_O the object's points, j_H the 21 joints and a_H the 32 anchors of the hand (Eq. 13, 14). The
U-Net gives way to residual layers, the contacts to nothing, the context encoders to layers over p_O. What it predicts
is handed on as JointDiffusion's is, as the distances of a_H from the basis points, so that one closed form lays the
hand into both. Of a noisy hand it is told the anchors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.fitting.pose_fit import trilaterate
from core.fitting.representation import ANCHORS, anchor_distances
from core.generators.conditioning import ConditionEmbedding
from core.generators.diffusion import TimeEmbedding
from core.generators.field_diffusion import FieldDiffusion, ResidualLayer, anchored_skin
from core.generators.pointnet import perceptron
from core.generators.predicted_field import PredictedField
from core.generators.training_config import Batch, OptimizerConfig, Stage, Terms, TrainingConfig, scaled
from core.grasps.heading_frame import LOCAL_RADIUS

if TYPE_CHECKING:
    from core.hand.skin import SkinSample

JOINTS: Final = 21


class KeypointDiffusion(FieldDiffusion):
    """The baseline. It proposes and refines as `JointDiffusion` does.

    Args:
        side: of the lattice in whose distances its anchors are handed on.
        width: of the four residual layers.
        hidden: of the context's layers; 2048 is the paper's, for 4096 points.
        condition: of the context vector.
        proposing: see `FieldDiffusion`.
        refining: see `FieldDiffusion`.
    """

    points = 256
    place: torch.Tensor
    spread: torch.Tensor

    def __init__(self, side: int = 8, width: int = 512, hidden: int = 512, condition: int = 160, *,
                 proposing: tuple[int, float] = (10, 0.2), refining: tuple[int, float] = (5, 0.3)) -> None:
        super().__init__(side, proposing, refining)
        inputs = 6 * self.points
        self.object_context = perceptron(inputs, hidden, hidden, condition)
        self.noisy_context = perceptron(inputs + 3 * ANCHORS, hidden, hidden, condition)
        self.wishes, self.time = ConditionEmbedding(condition), TimeEmbedding(condition)
        self.into = nn.Linear(self.size, width)
        self.layers = nn.ModuleList(ResidualLayer(width, condition) for _ in range(4))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.size))
        self.register_buffer("place", torch.zeros(self.size))
        self.register_buffer("spread", torch.tensor(0.03))

    @property
    def size(self) -> int:
        """Numbers of r_kp^H (Eq. 14)."""
        return 3 * (JOINTS + ANCHORS)

    @torch.no_grad()
    def keypoints(self, hand: SkinSample, params: torch.Tensor) -> torch.Tensor:
        """(B, 159) j_H and a_H, metres in the heading frame, of parameters (B, 61)."""
        betas, rotation, pose, wrist = self.code.unpack(params)
        root = hand.hand.rest_joints(betas)[:, 0]
        zero = torch.zeros_like(wrist)
        still = hand.hand(zero, pose, zero, betas).joints - root[:, None]
        joints = still @ rotation.transpose(1, 2) + wrist[:, None]
        sample = anchored_skin(hand.hand)
        return torch.cat([joints, sample.anchors(self.code.skin(sample, params))], 1).flatten(1)

    @torch.no_grad()
    def standardise(self, hand: SkinSample, params: torch.Tensor) -> None:
        """Takes the keypoints' mean and scale from parameters (n, 61) of true hands."""
        found = self.keypoints(hand, params)
        self.place.copy_(found.mean(0))
        self.spread.copy_((found - self.place).square().mean().sqrt())

    def out_of_units(self, x: torch.Tensor) -> PredictedField:
        """The field of the anchors of x_0 (B, 159), and no Gaussians."""
        anchors = (x * self.spread + self.place).unflatten(1, (JOINTS + ANCHORS, 3))[:, JOINTS:]
        return PredictedField(anchor_distances(anchors, self.side), x.new_zeros(len(x), ANCHORS, 9))

    def context(self, cloud: torch.Tensor, grasp_type: torch.Tensor, intent: torch.Tensor,
                noisy: torch.Tensor | None = None, given: torch.Tensor | None = None,
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nothing of the object, and y (B, condition); arguments as `FieldDiffusion.context` has them."""
        points = cloud.flatten(1)
        y = self.object_context(points)
        if noisy is not None:
            both = self.noisy_context(torch.cat([points, trilaterate(noisy).flatten(1) / LOCAL_RADIUS], 1))
            y = both if given is None else torch.where(given[:, None], both, y)
        return points[:, :0], y + self.wishes(grasp_type, intent)

    def velocity(self, x: torch.Tensor, t: torch.Tensor, obj: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(B, 159) predicted of z_t (B, 159)."""
        condition = nn.functional.silu(self.time(t) + y)
        inner = self.into(x)
        for layer in self.layers:
            inner = layer(inner, condition)
        return self.out(inner)

    def loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator) -> Terms:
        """The denoising loss; synthesis and refinement in one batch."""
        device = batch["cloud"].device
        x0 = (self.keypoints(hand, batch["params"]) - self.place) / self.spread
        obj, y = self.training_context(hand, batch, rng)
        t = torch.randint(1, self.schedule.steps + 1, (len(x0),), generator=rng).to(device)
        noise = torch.randn(x0.shape, generator=rng).to(device)
        found = self.velocity(self.schedule.add_noise(x0, t, noise), t, obj, y)
        return {"loss": (found - self.schedule.velocity(x0, t, noise)).square().mean()}


def training_config(scale: float = 1.0) -> TrainingConfig:
    """The baseline's training, for the ablation: as many steps as JointDiffusion's first stage.

    Args:
        scale: of the steps.
    """
    network = KeypointDiffusion()
    parts = ("object_context", "noisy_context", "wishes", "time", "into", "layers", "out")
    return TrainingConfig(network, (
        Stage("joint", parts, lambda hand, batch, rng: network.loss(hand, batch, rng),
              OptimizerConfig(scaled(20000, scale)), 32, network.standardise),))
