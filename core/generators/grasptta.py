"""GraspTTA: a conditional variational auto-encoder proposes, a contact network criticises, the decoder adapts.

Symbols and numbers are the paper's (Sec. 2.1-2.3): Omega contact maps, L_R, L_KLD, L_penetr, L_O, L_H, L_TTA. Hands and
objects are in the heading frame. Differences from the published code: contact regions come from the hand model; a
candidate's decoder is its own copy, so that a candidate does not depend on how many were asked for; the published
script moves the 61 parameters instead (`adapt="parameters"`); it ties ContactNet to the order of its points, the text
does not, and neither does this; adaptation has the stiffness deficit in its loss, and keeps hands that no fit follows
clear of the surface (`without_fit`, `before_fit`; Eq. 3 alone is `PRINTED`). Betas are predicted, but what is judged is
the hand that was given: a loss that sees predicted ones makes hands thin instead of taking them out of the object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import nn

from core.generators.adaptation import AdaptationConfig, Clearance, StiffnessTerm, TouchLoss, in_chunks, overlap_area
from core.generators.conditioning import ConditionEmbedding, drop_conditions
from core.generators.contact_losses import (
    CM2,
    hand_centric,
    object_centric,
    penetration,
    prior_distance,
    prior_map,
    surface_distance,
)
from core.generators.hand_parameters import BETAS, SIZE
from core.generators.learned import Network
from core.generators.pointnet import PointNet, perceptron
from core.generators.predicted_field import Prediction
from core.generators.training_config import COARSE, Batch, OptimizerConfig, Stage, Terms, TrainingConfig, scaled
from core.grasps.heading_frame import LOCAL_RADIUS

if TYPE_CHECKING:
    from core.generators.conditioning import Conditioning
    from core.hand.skin import SkinSample
    from core.progress import Progress

#: as much clearance for the surface inside a hand as FastGrasp has loses grasps here (measured: the card)
WITHOUT_FIT: Final = AdaptationConfig(30, 8e-5, clearance=Clearance(0.0024, 0.0004, 0.004, full_area=110.0))
#: a fit takes a hand out of the object, but makes no grasp of one that is far off it
BEFORE_FIT: Final = AdaptationConfig(10, 2e-4)
#: Eq. 3 as the paper has it
PRINTED: Final = AdaptationConfig(10, 2e-4, TouchLoss(stiffness=0.0))
#: how much larger the steps are where the 61 parameters are moved instead of the decoder
PARAMETERS_STEP: Final = 20


@dataclass(frozen=True)
class CvaeLoss:
    """Eq. 1 and 2, the weights of means over squared centimetres; and two terms of our own.

    Attributes:
        vertices: lambda_V of L_R.
        pose: lambda_theta of L_R.
        shape: lambda_beta of L_R.
        divergence: lambda_KLD.
        penetration: lambda_p.
        hand_centric: lambda_H.
        object_centric: lambda_O.
        surface: of `surface_distance`, per centimetre; 0 is the paper.
        unseen: of the terms that need no true hand in the same place, of hands from z of the prior, as proposals are;
            0 is the paper, which judges reconstructions alone.
    """

    vertices: float = 0.5
    pose: float = 3.0
    shape: float = 0.3
    divergence: float = 0.02
    penetration: float = 0.5
    hand_centric: float = 0.2
    object_centric: float = 1.0
    surface: float = 1.0
    unseen: float = 0.0


class GraspCVAE(nn.Module):
    """Sec. 2.1: reconstructs hand parameters from hand and object; without the hand, it proposes.

    Args:
        latent: numbers of z.
        object_width: of the object's global feature.
        hand_width: of the hand's.
    """

    def __init__(self, latent: int = 32, object_width: int = 256, hand_width: int = 256) -> None:
        super().__init__()
        self.latent = latent
        self.object = PointNet(6, (48, 96, object_width))
        self.hand = PointNet(3, (48, 96, hand_width))
        self.wishes = ConditionEmbedding(object_width)
        self.encoder = perceptron(hand_width + object_width, 512, 256)
        self.mean, self.log_variance = nn.Linear(256, latent), nn.Linear(256, latent)
        self.decoder = perceptron(latent + object_width, 768, 256, SIZE)

    def condition(self, cloud: torch.Tensor, grasp_type: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N, object_width) what is known of clouds (N, P, 6), types and intents (N,)."""
        return self.object(cloud) + self.wishes(grasp_type, intent)

    def posterior(self, hand_points: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """mu and log sigma^2 (N, latent) of Q(z | hand, object), of hand points (N, V, 3) over `LOCAL_RADIUS`."""
        both = nn.functional.relu(self.encoder(torch.cat([self.hand(hand_points), condition], 1)))
        return self.mean(both), self.log_variance(both).clamp(-12, 6)


class ContactNet(nn.Module):
    """Sec. 2.2: the contact map of an object's points, from their local features and global ones of hand and object.

    Args:
        width: of the global features.
    """

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.object, self.hand = PointNet(6, (64, 96, width)), PointNet(3, (48, 96, width))
        # One linear layer over [local, object, hand] without repeating the last two for every point.
        self.local, self.both = nn.Linear(64, 256), nn.Linear(2 * width, 256)
        self.rest = nn.Sequential(nn.LayerNorm(256), nn.ReLU(), nn.Linear(256, 128), nn.LayerNorm(128), nn.ReLU(),
                                  nn.Linear(128, 1), nn.Sigmoid())

    def object_features(self, cloud: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local (N, P, 256) and global (N, width) features of clouds (N, P, 6), the same whatever the hand does."""
        local = self.object.per_point(cloud)
        return self.local(local), self.object.pooled(local)

    def forward(self, features: tuple[torch.Tensor, torch.Tensor], hand_points: torch.Tensor) -> torch.Tensor:
        """(N, P) Omega^c, of `object_features` and hand points (N, V, 3) over `LOCAL_RADIUS`."""
        local, whole = features
        return self.rest(local + self.both(torch.cat([whole, self.hand(hand_points)], 1))[:, None])[..., 0]


class GraspTTA(Network):
    """The whole of GraspTTA.

    Args:
        refresh: the target map is predicted anew every so many steps.
        without_fit: see `Network`: test-time adaptation; a step size is the learning rate (`ablate.py --rows
            adaptation`).
        before_fit: see `Network`.
        temperature: of z.
        adapt: what is moved, each candidate's "decoder" (the text) or its "parameters" (the published script).
    """

    #: by how often hands are of the type that is asked for, against depth (docs/results/tried-and-not-kept.md)
    guidance = 1.5

    def __init__(self, refresh: int = 10, *, without_fit: AdaptationConfig = WITHOUT_FIT,
                 before_fit: AdaptationConfig = BEFORE_FIT, temperature: float = 1.0,
                 adapt: Literal["decoder", "parameters"] = "decoder") -> None:
        super().__init__()
        self.without_fit, self.before_fit, self.refresh = without_fit, before_fit, refresh
        self.temperature, self.adapt = temperature, adapt
        self.cvae, self.contact = GraspCVAE(), ContactNet()

    # Training.

    def cvae_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, weights: CvaeLoss) -> Terms:
        """L_grasp of Eq. 2."""
        truth, points, normals = batch["params"], batch["cloud"][..., :3] * LOCAL_RADIUS, batch["cloud"][..., 3:]
        with torch.no_grad():
            right = self.code.skin(hand, truth)
        c = self.cvae.condition(batch["cloud"], drop_conditions(batch["grasp_type"], rng),
                                drop_conditions(batch["intent"], rng))
        mu, log_variance = self.cvae.posterior(right.points / LOCAL_RADIUS, c)
        z = mu + (0.5 * log_variance).exp() * torch.randn(mu.shape, generator=rng).to(mu)
        params = self.cvae.decoder(torch.cat([z, c], 1))
        skin = self.code.skin(hand, params, batch["betas"])
        error, distance = (params - truth).square(), prior_distance(points, skin)
        terms = {
            "vertices": CM2 * (skin.points - right.points).square().sum(-1).mean(),
            "pose": error[:, BETAS.stop:].mean(), "shape": error[:, BETAS].mean(),
            "divergence": 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).sum(1).mean(),
            "penetration": CM2 * penetration(points, normals, skin).mean(),
            "hand_centric": CM2 * hand_centric(distance).mean(),
            "object_centric": object_centric(distance, prior_map(points, right)).mean(),
        }
        if weights.surface:
            terms["surface"] = 100 * surface_distance(points, normals, skin.points, right.points).mean()
        if weights.unseen:
            z = torch.randn(mu.shape, generator=rng).to(mu)
            skin = self.code.skin(hand, self.cvae.decoder(torch.cat([z, c], 1)), batch["betas"])
            off = surface_distance(points, normals, skin.points, right.points, sides=False)
            terms["unseen"] = (weights.penetration * CM2 * penetration(points, normals, skin)
                               + weights.hand_centric * CM2 * hand_centric(prior_distance(points, skin))
                               + weights.surface * 100 * off).mean()
        terms["loss"] = torch.as_tensor(sum(getattr(weights, name) * value for name, value in terms.items()))
        return terms

    def contact_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, spread: float = 0.2) -> Terms:
        """L_cont of Sec. 2.2: Omega^c against the true map, for true hands and for hands somewhat off.

        Args:
            hand: points of the embedded right hand.
            batch: `cloud` and `params`.
            rng: of how far off hands are.
            spread: the most, in units of the hand parameters.
        """
        points = batch["cloud"][..., :3] * LOCAL_RADIUS
        off = spread * torch.rand(len(points), 1, generator=rng) * torch.randn(len(points), SIZE, generator=rng)
        with torch.no_grad():
            omega = prior_map(points, self.code.skin(hand, batch["params"]))
            hand_points = self.code.skin(hand, batch["params"] + off.to(points)).points / LOCAL_RADIUS
        found = self.contact(self.contact.object_features(batch["cloud"]), hand_points)
        return {"loss": (found - omega).square().mean()}

    # Sampling.

    def propose(self, conditioning: Conditioning, rng: torch.Generator, progress: Progress) -> Prediction:
        """Sec. 2.3: z from a Gaussian, the decoder, and adaptation.

        Guidance moves the condition: away from that without a type, in what the decoder is given.
        """
        given, guidance = conditioning, conditioning.guidance
        c = self.cvae.condition(given.cloud.scaled, given.grasp_type, given.intent)
        if guidance != 1:
            c = c + (guidance - 1) * (self.cvae.wishes(given.grasp_type, given.intent)
                                      - self.cvae.wishes(0 * given.grasp_type, given.intent))
        z = self.temperature * torch.randn(len(given), self.cvae.latent, generator=rng).to(c)
        latent = torch.cat([z, c], 1)
        params = self.cvae.decoder(latent)
        if given.adaptation.steps:
            params = in_chunks(params, lambda rows, part: self.adapted(latent[rows], given[rows], part), progress)
        return Prediction(params)

    def adapted(self, latent: torch.Tensor, conditioning: Conditioning, progress: Progress) -> torch.Tensor:
        """Parameters (N, 61) after minimising L_TTA (Eq. 3), each candidate for itself.

        Args:
            latent: (N, latent + object_width) what the decoder is given.
            conditioning: of the N candidates.
            progress: told how far it is after each step.
        """
        hand, betas, adaptation = conditioning.hand, conditioning.betas, conditioning.adaptation
        with torch.no_grad():
            first = self.code.skin(hand, self.cvae.decoder(latent), betas)
        cloud = conditioning.cloud
        cloud = cloud.offset(adaptation.clearance.further(cloud, overlap_area(cloud, first)))
        features = self.contact.object_features(cloud.scaled)
        layers = [layer for layer in self.cvae.decoder if isinstance(layer, nn.Linear)]
        if self.adapt == "decoder":
            moved = [value.detach().repeat(len(latent), 1, 1).requires_grad_()
                     for layer in layers for value in (layer.weight.T, layer.bias)]
        else:
            moved = [self.cvae.decoder(latent).detach().requires_grad_()]

        def decoded() -> torch.Tensor:
            if self.adapt != "decoder":
                return moved[0]
            x = latent[:, None]
            for number, (weight, bias) in enumerate(zip(moved[::2], moved[1::2], strict=True)):
                x = torch.baddbmm(bias, x, weight)
                x = x if number == len(layers) - 1 else x.relu()
            return x[:, 0]

        term = StiffnessTerm(self.code, hand, betas, cloud)
        rate = adaptation.step_size * (1 if self.adapt == "decoder" else PARAMETERS_STEP)
        optimiser = torch.optim.Adam(moved, lr=rate, fused=True)
        with torch.enable_grad():
            for step in range(adaptation.steps):
                params = decoded()
                skin = self.code.skin(hand, params, betas)
                if step % self.refresh == 0:
                    with torch.no_grad():
                        omega = self.contact(features, skin.points / LOCAL_RADIUS)
                optimiser.zero_grad()
                adaptation.loss(term, params, skin, omega).sum().backward()
                optimiser.step()
                progress((step + 1) / adaptation.steps)
        with torch.no_grad():
            return decoded()


def training_config(scale: float = 1.0, loss: CvaeLoss | None = None, *, object_frame: bool = False,
                    **options: Any) -> TrainingConfig:
    """GraspTTA: GraspCVAE and ContactNet, each by itself (Sec. 2.1, 2.2).

    Args:
        scale: of the steps.
        loss: of GraspCVAE (Eq. 2).
        object_frame: the papers' frame.
        options: of the network.
    """
    network = GraspTTA(**options)
    weights = loss or CvaeLoss()
    proposals = replace(weights, unseen=1.0)
    return TrainingConfig(network, (
        Stage("cvae", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, weights),
              OptimizerConfig(scaled(6400, scale)), points=COARSE),
        Stage("contact", ("contact",), lambda hand, batch, rng: network.contact_loss(hand, batch, rng),
              OptimizerConfig(scaled(1600, scale)), points=COARSE),
        Stage("finer", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, weights),
              OptimizerConfig(scaled(5000, scale), learning_rate=8e-4, seed=1), 32),
        Stage("finest", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, weights),
              OptimizerConfig(scaled(6000, scale), learning_rate=8e-4, seed=2), 32),
        Stage("last", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, proposals),
              OptimizerConfig(scaled(3000, scale), learning_rate=7e-4, seed=3), 32),
        Stage("further", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, proposals),
              OptimizerConfig(scaled(5000, scale), learning_rate=7e-4, seed=4), 32),
    ), object_frame)
