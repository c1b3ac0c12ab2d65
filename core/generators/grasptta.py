"""GraspTTA: a conditional variational auto-encoder proposes, a contact network criticises, the decoder adapts.

Symbols and numbers are the paper's (Sec. 2.1-2.3): Omega contact maps, L_R, L_KLD, L_penetr, L_O, L_H, L_TTA. Hands and
objects are in the heading frame. Differences from the published code: contact regions come from the hand model; a
candidate's decoder is its own copy, so that a candidate does not depend on how many were asked for; the published
script moves the 61 parameters instead (`adapt="parameters"`); it ties ContactNet to the order of its points, the text
does not, and neither does this; adaptation has the grip in its loss, and keeps hands that no fit follows clear of the
surface (`shown`, `laid`; Eq. 3 alone is `PRINTED`). Betas are predicted, but what is judged is the hand that was given:
a loss that sees predicted ones makes hands thin instead of taking them out of the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import torch
from torch import nn

from core.generators.adaptation import AdaptationConfig, Clearance, StiffnessTerm, TouchLoss, in_chunks, in_the_way
from core.generators.conditioning import ConditionEmbedding, dropped
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
from core.grasps.heading_frame import LOCAL_RADIUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.local_cloud import LocalPointCloud
    from core.hand.skin import SkinSample

#: as much for what is in a hand's way as FastGrasp has lets hands go here (the card)
WITHOUT_FIT: Final = AdaptationConfig(30, 8e-5, clearance=Clearance(0.0024, 0.0004, 0.004, large=110.0))
#: a fit mends depth, but brings no grip about that is far off
BEFORE_FIT: Final = AdaptationConfig(10, 2e-4)
#: Eq. 3 as the paper has it
PRINTED: Final = AdaptationConfig(10, 2e-4, TouchLoss(grip=0.0))


@dataclass(frozen=True)
class CvaeLoss:
    """Eq. 1 and 2, the weights of means over squared centimetres; and one term of our own.

    Attributes:
        vertices, pose, shape: lambda_V, lambda_theta, lambda_beta of L_R. divergence: lambda_KLD.
        penetration: lambda_p. hand_centric: lambda_H. object_centric: lambda_O.
        surface: weight of `surface_distance`, per centimetre; 0 is the paper.
        unseen: weight of the terms that need no true hand in the same place, of hands from z of the prior, as proposals
            are; 0 is the paper, which judges reconstructions alone.
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
        latent: numbers of z. object_width, hand_width: of the PointNets' features.
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

    def condition(self, window: torch.Tensor, kind: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N, object_width) what is known of the object and the wishes."""
        return self.object(window) + self.wishes(kind, intent)

    def posterior(self, skin: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """mu and log sigma^2 (N, latent) of Q(z | hand, object), of skin (N, V, 3) over `WINDOW`."""
        both = nn.functional.relu(self.encoder(torch.cat([self.hand(skin), condition], 1)))
        return self.mean(both), self.log_variance(both).clamp(-12, 6)


class ContactNet(nn.Module):
    """Sec. 2.2: the contact map of an object's points, from their local features and global ones of hand and object."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.object, self.hand = PointNet(6, (64, 96, width)), PointNet(3, (48, 96, width))
        # One linear layer over [local, object, hand] without repeating the last two for every point.
        self.local, self.both = nn.Linear(64, 256), nn.Linear(2 * width, 256)
        self.rest = nn.Sequential(nn.LayerNorm(256), nn.ReLU(), nn.Linear(256, 128), nn.LayerNorm(128), nn.ReLU(),
                                  nn.Linear(128, 1), nn.Sigmoid())

    def of_object(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local (N, P, 256) and global (N, width) features, the same whatever the hand does."""
        local = self.object.per_point(window)
        return self.local(local), self.object.pooled(local)

    def forward(self, known: tuple[torch.Tensor, torch.Tensor], skin: torch.Tensor) -> torch.Tensor:
        """(N, P) Omega^c, of `of_object` and skin (N, V, 3) over `WINDOW`."""
        local, whole = known
        return self.rest(local + self.both(torch.cat([whole, self.hand(skin)], 1))[:, None])[..., 0]


class GraspTTA(Network):
    """The whole of GraspTTA.

    Args:
        shown, laid: see `Network`: test-time adaptation; a stride is the learning rate (`ablate.py --rows adaptation`).
        refresh: the target map is predicted anew every so many steps.
        adapt: what is moved, each candidate's "decoder" (the text) or its "parameters" (the published script).
        temperature: of z.
    """

    #: Of grasps asked to be of a type 58 and 61 % were (held-out shapes, families; no adaptation); with 1.5, 77 and
    #: 85 %, 0.3 mm deeper.
    guidance = 1.5

    def __init__(self, refresh: int = 10, *, shown: AdaptationConfig = WITHOUT_FIT, laid: AdaptationConfig = BEFORE_FIT,
                 temperature: float = 1.0,
                 adapt: Literal["decoder", "parameters"] = "decoder") -> None:
        super().__init__()
        self.shown, self.laid, self.refresh = shown, laid, refresh
        self.temperature, self.adapt = temperature, adapt
        self.cvae, self.contact = GraspCVAE(), ContactNet()

    def cvae_loss(self, hand: SkinSample, batch: dict[str, torch.Tensor], rng: torch.Generator,
                  weights: CvaeLoss) -> dict[str, torch.Tensor]:
        """L_grasp of Eq. 2."""
        truth, cloud, normals = batch["code"], batch["window"][..., :3] * LOCAL_RADIUS, batch["window"][..., 3:]
        with torch.no_grad():
            right = self.code.skin(hand, truth)
        c = self.cvae.condition(batch["window"], dropped(batch["kind"], rng), dropped(batch["intent"], rng))
        mu, log_variance = self.cvae.posterior(right.points / LOCAL_RADIUS, c)
        z = mu + (0.5 * log_variance).exp() * torch.randn(mu.shape, generator=rng).to(mu)
        code = self.cvae.decoder(torch.cat([z, c], 1))
        skin = self.code.skin(hand, code, batch["betas"])
        error, apart = (code - truth).square(), prior_distance(cloud, skin)
        terms = {
            "vertices": CM2 * (skin.points - right.points).square().sum(-1).mean(),
            "pose": error[:, BETAS.stop:].mean(), "shape": error[:, BETAS].mean(),
            "divergence": 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).sum(1).mean(),
            "penetration": CM2 * penetration(cloud, normals, skin).mean(),
            "hand_centric": CM2 * hand_centric(apart).mean(),
            "object_centric": object_centric(apart, prior_map(cloud, right)).mean(),
        }
        if weights.surface:
            terms["surface"] = 100 * surface_distance(cloud, normals, skin.points, right.points).mean()
        if weights.unseen:
            z = torch.randn(mu.shape, generator=rng).to(mu)
            skin = self.code.skin(hand, self.cvae.decoder(torch.cat([z, c], 1)), batch["betas"])
            off = surface_distance(cloud, normals, skin.points, right.points, sides=False)
            terms["unseen"] = (weights.penetration * CM2 * penetration(cloud, normals, skin)
                               + weights.hand_centric * CM2 * hand_centric(prior_distance(cloud, skin))
                               + weights.surface * 100 * off).mean()
        terms["loss"] = sum(getattr(weights, name) * value for name, value in terms.items())
        return terms

    def contact_loss(self, hand: SkinSample, batch: dict[str, torch.Tensor], rng: torch.Generator,
                     spread: float = 0.2) -> dict[str, torch.Tensor]:
        """L_cont of Sec. 2.2: Omega^c against the true map, for true hands and for hands somewhat off."""
        cloud = batch["window"][..., :3] * LOCAL_RADIUS
        off = spread * torch.rand(len(cloud), 1, generator=rng) * torch.randn(len(cloud), SIZE, generator=rng)
        with torch.no_grad():
            omega = prior_map(cloud, self.code.skin(hand, batch["code"]))
            seen = self.code.skin(hand, batch["code"] + off.to(cloud)).points / LOCAL_RADIUS
        found = self.contact(self.contact.of_object(batch["window"]), seen)
        return {"loss": (found - omega).square().mean()}

    def propose(self, seen: LocalPointCloud, kind: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor,
                hand: SkinSample, finish: AdaptationConfig, rng: torch.Generator, go_on: Callable[[float], bool],
                guidance: float = 1.0) -> torch.Tensor:
        """Sec. 2.3: z from a Gaussian, the decoder, and adaptation.

        Guidance moves the condition: away from that without a type, in what the decoder is given.
        """
        c = self.cvae.condition(seen.window, kind, intent)
        if guidance != 1:
            c = c + (guidance - 1) * (self.cvae.wishes(kind, intent) - self.cvae.wishes(0 * kind, intent))
        z = self.temperature * torch.randn(len(betas), self.cvae.latent, generator=rng).to(c)
        before = torch.cat([z, c], 1)
        code = self.cvae.decoder(before)
        if not finish.steps:
            return code
        return in_chunks(code, lambda rows, goes_on: self.adapted(before[rows], seen[rows], betas[rows], hand, finish,
                                                                  goes_on), go_on)

    def adapted(self, before: torch.Tensor, seen: LocalPointCloud, betas: torch.Tensor,
                hand: SkinSample, finish: AdaptationConfig, go_on: Callable[[float], bool]) -> torch.Tensor:
        """Codes (N, 61) after minimising L_TTA (Eq. 3), each candidate for itself.

        Args:
            before: (N, latent + object_width) what the decoder is given. betas: (N, 10).
        """
        with torch.no_grad():
            first = self.code.skin(hand, self.cvae.decoder(before), betas)
        seen = seen.grown(finish.clearance.further(seen, in_the_way(seen, first)))
        known = self.contact.of_object(seen.window)
        layers = [layer for layer in self.cvae.decoder if isinstance(layer, nn.Linear)]
        if self.adapt == "decoder":
            moved = [value.detach().repeat(len(before), 1, 1).requires_grad_()
                     for layer in layers for value in (layer.weight.T, layer.bias)]
        else:
            moved = [self.cvae.decoder(before).detach().requires_grad_()]

        def decoded() -> torch.Tensor:
            if self.adapt != "decoder":
                return moved[0]
            x = before[:, None]
            for number, (weight, bias) in enumerate(zip(moved[::2], moved[1::2], strict=True)):
                x = torch.baddbmm(bias, x, weight)
                x = x if number == len(layers) - 1 else x.relu()
            return x[:, 0]

        gripping = StiffnessTerm(self.code, hand, betas, seen)
        optimiser = torch.optim.Adam(moved, lr=finish.stride * (1 if self.adapt == "decoder" else 20), fused=True)
        with torch.enable_grad():
            for step in range(finish.steps):
                code = decoded()
                skin = self.code.skin(hand, code, betas)
                if step % self.refresh == 0:
                    with torch.no_grad():
                        omega = self.contact(known, skin.points / LOCAL_RADIUS)
                optimiser.zero_grad()
                finish.touch(gripping, code, skin, omega).sum().backward()
                optimiser.step()
                if not go_on((step + 1) / finish.steps):
                    break
        with torch.no_grad():
            return decoded()
