"""JointDiffusion: the distance field and the contact Gaussians of a grasp, denoised together (CHOIR, Sec. 3.2).

Symbols are the paper's: X_BPS the object's distances from the basis points, d_H the hand's (Eq. 2), c_H the contact
Gaussians (Eq. 7), y the context, z_t the noisy latent variable. One model proposes (y is the object) and refines (y is
a noisy hand and the object), with a context encoder for each (App. C.5). The hand is laid into what comes out by the
closed form of `core.fitting.pose_fit`; the Gaussians are for `core.fitting.fit`.

Differences from the text and the published code, each an argument here: the basis points lie in the heading frame; the
ordered assignment repeats over blocks of 2 x 4 x 4 basis points, so a block is one voxel with a channel for each of the
32 anchors (`folded`), where the U-Net of the paper has to find out which voxel belongs to which anchor; the network
predicts the velocity, from which the noise follows; whether an anchor has a Gaussian is a number of its own. Attention
over a context of one vector adds the same to every voxel, so that vector scales and shifts the blocks as the step does.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import nn

from core.fitting.pose_fit import trilaterate
from core.fitting.representation import ANCHORS, BLOCK
from core.generators.conditioning import ConditionEmbedding
from core.generators.contact_losses import surface_distance
from core.generators.diffusion import TimeEmbedding
from core.generators.field_diffusion import FieldDiffusion, ResidualLayer
from core.generators.pointnet import perceptron
from core.generators.predicted_field import PredictedField
from core.generators.training_config import COARSE, Batch, OptimizerConfig, Stage, Terms, TrainingConfig, scaled
from core.grasps.heading_frame import LOCAL_RADIUS
from core.objects.basis_points import basis_lattice

if TYPE_CHECKING:
    from core.hand.skin import SkinSample

#: voxels along x, y, z
Volume: TypeAlias = tuple[int, int, int]
#: numbers of an anchor's Gaussian: whether there is one (1 or -1), and its nine, zeros where there is none. The
#: published code has the nine alone, and none where they are small; denoised, they lie between small and usual.
NUMBERS: Final = 10
GAUSSIANS: Final = ANCHORS * NUMBERS
#: basis points whose distances are made at once: larger tables fall out of the cache
TILE: Final = 512


@dataclass(frozen=True)
class UnitConfig:
    """Units in which what the network sees and predicts is about one. The shipped weights were trained with these.

    Attributes:
        decay: distances d become exp(-decay d), d in metres (published code).
        object_mean: that of the object's distances.
        object_scale: their standard deviation.
        gaussian_mean: metres, of a Gaussian's nine numbers: its mean (3) and its Cholesky factor (6).
        gaussian_scale: metres, their standard deviations.
        offset: metres, of the offsets of the surface from the basis points.
    """

    decay: float = 5.0
    object_mean: float = 0.75
    object_scale: float = 0.15
    gaussian_mean: tuple[float, ...] = (0.0,) * 3 + (0.0025, 0.0, 0.0016, 0.0, 0.0, 0.0013)
    gaussian_scale: tuple[float, ...] = (0.004,) * 3 + (0.0018,) * 6
    offset: float = 0.05


UNITS: Final = UnitConfig()


class Block(nn.Module):
    """A residual block of two convolutions, scaled and shifted by the condition.

    Args:
        before: channels of its input.
        after: channels of its output.
        volume: voxels along x, y, z.
        condition: width, 0 for none.
    """

    def __init__(self, before: int, after: int, volume: Volume, condition: int) -> None:
        super().__init__()
        # Along an axis of one voxel a wider kernel would see nothing but the padding.
        x, y, z = (3 if size > 1 else 1 for size in volume)
        kernel, padding = (x, y, z), (x // 2, y // 2, z // 2)
        self.first = nn.Sequential(nn.GroupNorm(8, before), nn.SiLU(),
                                   nn.Conv3d(before, after, kernel, padding=padding))
        self.norm, second = nn.GroupNorm(8, after), nn.Conv3d(after, after, kernel, padding=padding)
        nn.init.zeros_(second.weight)
        if second.bias is not None:
            nn.init.zeros_(second.bias)
        self.second = second
        self.film = nn.Linear(condition, 2 * after) if condition else None
        self.skip = nn.Conv3d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """(B, after, x, y, z) of (B, before, x, y, z) and (B, condition)."""
        inner = self.norm(self.first(x))
        if self.film is not None:
            scale, shift = self.film(condition)[:, :, None, None, None].chunk(2, 1)
            inner = inner * (1 + scale) + shift
        return self.skip(x) + self.second(nn.functional.silu(inner))


class SelfAttention(nn.Module):
    """Multi-head self-attention over the voxels, and a layer for each of them (MHSA).

    Args:
        width: channels of a voxel.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm, self.attend = nn.LayerNorm(width), nn.MultiheadAttention(width, heads, batch_first=True)
        self.each = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(),
                                  nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, x, y, z) of the same."""
        voxels = x.flatten(2).transpose(1, 2)
        normed = self.norm(voxels)
        voxels = voxels + self.attend(normed, normed, normed, need_weights=False)[0]
        return (voxels + self.each(voxels)).transpose(1, 2).reshape(x.shape)


class Encoder(nn.Module):
    """The way down of the U-Net: a map at each level, the volume halved between them; attention below the first.

    Args:
        channels: of a voxel of fields.
        widths: of the levels.
        volume: voxels along x, y, z.
        condition: width, 0 for none.
        surface: numbers a voxel is told of the surface, 0 for none.

    Attributes:
        volumes: voxels along x, y, z at each level.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], volume: Volume, condition: int = 0,
                 surface: int = 0) -> None:
        super().__init__()
        x, y, z = volume
        self.volumes: list[Volume] = [(x // 2**level, y // 2**level, z // 2**level) for level in range(len(widths))]
        if min(self.volumes[-1]) < 1:
            raise ValueError(f"{len(widths)} levels are too many for a volume of {volume}: give fewer widths")
        self.stem = nn.Conv3d(channels, widths[0], 3, padding=1)
        self.surface = nn.Conv3d(surface, widths[0], 1) if surface else None
        # What a distance means depends on where its basis point is, which a convolution does not know.
        self.place = nn.Parameter(0.02 * torch.randn(widths[0], *volume))
        self.blocks = nn.ModuleList(Block(before, after, size, condition) for (before, after), size in zip(
            itertools.pairwise((widths[0], *widths)), self.volumes, strict=True))
        self.attention = nn.ModuleList(SelfAttention(width) for width in widths[1:])

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None, surface: torch.Tensor | None = None,
                ) -> list[torch.Tensor]:
        """The map of each level, finest first, of fields (B, channels, x, y, z) and (B, surface, x, y, z)."""
        x = self.stem(x) + self.place
        if self.surface is not None:
            x = x + self.surface(surface)
        maps = [self.blocks[0](x, condition)]
        for block, attention in zip(self.blocks[1:], self.attention, strict=True):
            maps.append(attention(block(nn.functional.avg_pool3d(maps[-1], 2), condition)))
        return maps


class ContextEncoder(nn.Module):
    """y as one vector: the U-Net's way down, pooled over space by a shallow fully connected network.

    Args:
        channels: of a voxel of fields.
        widths: of the levels.
        volume: voxels along x, y, z.
        condition: width of y.
        surface: numbers a voxel is told of the surface, 0 for none.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], volume: Volume, condition: int,
                 surface: int = 0) -> None:
        super().__init__()
        self.encoder = Encoder(channels, widths, volume, surface=surface)
        lowest = widths[-1] * self.encoder.volumes[-1][0] * self.encoder.volumes[-1][1] * self.encoder.volumes[-1][2]
        self.pool = perceptron(sum(widths[:-1]) + lowest, 2 * condition, condition)

    def forward(self, fields: torch.Tensor, surface: torch.Tensor | None = None) -> torch.Tensor:
        """(B, condition) of fields (B, channels, x, y, z) and what is told of the surface."""
        *maps, last = self.encoder(fields, surface=surface)
        return self.pool(torch.cat([*(level.mean((2, 3, 4)) for level in maps), last.flatten(1)], 1))


class Denoiser(nn.Module):
    """The backbone (Fig. 4): a 3D U-Net for d_H, and from its bottleneck a residual decoder for c_H.

    Args:
        channels: of a voxel of one field.
        widths: of the U-Net's levels.
        volume: voxels along x, y, z.
        condition: width.
        contacts: width of the decoder.
        surface: numbers a voxel is told of the surface.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], volume: Volume, condition: int,
                 contacts: int, surface: int = 0) -> None:
        super().__init__()
        self.time = TimeEmbedding(condition)
        self.down = Encoder(2 * channels, widths, volume, condition, surface)
        lowest = self.down.volumes[-1]
        self.middle = nn.ModuleList(Block(widths[-1], widths[-1], lowest, condition) for _ in range(2))
        self.attention = SelfAttention(widths[-1])
        self.up = nn.ModuleList(Block(deep + skip, skip, size, condition) for (skip, deep), size in reversed(
            list(zip(itertools.pairwise(widths), self.down.volumes, strict=False))))
        self.out = nn.Sequential(nn.GroupNorm(8, widths[0]), nn.SiLU(), nn.Conv3d(widths[0], channels, 3, padding=1))
        self.into = nn.Linear(GAUSSIANS + widths[-1], contacts)
        self.layers = nn.ModuleList(ResidualLayer(contacts, condition) for _ in range(4))
        self.contacts = nn.Sequential(nn.LayerNorm(contacts), nn.Linear(contacts, GAUSSIANS))

    def forward(self, hand: torch.Tensor, contacts: torch.Tensor, t: torch.Tensor, obj: torch.Tensor,
                context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What is predicted of the hand's field (B, channels, x, y, z) and of the Gaussians (B, 320).

        Args:
            hand: (B, channels, x, y, z) the noisy field.
            contacts: (B, 320) the noisy Gaussians.
            t: (B,) steps.
            obj: (B, channels + surface, x, y, z) the object's field and what is told of its surface.
            context: (B, condition).
        """
        condition = nn.functional.silu(self.time(t) + context)
        field, surface = obj[:, :hand.shape[1]], obj[:, hand.shape[1]:]
        *maps, x = self.down(torch.cat([field, hand], 1), condition, surface)
        x = self.middle[1](self.attention(self.middle[0](x, condition)), condition)
        known = torch.cat([contacts, x.mean((2, 3, 4))], 1)
        for block in self.up:
            skip = maps.pop()
            wider = nn.functional.interpolate(x, size=skip.shape[2:])
            x = block(torch.cat([wider, skip], 1), condition)
        inner = self.into(known)
        for layer in self.layers:
            inner = layer(inner, condition)
        return self.out(x), self.contacts(inner)


class JointDiffusion(FieldDiffusion):
    """The whole of JointDiffusion.

    The defaults train on one core. The paper's size is `JointDiffusion(16, (64, 128, 256, 256), (64, 128, 256), 256,
    1024, folded=False, oriented=0)`: 62 M weights, and about a hundred times the work for each grasp.

    Args:
        side: of the lattice of basis points; 16 is the paper's. 8 has an eighth of them, 16 for each anchor, which
            tell its place as well, and the noise of the schedule drowns them as late as it should: of 128 distances
            to one point the noise averages out, so that most of its steps would find nothing left to decide.
        widths: of the U-Net's levels.
        context: of the context encoders' levels.
        condition: of the context vector.
        contacts: width of the Gaussians' decoder.
        folded: a block of basis points is one voxel; if not, each is one, as in the paper.
        oriented: numbers a voxel is told of the surface nearest to its basis points, made of where it lies and how it
            faces; 0 is the paper's, which knows the distances alone.
        proposing: see `FieldDiffusion`.
        refining: see `FieldDiffusion`.
        weight: of the Gaussians' loss against the field's.
    """

    field_mean: torch.Tensor
    field_scale: torch.Tensor

    def __init__(self, side: int = 8, widths: tuple[int, ...] = (112, 160), context: tuple[int, ...] = (48, 80),
                 condition: int = 160, contacts: int = 224, *, folded: bool = True, oriented: int = 40,
                 proposing: tuple[int, float] = (10, 0.2), refining: tuple[int, float] = (5, 0.3),
                 weight: float = 0.3) -> None:
        super().__init__(side, proposing, refining)
        if side % 4 or side < 8:
            raise ValueError(f"a lattice of side {side} does not hold whole blocks of the anchors: use 8, 12 or 16")
        self.folded, self.weight = folded, weight
        a, b, c = BLOCK if folded else (1, 1, 1)
        volume = side // a, side // b, side // c
        channels = ANCHORS if folded else 1
        self.oriented = nn.Sequential(nn.Conv3d(6 * channels, oriented, 1), nn.SiLU()) if oriented else None
        self.object_context = ContextEncoder(channels, context, volume, condition, oriented)
        self.noisy_context = ContextEncoder(2 * channels, context, volume, condition, oriented)
        self.wishes = ConditionEmbedding(condition)
        self.denoiser = Denoiser(channels, widths, volume, condition, contacts, oriented)
        self.register_buffer("field_mean", torch.full((side**3,), 0.6))
        self.register_buffer("field_scale", torch.tensor(0.15))

    @property
    def size(self) -> int:
        """Numbers of z_t."""
        return self.side**3 + GAUSSIANS

    # What the network sees: fields and Gaussians in units of about one.

    def volumes(self, field: torch.Tensor) -> torch.Tensor:
        """Fields (B, side^3) as volumes (B, channels, x, y, z) of voxels."""
        side, (a, b, c) = self.side, BLOCK
        if not self.folded:
            return field.reshape(-1, 1, side, side, side)
        blocks = field.reshape(-1, side // a, a, side // b, b, side // c, c)
        return blocks.permute(0, 2, 4, 6, 1, 3, 5).reshape(-1, ANCHORS, side // a, side // b, side // c)

    def listed(self, volumes: torch.Tensor) -> torch.Tensor:
        """The reverse of `volumes`."""
        if not self.folded:
            return volumes.flatten(1)
        x, y, z = volumes.shape[2:]
        return volumes.reshape(-1, *BLOCK, x, y, z).permute(0, 4, 1, 5, 2, 6, 3).flatten(1)

    def into_units(self, field: PredictedField) -> torch.Tensor:
        """(B, side^3 + 320) x_0 of B fields."""
        near = ((-UNITS.decay * field.distances).exp() - self.field_mean) / self.field_scale
        gaussians = field.gaussians
        there = gaussians[..., 3:].abs().amax(-1, keepdim=True) > 0
        mean, scale = gaussians.new_tensor(UNITS.gaussian_mean), gaussians.new_tensor(UNITS.gaussian_scale)
        nine = (gaussians - mean) / scale * there
        return torch.cat([near, torch.cat([2.0 * there - 1, nine], -1).flatten(1)], 1)

    def out_of_units(self, x: torch.Tensor) -> PredictedField:
        """The field of x_0 (B, side^3 + 320); Gaussians are zeros where there is rather none than one."""
        field, contacts = x.split([self.side**3, GAUSSIANS], 1)
        near = (field * self.field_scale + self.field_mean).clamp(1e-2, 1.0)
        there, nine = contacts.unflatten(1, (ANCHORS, NUMBERS)).split([1, 9], -1)
        gaussians = nine * nine.new_tensor(UNITS.gaussian_scale) + nine.new_tensor(UNITS.gaussian_mean)
        return PredictedField(near.log() / -UNITS.decay, gaussians * (there > 0))

    @torch.no_grad()
    def standardise(self, hand: SkinSample, params: torch.Tensor) -> None:
        """Takes the mean field and its scale from parameters (n, 61) of true hands."""
        near = (-UNITS.decay * self.hand_distances(hand, params)).exp()
        self.field_mean.copy_(near.mean(0))
        self.field_scale.copy_((near - self.field_mean).square().mean().sqrt())

    # The representation of what is given.

    @torch.no_grad()
    def nearest_points(self, cloud: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """X_BPS (B, side^3), metres, to the points of clouds (B, P, 6), and which of them are nearest."""
        basis = basis_lattice(cloud.device, self.side).split(TILE)
        found = [torch.cdist(some, points).min(1) for points in cloud[..., :3] * LOCAL_RADIUS for some in basis]
        distances, which = (torch.cat(part).unflatten(0, (len(cloud), -1)) for part in zip(*found, strict=True))
        return distances, which

    def object_volume(self, cloud: torch.Tensor) -> torch.Tensor:
        """(B, channels + oriented, x, y, z) what the network sees of clouds (B, P, 6)."""
        distances, which = self.nearest_points(cloud)
        volume = self.volumes(((-UNITS.decay * distances).exp() - UNITS.object_mean) / UNITS.object_scale)
        if self.oriented is None:
            return volume
        near = cloud.gather(1, which[..., None].expand(-1, -1, 6))
        offset = (near[..., :3] * LOCAL_RADIUS - basis_lattice(cloud.device, self.side)) / UNITS.offset
        surface = torch.cat([offset, near[..., 3:]], -1).transpose(1, 2)
        folded = self.volumes(surface.flatten(0, 1)).unflatten(0, (len(cloud), 6)).flatten(1, 2)
        return torch.cat([volume, self.oriented(folded)], 1)

    def context(self, cloud: torch.Tensor, grasp_type: torch.Tensor, intent: torch.Tensor,
                noisy: torch.Tensor | None = None, given: torch.Tensor | None = None,
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """The object's volume and y (B, condition); arguments as `FieldDiffusion.context` has them."""
        obj = self.object_volume(cloud)
        channels = ANCHORS if self.folded else 1
        field, surface = obj[:, :channels], obj[:, channels:]
        y = self.object_context(field, surface)
        if noisy is not None:
            hand = self.volumes(((-UNITS.decay * noisy).exp() - self.field_mean) / self.field_scale)
            both = self.noisy_context(torch.cat([field, hand], 1), surface)
            y = both if given is None else torch.where(given[:, None], both, y)
        return obj, y + self.wishes(grasp_type, intent)

    def velocity(self, x: torch.Tensor, t: torch.Tensor, obj: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(B, side^3 + 320) predicted of z_t (B, side^3 + 320)."""
        field, contacts = x.split([self.side**3, GAUSSIANS], 1)
        found, touched = self.denoiser(self.volumes(field), contacts, t, obj, y)
        return torch.cat([self.listed(found), touched], 1)

    # Training.

    def loss(self, hand: SkinSample, batch: Batch, rng: torch.Generator, surface: float = 0.0) -> Terms:
        """The denoising loss of both parts; synthesis and refinement in one batch where it has noisy hands.

        Args:
            hand: points of the embedded right hand.
            batch: `cloud`, `params`, `contacts`, `grasp_type`, `intent`, perhaps `noisy` and `given`.
            rng: of noise, steps and the conditions that are dropped.
            surface: weight of `surface_distance` at the anchors that lie in the field predicted from x_t, the more the
                less noise there is; not in the paper.
        """
        cloud, device = batch["cloud"], batch["cloud"].device
        x0 = self.into_units(PredictedField(self.hand_distances(hand, batch["params"]), batch["contacts"]))
        obj, y = self.training_context(hand, batch, rng)
        t = torch.randint(1, self.schedule.steps + 1, (len(x0),), generator=rng).to(device)
        noise = torch.randn(x0.shape, generator=rng).to(device)
        noisy = self.schedule.add_noise(x0, t, noise)
        found = self.velocity(noisy, t, obj, y)
        error = (found - self.schedule.velocity(x0, t, noise)).square()
        terms = {"field": error[:, :-GAUSSIANS].mean(), "gaussians": error[:, -GAUSSIANS:].mean()}
        terms["loss"] = terms["field"] + self.weight * terms["gaussians"]
        if surface:
            alphabar = self.schedule.alphas_cumprod[t]
            predicted = alphabar.sqrt()[:, None] * noisy - (1 - alphabar).sqrt()[:, None] * found
            anchors, truth = (trilaterate(self.out_of_units(x).distances) for x in (predicted, x0))
            off = surface_distance(LOCAL_RADIUS * cloud[..., :3], cloud[..., 3:], anchors, truth)
            terms["surface"] = (alphabar * off).mean()
            terms["loss"] = terms["loss"] + surface * terms["surface"]
        return terms


#: of the stages after the first, a metre of distance that is wrong against the field's squared error
SURFACE_WEIGHT: Final = 150.0


def training_config(scale: float = 1.0, **options: Any) -> TrainingConfig:
    """JointDiffusion: synthesis and refinement together (App. C.5); at the end with the distance to the surface.

    Args:
        scale: of the steps.
        options: of the network.
    """
    network = JointDiffusion(**options)
    parts = ("object_context", "noisy_context", "wishes", "denoiser", *(("oriented",) if network.oriented else ()))

    def plain(hand: SkinSample, batch: Batch, rng: torch.Generator) -> Terms:
        return network.loss(hand, batch, rng)

    def surface(hand: SkinSample, batch: Batch, rng: torch.Generator) -> Terms:
        return network.loss(hand, batch, rng, SURFACE_WEIGHT)

    def stage(name: str, steps: int, learning_rate: float, seed: int, points: int | None = COARSE) -> Stage:
        optimizer = OptimizerConfig(scaled(steps, scale), learning_rate, seed=seed)
        return Stage(name, parts, surface, optimizer, 32, points=points)

    return TrainingConfig(network, (
        Stage("joint", parts, plain, OptimizerConfig(scaled(20000, scale)), 32, network.standardise, COARSE),
        stage("surface", 6000, 4e-4, 0),
        stage("longer", 16000, 5e-4, 1),
        stage("longest", 20000, 5e-4, 2),
        stage("last", 24000, 5e-4, 3),
        stage("finer", 16000, 5e-4, 4, None),
        stage("finest", 16000, 5e-4, 5, None),
    ))
