"""FastGrasp: latent diffusion over hands, adapted to the object's surface in one pass.

Symbols and equation numbers are the paper's: h_v hand vertices, h_p hand parameters, E and D the auto-encoder, z its
latent, o_m the object's points, P a PointNet, e the denoiser, f_adapt the adaptation module. Hands and objects are in
the heading frame. Differences from the published code, each an argument here: local clouds with normals where it takes
whole objects; latents of `latent` numbers and a U-Net of linear layers over them where it reads 768 numbers as 256
points; the denoiser is told the step t that it is at, where the published sampler counts it up from 1; the auto-encoder
has linear maps beside its perceptrons and learns synthetic hands too (`mix_hands`); f_adapt is told where the object's
surface is as seen from the hand of z1 (`sees_surface`); what it gives is adapted further by a few steps of gradient,
clear of the surface (`without_fit`) or, where a fit follows, to a stiff grasp (`before_fit`). Betas are predicted, but
no loss sees a hand made of them: the hand that is shown has the animator's.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from core.generators.adaptation import AdaptationConfig, Clearance, TouchLoss, in_chunks
from core.generators.conditioning import ConditionEmbedding, drop_conditions
from core.generators.contact_losses import surface_seen
from core.generators.diffusion import NoiseSchedule, TimeEmbedding
from core.generators.gradient_steps import ADAPTED_ON, take_gradient_steps
from core.generators.hand_loss import PHYSICAL_DIFFUSION, HandLoss
from core.generators.hand_parameters import SIZE, mix_hands
from core.generators.learned import Network
from core.generators.pointnet import PointNet, Shortcut, perceptron
from core.generators.predicted_field import Prediction
from core.generators.training_config import COARSE, Batch, OptimizerConfig, Stage, Terms, TrainingConfig, scaled
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.skin import COUNT

if TYPE_CHECKING:
    from core.generators.conditioning import Conditioning
    from core.hand.skin import SkinSample
    from core.progress import Progress

#: what lies well keeps clear by little, what has surface inside it by more, and goes further (measured: the card)
WITHOUT_FIT: Final = AdaptationConfig(5, 0.35, clearance=Clearance(0.0023, 0.0015, 0.007), per_cm2=1.0)
#: a fit takes a hand out of the object, but makes no grasp of one that is far off it
BEFORE_FIT: Final = AdaptationConfig(3, 0.6, TouchLoss(stiffness=3.0))
#: the share of the progress at which the diffusion is over and the adaptation by gradient begins
DIFFUSION_SHARE: Final = 0.6


class Autoencoder(nn.Module):
    """E and D of Sec. 3.2: hand vertices to a latent, the latent to 61 parameters.

    Args:
        latent: numbers of z.
        vertices: whether E reads points of the hand's skin; if not, its parameters (Table 4).
    """

    def __init__(self, latent: int, *, vertices: bool = True) -> None:
        super().__init__()
        self.vertices = vertices
        # A point is seen with its place at rest, or the maximum over points could not tell fingers apart.
        self.points = PointNet(6, (48, 96, 256), mean=True) if vertices else None
        self.encoder = Shortcut(self.points.width if self.points else SIZE, 512, 256, latent)
        self.decoder = Shortcut(latent, 512, 512, 256, SIZE)

    def encode(self, hand: SkinSample, network: Network, params: torch.Tensor) -> torch.Tensor:
        """(N, latent) of parameters (N, 61)."""
        if self.points is None:
            return self.encoder(params)
        with torch.no_grad():
            points = network.code.skin(hand, params).points
            seen = torch.cat([points, hand.template.expand_as(points)], -1) / LOCAL_RADIUS
        return self.encoder(self.points(seen))


class Block(nn.Module):
    """A residual block of two linear layers, shifted and scaled by the step and the condition.

    Args:
        width: of its input and output.
        condition: width of the condition.
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm, self.first = nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, width)
        self.film, self.second = nn.Linear(condition, 2 * width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift = self.film(condition).chunk(2, 1)
        inner = nn.functional.silu(self.first(self.norm(x) * (1 + scale) + shift))
        return x + self.second(inner)


class Denoiser(nn.Module):
    """The conditional denoising U-Net e(z_t, P(o_m), t) of Eq. 8, over the latent vector.

    Args:
        latent: numbers of z.
        condition: width of the condition.
        widths: of the levels.
    """

    def __init__(self, latent: int, condition: int, widths: tuple[int, ...] = (384, 192, 96)) -> None:
        super().__init__()
        self.time = TimeEmbedding(condition)
        self.into = nn.Linear(latent, widths[0])
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(
            nn.ModuleList([Block(wide, condition), nn.Linear(wide, thin)]) for wide, thin in pairs)
        self.middle = Block(widths[-1], condition)
        self.up = nn.ModuleList(
            nn.ModuleList([nn.Linear(thin, wide), nn.Linear(2 * wide, wide), Block(wide, condition)])
            for wide, thin in reversed(pairs))
        self.out = nn.Sequential(nn.LayerNorm(widths[0]), nn.Linear(widths[0], latent))

    def forward(self, z: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """The noise in latents.

        Args:
            z: (N, latent) z_t.
            t: (N,) steps.
            condition: (N, condition).

        Returns:
            (N, latent).
        """
        condition = nn.functional.silu(condition + self.time(t))
        x, skips = self.into(z), []
        for level in self.down:
            block, thinner = level.children()
            x = block(x, condition)
            skips.append(x)
            x = thinner(x)
        x = self.middle(x, condition)
        for level in self.up:
            wider, join, block = level.children()
            x = block(join(torch.cat([wider(x), skips.pop()], 1)), condition)
        return self.out(x)


class FastGrasp(Network):
    """The whole of FastGrasp.

    Args:
        latent: numbers of z.
        condition: width of P(o_m).
        steps: DDIM steps at inference (Sec. 3.4).
        vertices: E reads hand vertices, not parameters.
        temperature: of the noise sampling starts from.
        sees_surface: f_adapt is given the distance and the normal of the surface nearest to each point of the hand of
            D(z1), beside z1 and P(o_m): what it has to correct, which one vector for all of the object tells too
            roughly. If not, the paper's Eq. 9.
        passes: of f_adapt, each on what the one before has corrected; the paper has one; 0 leaves hands as the
            diffusion gives them (Table 1).
        judge_until: hands are made, and judged by Eq. 7, of one-call predictions from steps 1 to this of 1000: from
            later ones a prediction is an average of hands, which inference never hands over.
        without_fit: see `Network`: how the latent is adapted after f_adapt, so that the hand keeps what it touches,
            comes out of the object and holds it. The first step is the longest, the others are shorter and shorter.
        before_fit: see `Network`.
    """

    #: by how often hands are of the type that is asked for, against depth (docs/results/tried-and-not-kept.md)
    guidance = 4.0
    latent_mean: torch.Tensor
    latent_scale: torch.Tensor

    def __init__(self, latent: int = 64, condition: int = 256, steps: int = 10, *, vertices: bool = True,
                 temperature: float = 0.5, sees_surface: bool = True, passes: int = 2, judge_until: int = 400,
                 without_fit: AdaptationConfig = WITHOUT_FIT, before_fit: AdaptationConfig = BEFORE_FIT) -> None:
        super().__init__()
        self.without_fit, self.before_fit = without_fit, before_fit
        self.steps, self.temperature, self.judge_until = steps, temperature, judge_until
        self.sees_surface, self.passes = sees_surface, passes
        self.autoencoder = Autoencoder(latent, vertices=vertices)
        self.object = PointNet(6, (48, 96, 256))  # P of Eq. 8
        self.into = nn.Linear(256, condition)
        self.wishes = ConditionEmbedding(condition)
        self.shape = nn.Linear(10, condition)
        self.denoiser = Denoiser(latent, condition)
        self.adapt_object = PointNet(6, (48, 96, 256))
        known = latent + 256 + 4 * COUNT * sees_surface
        self.adapt = perceptron(known, 384, 384, 256, latent)  # f_adapt of Eq. 9
        self.schedule = NoiseSchedule()
        self.register_buffer("latent_mean", torch.zeros(latent))
        self.register_buffer("latent_scale", torch.ones(latent))

    def condition(self, cloud: torch.Tensor, grasp_type: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor,
                  ) -> torch.Tensor:
        """What the denoiser is told of the object, the conditions and the hand.

        Args:
            cloud: (N, P, 6) as `LocalPointCloud.scaled`.
            grasp_type: (N,) indices.
            intent: (N,) indices.
            betas: (N, 10).

        Returns:
            (N, condition).
        """
        return self.into(self.object(cloud)) + self.wishes(grasp_type, intent) + self.shape(betas)

    def decoded(self, z: torch.Tensor) -> torch.Tensor:
        """D: parameters (N, 61) of standardised latents (N, latent)."""
        return self.autoencoder.decoder(z * self.latent_scale + self.latent_mean)

    def adapted(self, z1: torch.Tensor, cloud: torch.Tensor, betas: torch.Tensor, hand: SkinSample) -> torch.Tensor:
        """Eq. 9: z1 + z2 (N, latent), z2 = f_adapt(z1, o_m); clouds (N, P, 6) and betas (N, 10)."""
        o_m = self.adapt_object(cloud)
        for _ in range(self.passes):
            z1 = self.adapted_once(z1, o_m, cloud, betas, hand)
        return z1

    def adapted_once(self, z: torch.Tensor, o_m: torch.Tensor, cloud: torch.Tensor, betas: torch.Tensor,
                     hand: SkinSample) -> torch.Tensor:
        """z1 + f_adapt(z1, o_m), of P(o_m) (N, 256)."""
        known = [z, o_m, self.surface_seen(z, cloud, betas, hand)] if self.sees_surface else [z, o_m]
        return z + self.adapt(torch.cat(known, 1))

    def surface_seen(self, z: torch.Tensor, cloud: torch.Tensor, betas: torch.Tensor,
                     hand: SkinSample) -> torch.Tensor:
        """Where the surface is, as seen from the hand of D(z).

        Args:
            z: (N, latent).
            cloud: (N, P, 6).
            betas: (N, 10) of the hand.
            hand: its V points.

        Returns:
            (N, 4 V) signed centimetres to the surface from each point, and the surface's normals there.
        """
        with torch.no_grad():
            points = self.code.skin(hand, self.decoded(z), betas).points
        return surface_seen(cloud[..., :3] * LOCAL_RADIUS, cloud[..., 3:], points)

    # Training.

    def autoencoder_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, weights: HandLoss) -> Terms:
        """Eq. 7. A little noise on the latent keeps near latents near hands.

        Without the physical terms the object does not matter, and synthetic hands are as good as true ones.
        """
        if not weights.judges_object:
            batch = batch | {"params": mix_hands(batch["params"], rng)}
        z = self.autoencoder.encode(hand, self, batch["params"])
        noise = 0.05 * torch.randn(z.shape, generator=rng).to(z)
        terms = weights(hand, self, self.autoencoder.decoder(z + noise), batch)
        return terms | {"loss": terms["loss"] + 1e-3 * z.square().mean()}

    @torch.no_grad()
    def standardise(self, hand: SkinSample, params: torch.Tensor) -> None:
        """Takes mean and scale of the latents that are to be diffused from parameters (n, 61) of true hands."""
        z = self.autoencoder.encode(hand, self, params)
        self.latent_mean.copy_(z.mean(0))
        self.latent_scale.copy_(z.std(0).clamp_min(1e-3))

    @torch.no_grad()
    def latents(self, hand: SkinSample, params: torch.Tensor) -> torch.Tensor:
        """(N, latent) standardised, of true parameters (N, 61)."""
        return (self.autoencoder.encode(hand, self, params) - self.latent_mean) / self.latent_scale

    def noised_latents(self, hand: SkinSample, batch: Batch, rng: torch.Generator, until: int,
                       ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """z_t, t from 1 to `until`, the noise in it, and the condition with some conditions dropped at random."""
        z0 = self.latents(hand, batch["params"])
        t = torch.randint(1, until + 1, (len(z0),), generator=rng).to(z0.device)
        noise = torch.randn(z0.shape, generator=rng).to(z0)
        c = self.condition(batch["cloud"], drop_conditions(batch["grasp_type"], rng),
                           drop_conditions(batch["intent"], rng), batch["betas"])
        return self.schedule.add_noise(z0, t, noise), t, noise, c

    def diffusion_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator,
                       weights: HandLoss | None = None) -> Terms:
        """Eq. 8; with `weights`, Eq. 7 on one-call predictions too ("diffusion with physical loss" of Table 1)."""
        z_t, t, noise, c = self.noised_latents(hand, batch, rng, self.schedule.steps)
        found = self.denoiser(z_t, t, c)
        plain = (found - noise).square().mean()
        judged = t <= self.judge_until
        if weights is None or not judged.any():
            return {"noise": plain, "loss": plain}
        z0 = self.schedule.predict_x0(z_t, t, found)[judged].clamp(-4, 4)
        terms = weights(hand, self, self.decoded(z0), {name: value[judged] for name, value in batch.items()})
        return terms | {"noise": plain, "loss": plain + 0.1 * terms["loss"]}

    def adaptation_loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, weights: HandLoss) -> Terms:
        """Eq. 7 on Eq. 9-11, the prior frozen: z1 is the denoiser's one-call prediction of a true grasp's latent.

        Each pass is judged by itself, on what the one before has left; the mean of all is what is learned from.
        """
        with torch.no_grad():
            z_t, t, _, c = self.noised_latents(hand, batch, rng, self.judge_until)
            z = self.schedule.predict_x0(z_t, t, self.denoiser(z_t, t, c))
        o_m = self.adapt_object(batch["cloud"])
        sums: Terms = {}
        for _ in range(self.passes):
            z = self.adapted_once(z.detach(), o_m, batch["cloud"], batch["betas"], hand)
            for name, value in weights(hand, self, self.decoded(z), batch).items():
                sums[name] = sums.get(name, 0) + value / self.passes
        return sums

    # Sampling.

    def propose(self, conditioning: Conditioning, rng: torch.Generator, progress: Progress) -> Prediction:
        """Sec. 3.4: N steps of DDIM from noise, f_adapt, adaptation by gradient, the decoder (Eq. 10)."""
        given, guidance = conditioning, conditioning.guidance
        cloud = given.cloud.scaled
        c = self.condition(cloud, given.grasp_type, given.intent, given.betas)
        untyped = None if guidance == 1 else self.condition(cloud, 0 * given.grasp_type, given.intent, given.betas)

        def noise(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            found = self.denoiser(z, t, c)
            if untyped is None:
                return found
            return found + (guidance - 1) * (found - self.denoiser(z, t, untyped))

        z1 = self.schedule.sample(noise, (len(given), len(self.latent_mean)), rng, self.steps,
                                  temperature=self.temperature, progress=progress.sub(0.0, DIFFUSION_SHARE))
        z = self.adapted(z1, cloud, given.betas, given.hand)
        if given.adaptation.steps:
            few = replace(given, cloud=given.cloud.first(ADAPTED_ON))
            z = in_chunks(z, lambda rows, part: self.descended(z[rows], few[rows], part),
                          progress.sub(DIFFUSION_SHARE, 1.0))
        return Prediction(self.decoded(z))

    def descended(self, z: torch.Tensor, conditioning: Conditioning, progress: Progress) -> torch.Tensor:
        """Latents (N, latent) after steps down the adaptation's loss, as `core.generators.gradient_steps` has them."""
        return take_gradient_steps(z, self.decoded, self.code, conditioning, progress)


def training_config(scale: float = 1.0, loss: HandLoss | None = None, *, autoencoder: HandLoss | None = None,
                    diffusion: HandLoss | None = PHYSICAL_DIFFUSION, object_frame: bool = False,
                    **options: Any) -> TrainingConfig:
    """FastGrasp: auto-encoder, diffusion with it frozen, adaptation with both frozen (Sec. 3.2, 3.3).

    Args:
        scale: of the steps.
        loss: Eq. 7 of the adaptation, its weights for that still to be applied, and of what follows where nothing else
            is said.
        autoencoder: Eq. 7 of the auto-encoder (Table 4).
        diffusion: Eq. 7 in the diffusion, too (Table 1, "with physical loss"); None is the paper's, Eq. 8 alone.
        object_frame: the papers' frame.
        options: of the network; without passes of f_adapt that stage falls away.
    """
    network = FastGrasp(**options)
    weights = loss or HandLoss()
    full = autoencoder or weights
    plain = HandLoss(mesh=0, contact=0, penetration=0, consistency=0, surface=0)
    last = replace(weights, param=1.0, penetration=1.0, surface=2.0 * weights.surface, depth=20.0)
    prior, adaptation = ("object", "into", "wishes", "denoiser"), ("adapt_object", "adapt")
    stages: tuple[Stage, ...] = (
        # Eq. 2 alone first, which is cheap; then all of Eq. 7.
        Stage("reconstruction", ("autoencoder",),
              lambda hand, batch, rng: network.autoencoder_loss(hand, batch, rng, plain),
              OptimizerConfig(scaled(8000, scale), learning_rate=2e-3), points=COARSE),
        Stage("autoencoder", ("autoencoder",),
              lambda hand, batch, rng: network.autoencoder_loss(hand, batch, rng, full),
              OptimizerConfig(scaled(2000, scale), learning_rate=5e-4), points=COARSE),
        Stage("diffusion", prior, lambda hand, batch, rng: network.diffusion_loss(hand, batch, rng, diffusion),
              OptimizerConfig(scaled(10000, scale)), before=network.standardise, points=COARSE),
        Stage("adaptation", adaptation, lambda hand, batch, rng: network.adaptation_loss(hand, batch, rng, last),
              OptimizerConfig(scaled(1000, scale)), points=COARSE),
        Stage("finer", prior, lambda hand, batch, rng: network.diffusion_loss(hand, batch, rng, diffusion),
              OptimizerConfig(scaled(5000, scale), learning_rate=5e-4, seed=1), 32),
        Stage("finest", adaptation, lambda hand, batch, rng: network.adaptation_loss(hand, batch, rng, last),
              OptimizerConfig(scaled(1500, scale), learning_rate=7e-4, seed=1), 32),
    )
    if not network.passes:
        stages = tuple(stage for stage in stages if "adapt" not in stage.trained)
    return TrainingConfig(network, stages, object_frame)
