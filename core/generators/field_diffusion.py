"""What CHOIR's diffusion models do alike: sample a field, lay hands into it, propose and refine by the same network.

The subclasses are JointDiffusion and the keypoint baseline of its ablation; symbols are the paper's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.fitting.pose_fit import hands_in_field
from core.fitting.representation import Choir, anchor_distances
from core.generators.conditioning import Conditioning, drop_conditions
from core.generators.diffusion import NoiseSchedule
from core.generators.learned import Network, embedded_skin
from core.generators.predicted_field import PredictedField, Prediction
from core.grasps.batch import Grasps
from core.grasps.heading_frame import Frames
from core.hand.skin import SkinSample

if TYPE_CHECKING:
    from core.generators.training_config import Batch
    from core.hand import HandModel
    from core.progress import Progress

#: the share of the work of proposing that is the sampling; the rest is laying hands into fields
SAMPLING_SHARE: Final = 0.7
#: fields that hands are laid into at once
CHUNK: Final = 8


class FieldDiffusion(Network):
    """A diffusion model whose samples are, or tell, the field d_H that a hand lies in.

    Args:
        side: of the lattice of basis points that fields are told over.
        proposing: steps of DDIM and the temperature of the noise that it starts from.
        refining: the same, to refine.

    Attributes:
        schedule: of the noise; the network predicts the velocity, from which the noise follows.
    """

    noisy_share = 0.5

    def __init__(self, side: int, proposing: tuple[int, float], refining: tuple[int, float]) -> None:
        super().__init__()
        self.side, self.proposing, self.refining = side, proposing, refining
        self.schedule = NoiseSchedule()

    @property
    def size(self) -> int:
        """Numbers of z_t."""
        raise NotImplementedError

    def context(self, cloud: torch.Tensor, grasp_type: torch.Tensor, intent: torch.Tensor,
                noisy: torch.Tensor | None = None, given: torch.Tensor | None = None,
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the denoiser is told of the object, and y (B, condition).

        Args:
            cloud: (B, P, 6) as `LocalPointCloud.scaled`.
            grasp_type: (B,) indices.
            intent: (B,) indices.
            noisy: (B, side^3) d_H of noisy hands, to refine them.
            given: (B,) bool, where there is one; all when None.
        """
        raise NotImplementedError

    def velocity(self, x: torch.Tensor, t: torch.Tensor, obj: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(B, size) predicted of z_t (B, size) at steps t (B,), given the `context`."""
        raise NotImplementedError

    def out_of_units(self, x: torch.Tensor) -> PredictedField:
        """The field that samples x_0 (B, size) tell."""
        raise NotImplementedError

    @torch.no_grad()
    def hand_distances(self, hand: SkinSample, params: torch.Tensor) -> torch.Tensor:
        """(B, side^3) metres, d_H of parameters (B, 61)."""
        sample = anchored_skin(hand.hand)
        return anchor_distances(sample.anchors(self.code.skin(sample, params)), self.side)

    def training_context(self, hand: SkinSample, batch: Batch,
                         rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The `context` of a batch, with some conditions dropped at random, and noisy hands where it has them."""
        noisy = given = None
        if "noisy" in batch:
            noisy, given = self.hand_distances(hand, batch["noisy"]), batch["given"]
        return self.context(batch["cloud"], drop_conditions(batch["grasp_type"], rng),
                            drop_conditions(batch["intent"], rng), noisy, given)

    @torch.no_grad()
    def predict(self, cloud: torch.Tensor, grasp_type: torch.Tensor, intent: torch.Tensor, rng: torch.Generator,
                progress: Progress, noisy: torch.Tensor | None = None) -> PredictedField:
        """The fields of N hands, by DDIM.

        Args:
            cloud: (N, P, 6) as `LocalPointCloud.scaled`.
            grasp_type: (N,) indices.
            intent: (N,) indices.
            rng: of the noise.
            progress: told how far it is after each step.
            noisy: (N, side^3) d_H of hands to refine; None to propose.
        """
        obj, y = self.context(cloud, grasp_type, intent, noisy)
        steps, temperature = self.proposing if noisy is None else self.refining
        x = self.schedule.sample(lambda x, t: self.schedule.predict_noise(x, t, self.velocity(x, t, obj, y)),
                                 (len(cloud), self.size), rng, steps, temperature=temperature, progress=progress)
        return self.out_of_units(x)

    def propose(self, conditioning: Conditioning, rng: torch.Generator, progress: Progress) -> Prediction:
        """Synthesis: DDIM, and the hands, mean shape whatever the betas, that lie in the fields it gives."""
        field = self.predict(conditioning.cloud.scaled, conditioning.grasp_type, conditioning.intent, rng,
                             progress.sub(0.0, SAMPLING_SHARE))
        return Prediction(self.params_in(conditioning.hand, field.distances, progress.sub(SAMPLING_SHARE, 1.0)), field)

    def refine(self, conditioning: Conditioning, anchors: torch.Tensor, rng: torch.Generator,
               progress: Progress) -> PredictedField:
        """Refinement: DDIM given the fields of noisy hands (Sec. 3.2, context 1)."""
        return self.predict(conditioning.cloud.scaled, conditioning.grasp_type, conditioning.intent, rng, progress,
                            anchor_distances(anchors, self.side))

    def params_in(self, hand: SkinSample, distances: torch.Tensor, progress: Progress) -> torch.Tensor:
        """Parameters (N, 61) of the hands, mean shape, that lie in fields (N, side^3); some at a time."""
        count, device, parts = len(distances), distances.device, []
        for rows in torch.arange(count).split(CHUNK):
            zero, unturned = torch.zeros(len(rows), 3), torch.eye(3).repeat(len(rows), 1, 1)
            grasps = Grasps(zero, torch.zeros(len(rows), 45), zero, torch.zeros(len(rows), 10), zero[:, 0])
            field = Choir(zero, distances[rows.to(device)].cpu(), zero, Frames(zero, unturned))
            parts.append(hands_in_field(embedded_skin("cpu").hand, field, grasps))
            progress((int(rows[-1]) + 1) / count)
        still = Frames(torch.zeros(count, 3, device=device), torch.eye(3, device=device).repeat(count, 1, 1))
        return self.code.encode(hand.hand, Grasps.cat(parts).to(device), still)


class ResidualLayer(nn.Module):
    """Two linear layers around a shortcut, scaled and shifted by the condition.

    Args:
        width: of its input and output.
        condition: width of the condition.
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm, self.film = nn.LayerNorm(width), nn.Linear(condition, 2 * width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(B, width) of (B, width) and (B, condition)."""
        scale, shift = self.film(condition).chunk(2, 1)
        return x + self.second(nn.functional.silu(self.first(self.norm(x) * (1 + scale) + shift)))


@lru_cache(maxsize=4)
def anchored_skin(hand: HandModel) -> SkinSample:
    """Points of the hand's skin, with those that its anchors lie between."""
    return SkinSample(hand, anchored=True)
