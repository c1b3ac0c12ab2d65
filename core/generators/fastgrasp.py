"""FastGrasp: latent diffusion over hands, adapted to the object's surface in one pass.

Symbols and equation numbers are the paper's: h_v hand vertices, h_p hand parameters, E and D the auto-encoder, z its
latent, o_m the object's points, P a PointNet, e the denoiser, f_adapt the adaptation module. Hands and objects are in
the heading frame. Differences from the published code, each an argument here: clouds of the window with normals where
it takes whole objects; latents of `latent` numbers and a U-Net of linear layers over them where it reads 768 numbers as
256 points; the denoiser is told the step t that it is at, where the published sampler counts it up from 1; the
auto-encoder has straight paths beside its bent ones and learns hands that nobody made too; f_adapt is told where the
object's surface is as seen from the hand of z1 (`feels`); what it gives settles down a few steps of gradient, clear of
the surface (`shown`) or, where a fit follows, to a grip (`laid`). Betas are predicted, but no loss sees a skin made of
them: the hand that is shown has the animator's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.generators.adaptation import AdaptationConfig, Clearance, StiffnessTerm, TouchLoss, in_chunks, in_the_way
from core.generators.conditioning import ConditionEmbedding, dropped
from core.generators.contact_losses import (
    CM2,
    hand_centric,
    nearest_plane,
    nearest_skin,
    object_centric,
    penetration,
    prior_distance,
    prior_map,
    surface_distance,
)
from core.generators.diffusion import NoiseSchedule, TimeEmbedding
from core.generators.hand_parameters import POSE, SIZE
from core.generators.learned import Network
from core.generators.pointnet import PointNet, Shortcut, perceptron
from core.grasps.heading_frame import LOCAL_RADIUS
from core.hand.skin import COUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.local_cloud import LocalPointCloud
    from core.hand.skin import SkinSample

#: points of the window that the settling latent is judged on
SEEN: Final = 512
#: what lies well keeps clear by little, or it lets go; what has surface in its way by more, and goes further (the card)
WITHOUT_FIT: Final = AdaptationConfig(5, 0.35, clearance=Clearance(0.0023, 0.0015, 0.007), longer=1.0)
#: a fit mends depth, but brings no grip about that is far off
BEFORE_FIT: Final = AdaptationConfig(3, 0.6, TouchLoss(grip=3.0))
#: share of the work that is not settling
DIFFUSING: Final = 0.6


@dataclass(frozen=True)
class HandLoss:
    """Eq. 1 and 7: the weights lambda_1 to lambda_5, of means over squared centimetres; and one term of our own.

    The paper's numbers (0.1, 1, 1000, 10, 10; adaptation 100, 0.1, 1000, 20, 0.1) belong to its sums and metres.

    Attributes:
        param: lambda_1, of the codes (Eq. 2). mesh: lambda_2, Chamfer distance of the skins (Eq. 3). contact: lambda_3
            (Eq. 5). penetration: lambda_4 (Eq. 6). consistency: lambda_5, of the contact maps (Eq. 4).
        surface: weight of `surface_distance`, per centimetre; 0 is the paper. deeper: of depth in it.
        vertices: weight of the squared distance between the same vertices of both hands; 0 is the paper.
    """

    param: float = 5.0
    mesh: float = 0.3
    contact: float = 0.2
    penetration: float = 0.5
    consistency: float = 1.0
    surface: float = 1.0
    deeper: float = 4.0
    vertices: float = 0.3

    @property
    def judges_object(self) -> bool:
        """Whether it matters where the object is."""
        return bool(self.mesh or self.contact or self.penetration or self.consistency or self.surface)

    @property
    def judges_skin(self) -> bool:
        """Whether it matters where the skin is."""
        return self.judges_object or bool(self.vertices)

    def __call__(self, hand: SkinSample, network: Network, code: torch.Tensor, batch: dict[str, torch.Tensor],
                 ) -> dict[str, torch.Tensor]:
        """Eq. 7 of predicted codes (N, 61) against `batch["code"]`, on its `window`, of hands with its `betas`.

        A loss that sees the betas predicted makes hands thin instead of taking them out of the object.
        """
        truth, cloud = batch["code"], batch["window"][..., :3] * LOCAL_RADIUS
        terms = {"param": (code - truth).square().mean()}
        if self.judges_skin:
            mine = network.code.skin(hand, code, batch["betas"])
            with torch.no_grad():
                right = network.code.skin(hand, truth)
        if self.vertices:
            terms["vertices"] = CM2 * (mine.points - right.points).square().sum(-1).mean()
        if self.mesh:
            there, _ = nearest_skin(mine.points, right.points)
            back, _ = nearest_skin(right.points, mine.points)
            terms["mesh"] = CM2 * (there.square().mean() + back.square().mean())
        if self.contact or self.consistency:
            apart = prior_distance(cloud, mine)
        if self.contact:
            terms["contact"] = CM2 * hand_centric(apart).mean()
        if self.penetration:
            terms["penetration"] = CM2 * penetration(cloud, batch["window"][..., 3:], mine).mean()
        if self.consistency:
            terms["consistency"] = object_centric(apart, prior_map(cloud, right)).mean()
        if self.surface:
            terms["surface"] = 100 * surface_distance(cloud, batch["window"][..., 3:], mine.points, right.points,
                                                      self.deeper).mean()
        terms["loss"] = sum(getattr(self, name) * value for name, value in terms.items())
        return terms


class Autoencoder(nn.Module):
    """E and D of Sec. 3.2: hand vertices to a latent, the latent to 61 parameters.

    Args:
        vertices: whether E reads the hand's vertices; if not, its parameters (Table 4).
    """

    def __init__(self, latent: int, *, vertices: bool = True) -> None:
        super().__init__()
        self.vertices = vertices
        # A vertex is seen with its place at rest, or the maximum over vertices could not tell fingers apart.
        self.points = PointNet(6, (48, 96, 256), mean=True) if vertices else None
        self.encoder = Shortcut(self.points.width if self.points else SIZE, 512, 256, latent)
        self.decoder = Shortcut(latent, 512, 512, 256, SIZE)

    def encode(self, hand: SkinSample, network: Network, code: torch.Tensor) -> torch.Tensor:
        """(N, latent) of codes (N, 61)."""
        if self.points is None:
            return self.encoder(code)
        with torch.no_grad():
            skin = network.code.skin(hand, code).points
            seen = torch.cat([skin, hand.template.expand_as(skin)], -1) / LOCAL_RADIUS
        return self.encoder(self.points(seen))


class Block(nn.Module):
    """A residual block of two linear layers, shifted and scaled by the step and the condition."""

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
    """The conditional denoising U-Net e(z_t, P(o_m), t) of Eq. 8, over the latent vector."""

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
        """The noise (N, latent) in z at steps t (N,), given (N, condition)."""
        condition = nn.functional.silu(condition + self.time(t))
        x, skips = self.into(z), []
        for block, thinner in self.down:
            x = block(x, condition)
            skips.append(x)
            x = thinner(x)
        x = self.middle(x, condition)
        for wider, join, block in self.up:
            x = block(join(torch.cat([wider(x), skips.pop()], 1)), condition)
        return self.out(x)


class FastGrasp(Network):
    """The whole of FastGrasp.

    Args:
        latent: numbers of z. condition: width of P(o_m). steps: DDIM steps at inference (Sec. 3.4).
        vertices: E reads hand vertices, not parameters. temperature: of the noise sampling starts from.
        feels: f_adapt is given the distance and the normal of the surface nearest to each point of the skin of D(z1),
            beside z1 and P(o_m): what it has to mend, which one vector for all of the object tells too roughly. If
            not, the paper's Eq. 9.
        passes: of f_adapt, each on what the one before has mended; the paper has one; 0 leaves hands as the diffusion
            gives them (Table 1).
        judge_until: hands are made, and judged by Eq. 7, of one-call estimates from steps 1 to this of 1000: from later
            ones an estimate is an average of hands, which inference never hands over.
        shown, laid: see `Network`: how the latent settles after f_adapt, so that the hand keeps what it touches, comes
            out of the object and would grip it. The first step is the longest, the others are shorter and
            shorter; Adam's, which move all of the latent, leave hands deeper and no firmer.
    """

    #: Of grasps asked to be of a type 51 and 59 % were with 1 (held-out shapes, families), 61 and 75 % with 2, 78 and
    #: 85 % with 4, 1.4 mm deeper than with 1.
    guidance = 4.0
    latent_mean: torch.Tensor
    latent_scale: torch.Tensor

    def __init__(self, latent: int = 64, condition: int = 256, steps: int = 10, *, vertices: bool = True,
                 temperature: float = 0.5, feels: bool = True, passes: int = 2, judge_until: int = 400,
                 shown: AdaptationConfig = WITHOUT_FIT, laid: AdaptationConfig = BEFORE_FIT) -> None:
        super().__init__()
        self.shown, self.laid = shown, laid
        self.steps, self.temperature, self.judge_until = steps, temperature, judge_until
        self.feels, self.passes = feels, passes
        self.autoencoder = Autoencoder(latent, vertices=vertices)
        self.object = PointNet(6, (48, 96, 256))  # P of Eq. 8
        self.into = nn.Linear(256, condition)
        self.wishes = ConditionEmbedding(condition)
        self.shape = nn.Linear(10, condition)
        self.denoiser = Denoiser(latent, condition)
        self.adapt_object = PointNet(6, (48, 96, 256))
        seen = latent + 256 + 4 * COUNT * feels
        self.adapt = perceptron(seen, 384, 384, 256, latent)  # f_adapt of Eq. 9
        self.schedule = NoiseSchedule()
        self.register_buffer("latent_mean", torch.zeros(latent))
        self.register_buffer("latent_scale", torch.ones(latent))

    def condition(self, window: torch.Tensor, kind: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor,
                  ) -> torch.Tensor:
        """(N, condition) what the denoiser is told of the object, the wishes and the hand."""
        return self.into(self.object(window)) + self.wishes(kind, intent) + self.shape(betas)

    def decoded(self, z: torch.Tensor) -> torch.Tensor:
        """D: codes (N, 61) of standardised latents (N, latent)."""
        return self.autoencoder.decoder(z * self.latent_scale + self.latent_mean)

    def adapted(self, z1: torch.Tensor, window: torch.Tensor, betas: torch.Tensor, hand: SkinSample) -> torch.Tensor:
        """Eq. 9: z1 + z2 (N, latent), z2 = f_adapt(z1, o_m)."""
        o_m = self.adapt_object(window)
        for _ in range(self.passes):
            z1 = self.mended(z1, o_m, window, betas, hand)
        return z1

    def mended(self, z: torch.Tensor, o_m: torch.Tensor, window: torch.Tensor, betas: torch.Tensor,
               hand: SkinSample) -> torch.Tensor:
        """z1 + f_adapt(z1, o_m), of P(o_m) (N, 256)."""
        known = [z, o_m, self.felt(z, window, betas, hand)] if self.feels else [z, o_m]
        return z + self.adapt(torch.cat(known, 1))

    def felt(self, z: torch.Tensor, window: torch.Tensor, betas: torch.Tensor, hand: SkinSample) -> torch.Tensor:
        """(N, 4 V) of the skin of D(z), a hand of betas (N, 10): signed cm to the surface, and the normals there."""
        cloud, facing = window[..., :3] * LOCAL_RADIUS, window[..., 3:]
        with torch.no_grad():
            skin = self.code.skin(hand, self.decoded(z), betas).points
            distance, normal = nearest_plane(cloud, facing, skin)
        return torch.cat([100 * distance, normal.flatten(1)], 1)

    def autoencoder_loss(self, hand: SkinSample, batch: dict[str, torch.Tensor], rng: torch.Generator,
                         weights: HandLoss) -> dict[str, torch.Tensor]:
        """Eq. 7. A little noise on the latent keeps near latents near hands.

        Without the physical terms the object does not matter, and hands that nobody made are as good as true ones.
        """
        if not weights.judges_object:
            batch = batch | {"code": imagined(batch["code"], rng)}
        z = self.autoencoder.encode(hand, self, batch["code"])
        noise = 0.05 * torch.randn(z.shape, generator=rng).to(z)
        terms = weights(hand, self, self.autoencoder.decoder(z + noise), batch)
        return terms | {"loss": terms["loss"] + 1e-3 * z.square().mean()}

    @torch.no_grad()
    def standardise(self, z: torch.Tensor) -> None:
        """Takes mean and scale of the latents (N, latent) that are to be diffused."""
        self.latent_mean.copy_(z.mean(0))
        self.latent_scale.copy_(z.std(0).clamp_min(1e-3))

    @torch.no_grad()
    def latents(self, hand: SkinSample, code: torch.Tensor) -> torch.Tensor:
        """(N, latent) standardised, of true codes (N, 61)."""
        return (self.autoencoder.encode(hand, self, code) - self.latent_mean) / self.latent_scale

    def noised(self, hand: SkinSample, batch: dict[str, torch.Tensor], rng: torch.Generator, until: int,
               ) -> tuple[torch.Tensor, ...]:
        """z_t, t, the noise in it, and the condition with wishes dropped at random."""
        z0 = self.latents(hand, batch["code"])
        t = torch.randint(1, until + 1, (len(z0),), generator=rng).to(z0.device)
        noise = torch.randn(z0.shape, generator=rng).to(z0)
        c = self.condition(batch["window"], dropped(batch["kind"], rng), dropped(batch["intent"], rng), batch["betas"])
        return self.schedule.noised(z0, t, noise), t, noise, c

    def diffusion_loss(self, hand: SkinSample, batch: dict[str, torch.Tensor], rng: torch.Generator,
                       weights: HandLoss | None = None) -> dict[str, torch.Tensor]:
        """Eq. 8; with `weights`, Eq. 7 on the one-call estimates too ("diffusion with physical loss" of Table 1)."""
        z_t, t, noise, c = self.noised(hand, batch, rng, self.schedule.steps)
        found = self.denoiser(z_t, t, c)
        plain = (found - noise).square().mean()
        judged = t <= self.judge_until
        if weights is None or not judged.any():
            return {"noise": plain, "loss": plain}
        z0 = self.schedule.estimate(z_t, t, found)[judged].clamp(-4, 4)
        terms = weights(hand, self, self.decoded(z0), {name: value[judged] for name, value in batch.items()})
        return terms | {"noise": plain, "loss": plain + 0.1 * terms["loss"]}

    def adaptation_loss(self, hand: SkinSample, batch: dict[str, torch.Tensor], rng: torch.Generator,
                        weights: HandLoss) -> dict[str, torch.Tensor]:
        """Eq. 7 on Eq. 9-11, the prior frozen: z1 is the denoiser's one-call estimate of a true grasp's latent.

        Each pass is judged by itself, on what the one before has left; the mean of all is what is learned from.
        """
        with torch.no_grad():
            z_t, t, _, c = self.noised(hand, batch, rng, self.judge_until)
            z = self.schedule.estimate(z_t, t, self.denoiser(z_t, t, c))
        o_m, sums = self.adapt_object(batch["window"]), {}
        for _ in range(self.passes):
            z = self.mended(z.detach(), o_m, batch["window"], batch["betas"], hand)
            for name, value in weights(hand, self, self.decoded(z), batch).items():
                sums[name] = sums.get(name, 0) + value / self.passes
        return sums

    def propose(self, seen: LocalPointCloud, kind: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor,
                hand: SkinSample, finish: AdaptationConfig, rng: torch.Generator, go_on: Callable[[float], bool],
                guidance: float = 1.0) -> torch.Tensor:
        """Sec. 3.4: N steps of DDIM from noise, the adaptation module, the decoder (Eq. 10); before that, settling."""
        c = self.condition(seen.window, kind, intent, betas)
        shape = (len(betas), len(self.latent_mean))

        def noise(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            found = self.denoiser(z, t, c)
            return found if guidance == 1 else found + (guidance - 1) * (found - self.denoiser(z, t, plain))

        plain = None if guidance == 1 else self.condition(seen.window, 0 * kind, intent, betas)
        z1 = self.schedule.sample(noise, shape, rng, self.steps, temperature=self.temperature,
                                  go_on=lambda share: go_on(DIFFUSING * share))
        z = self.adapted(z1, seen.window, betas, hand)
        if finish.steps:
            few = seen.few(SEEN)
            z = in_chunks(z, lambda rows, goes_on: self.settled(z[rows], few[rows], betas[rows], hand, finish, goes_on),
                          lambda share: go_on(DIFFUSING + (1 - DIFFUSING) * share))
        return self.decoded(z)

    def settled(self, z: torch.Tensor, seen: LocalPointCloud, betas: torch.Tensor,
                hand: SkinSample, finish: AdaptationConfig, go_on: Callable[[float], bool]) -> torch.Tensor:
        """Latents (N, latent) after settling; the contact map is to stay as it is."""
        gripping = None
        for step in range(finish.steps):
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                code = self.decoded(z)
                skin = self.code.skin(hand, code, betas)
                if gripping is None:
                    way = in_the_way(seen, skin)
                    strides = finish.strides(way)[:, None]
                    gripping = StiffnessTerm(self.code, hand, betas, seen.grown(finish.clearance.further(seen, way)))
                    omega = prior_map(gripping.cloud, skin, gripping.nearest(skin)).detach()
                (slope,) = torch.autograd.grad(finish.touch(gripping, code, skin, omega).sum(), z)
            z = z - strides * (1 - step / finish.steps) * nn.functional.normalize(slope)
            if not go_on((step + 1) / finish.steps):
                break
        return z.detach()


def imagined(code: torch.Tensor, rng: torch.Generator, off: float = 0.3) -> torch.Tensor:
    """Codes (N, 61) of hands that nobody made: half with another's fingers, all with noise of up to `off`."""
    other = torch.randperm(len(code), generator=rng).to(code.device)
    swap = (torch.rand(len(code), 1, generator=rng) < 0.5).to(code.device)
    mixed = code.clone()
    mixed[:, POSE] = torch.where(swap, code[other][:, POSE], code[:, POSE])
    much = off * torch.rand(len(code), 1, generator=rng)
    return mixed + (much * torch.randn(code.shape, generator=rng)).to(code)
