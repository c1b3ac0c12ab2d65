"""JointDiffusion: the distance field and the contact Gaussians of a grasp, denoised together (CHOIR, Sec. 3.2).

Symbols are the paper's: X_BPS the object's distances from the basis points, d_H the hand's (Eq. 2), c_H the contact
Gaussians (Eq. 7), y the context, z_t the noisy latent variable. One model proposes (y is the object) and refines (y is
a noisy hand and the object), with a context encoder for each (App. C.5). The hand is laid into what comes out by the
closed form of `core.fitting.pose_fit`; the Gaussians are for `core.fitting.fit`.

Differences from the text and the published code, each an argument here: the basis points lie in the heading frame; the
ordered assignment repeats over blocks of 2 x 4 x 4 basis points, so a block is one voxel with a channel for each of the
32 anchors (`folded`), where the U-Net of the paper has to find out which voxel belongs to which anchor; the network
predicts the velocity, from which the noise follows. Attention over a context of one vector adds the same to every
voxel, so that vector scales and shifts the blocks as the step does.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.fitting.pose_fit import SOLVER, hands_in_field, trilaterate
from core.fitting.representation import (
    ANCHORS,
    BLOCK,
    Choir,
    anchor_distances,
    inward,
    side_of,
    turned_gaussians,
)
from core.generators.conditioning import TYPE_CONDITIONS, ConditionEmbedding, dropped
from core.generators.contact_losses import surface_distance
from core.generators.diffusion import NoiseSchedule, TimeEmbedding
from core.generators.hand_parameters import MIRROR
from core.generators.learned import Network, embedded_skin
from core.generators.local_cloud import window_cloud
from core.generators.place_scorer import condition_index, sample_grasp_points
from core.generators.pointnet import perceptron
from core.grasps.batch import Grasps
from core.grasps.heading_frame import LOCAL_RADIUS, Frames, frames_of_grasps, mirrored
from core.hand.skin import SkinSample
from core.objects.basis_points import basis_lattice

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.generators.adaptation import AdaptationConfig
    from core.generators.learned import Learned
    from core.generators.local_cloud import LocalPointCloud
    from core.grasps.request import GraspRequest, Progress
    from core.hand import HandModel
    from core.objects import GraspObject

#: distances d become exp(-DECAY d), d in metres (published code)
DECAY: Final = 5.0
#: metres: a Gaussian's numbers, its mean (3) and its Cholesky factor (6), are told from this and in units of that
USUAL: Final = (0.0,) * 3 + (0.0025, 0.0, 0.0016, 0.0, 0.0, 0.0013)
UNIT: Final = (0.004,) * 3 + (0.0018,) * 6
#: numbers of an anchor's Gaussian: whether there is one (1 or -1), and its nine, zeros where there is none. The
#: published code has the nine alone, and none where they are small; denoised, they lie between small and usual.
NUMBERS: Final = 10
GAUSSIANS: Final = ANCHORS * NUMBERS
#: the share of the work of proposing that is the sampling; the rest is laying hands into fields, so many at once
SAMPLING, CHUNK = 0.7, 8
#: metres: the offsets of the surface from the basis points are told in units of that
REACH: Final = 0.05
#: basis points whose distances are made at once: larger tables fall out of the cache
TILE: Final = 512


class Block(nn.Module):
    """A residual block of two convolutions, scaled and shifted by the condition."""

    def __init__(self, before: int, after: int, volume: tuple[int, ...], condition: int) -> None:
        super().__init__()
        # Along an axis of one voxel a wider kernel would see nothing but the padding.
        kernel = tuple(3 if size > 1 else 1 for size in volume)
        around = tuple(size // 2 for size in kernel)
        self.first = nn.Sequential(nn.GroupNorm(8, before), nn.SiLU(), nn.Conv3d(before, after, kernel, padding=around))
        self.norm, self.second = nn.GroupNorm(8, after), nn.Conv3d(after, after, kernel, padding=around)
        self.film = nn.Linear(condition, 2 * after) if condition else None
        self.skip = nn.Conv3d(before, after, 1) if before != after else nn.Identity()
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        inner = self.norm(self.first(x))
        if self.film is not None:
            scale, shift = self.film(condition)[:, :, None, None, None].chunk(2, 1)
            inner = inner * (1 + scale) + shift
        return self.skip(x) + self.second(nn.functional.silu(inner))


class SelfAttention(nn.Module):
    """Multi-head self-attention over the voxels, and a layer for each of them (MHSA)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm, self.attend = nn.LayerNorm(width), nn.MultiheadAttention(width, heads, batch_first=True)
        self.each = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(),
                                  nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        voxels = x.flatten(2).transpose(1, 2)
        normed = self.norm(voxels)
        voxels = voxels + self.attend(normed, normed, normed, need_weights=False)[0]
        return (voxels + self.each(voxels)).transpose(1, 2).reshape(x.shape)


class Encoder(nn.Module):
    """The way down of the U-Net: a map at each level, the volume halved between them; attention below the first.

    Args:
        channels: of a voxel of fields. widths: of the levels. volume: voxels along x, y, z. condition: width, 0 for
            none. surface: numbers a voxel is told of the surface, 0 for none.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], volume: tuple[int, ...], condition: int = 0,
                 surface: int = 0) -> None:
        super().__init__()
        self.volumes = [tuple(size // 2**level for size in volume) for level in range(len(widths))]
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
        x = self.stem(x) + self.place
        if self.surface is not None:
            x = x + self.surface(surface)
        maps = [self.blocks[0](x, condition)]
        for block, attention in zip(self.blocks[1:], self.attention, strict=True):
            maps.append(attention(block(nn.functional.avg_pool3d(maps[-1], 2), condition)))
        return maps


class ContextEncoder(nn.Module):
    """y as one vector: the U-Net's way down, pooled over space by a shallow fully connected network."""

    def __init__(self, channels: int, widths: tuple[int, ...], volume: tuple[int, ...], condition: int,
                 surface: int = 0) -> None:
        super().__init__()
        self.encoder = Encoder(channels, widths, volume, surface=surface)
        lowest = widths[-1] * self.encoder.volumes[-1][0] * self.encoder.volumes[-1][1] * self.encoder.volumes[-1][2]
        self.pool = perceptron(sum(widths[:-1]) + lowest, 2 * condition, condition)

    def forward(self, fields: torch.Tensor, surface: torch.Tensor | None = None) -> torch.Tensor:
        """(B, condition) of fields (B, channels, x, y, z) and what is told of the surface."""
        *maps, last = self.encoder(fields, surface=surface)
        return self.pool(torch.cat([*(level.mean((2, 3, 4)) for level in maps), last.flatten(1)], 1))


class ResidualLayer(nn.Module):
    """Two linear layers around a shortcut, scaled and shifted by the condition."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm, self.film = nn.LayerNorm(width), nn.Linear(condition, 2 * width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift = self.film(condition).chunk(2, 1)
        return x + self.second(nn.functional.silu(self.first(self.norm(x) * (1 + scale) + shift)))


class Denoiser(nn.Module):
    """The backbone (Fig. 4): a 3D U-Net for d_H, and from its bottleneck a residual decoder for c_H.

    Args:
        channels: of a voxel of one field. widths, volume: of the U-Net. condition: width. contacts: of the decoder.
        surface: numbers a voxel is told of the surface.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], volume: tuple[int, ...], condition: int,
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
        """What is predicted of the hand's field and of the Gaussians (B, 320), at steps t (B,).

        Args:
            hand: (B, channels, x, y, z) the noisy field. obj: (B, channels + surface, x, y, z) the object's and what is
                told of its surface. context: (B, condition).
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


class JointDiffusion(Network):
    """The whole of JointDiffusion.

    The defaults train on one core. The paper's size is `JointDiffusion(16, (64, 128, 256, 256), (64, 128, 256), 256,
    1024, folded=False, oriented=0)`: 62 M weights, and about a hundred times the work for each grasp.

    Args:
        side: of the lattice of basis points; 16 is the paper's. 8 has an eighth of them, 16 for each anchor, which
            tell its place as well, and the noise of the schedule drowns them as late as it should: of 128 distances
            to one point the noise averages out, so that most of its steps would find nothing left to decide.
        widths: of the U-Net's levels. context: of the context encoders' levels. condition: of the context vector.
        contacts: width of the Gaussians' decoder.
        folded: a block of basis points is one voxel; if not, each is one, as in the paper.
        oriented: numbers a voxel is told of the surface nearest to its basis points, made of where it lies and how it
            faces; 0 is the paper's, which knows the distances alone.
        proposing, refining: steps of DDIM and the temperature of the noise that it starts from.
        weight: of the Gaussians' loss against the field's.
    """

    noisy = 0.5
    field_mean: torch.Tensor
    field_scale: torch.Tensor

    def __init__(self, side: int = 8, widths: tuple[int, ...] = (112, 160), context: tuple[int, ...] = (48, 80),
                 condition: int = 160, contacts: int = 224, *, folded: bool = True, oriented: int = 40,
                 proposing: tuple[int, float] = (10, 0.2), refining: tuple[int, float] = (5, 0.3),
                 weight: float = 0.3) -> None:
        super().__init__()
        if side % 4 or side < 8:
            raise ValueError(f"a lattice of side {side} does not hold whole blocks of the anchors: use 8, 12 or 16")
        self.side, self.folded, self.weight = side, folded, weight
        self.sampling = {"propose": proposing, "refine": refining}
        volume = tuple(side // step for step in BLOCK) if folded else (side, side, side)
        channels = ANCHORS if folded else 1
        self.oriented = nn.Sequential(nn.Conv3d(6 * channels, oriented, 1), nn.SiLU()) if oriented else None
        self.object_context = ContextEncoder(channels, context, volume, condition, oriented)
        self.noisy_context = ContextEncoder(2 * channels, context, volume, condition, oriented)
        self.wishes = ConditionEmbedding(condition)
        self.denoiser = Denoiser(channels, widths, volume, condition, contacts, oriented)
        self.schedule = NoiseSchedule()
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

    def into_units(self, distances: torch.Tensor, gaussians: torch.Tensor) -> torch.Tensor:
        """(B, side^3 + 320) x_0 of d_H (B, side^3) and c_H (B, 32, 9)."""
        field = ((-DECAY * distances).exp() - self.field_mean) / self.field_scale
        there = gaussians[..., 3:].abs().amax(-1, keepdim=True) > 0
        nine = (gaussians - gaussians.new_tensor(USUAL)) / gaussians.new_tensor(UNIT) * there
        return torch.cat([field, torch.cat([2.0 * there - 1, nine], -1).flatten(1)], 1)

    def out_of_units(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """d_H (B, side^3), metres, and c_H (B, 32, 9) of x_0; zeros where there is rather no Gaussian than one."""
        field, contacts = x.split([self.side**3, GAUSSIANS], 1)
        near = (field * self.field_scale + self.field_mean).clamp(1e-2, 1.0)
        there, nine = contacts.unflatten(1, (ANCHORS, NUMBERS)).split([1, 9], -1)
        gaussians = nine * nine.new_tensor(UNIT) + nine.new_tensor(USUAL)
        return near.log() / -DECAY, gaussians * (there > 0)

    @torch.no_grad()
    def standardise(self, hand: SkinSample, code: torch.Tensor) -> None:
        """Takes the mean field and its scale from codes (N, 61) of true hands."""
        near = (-DECAY * self.hand_distances(hand, code)).exp()
        self.field_mean.copy_(near.mean(0))
        self.field_scale.copy_((near - self.field_mean).square().mean().sqrt())

    # The representation of what is given.

    @torch.no_grad()
    def nearest(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """X_BPS (B, side^3), metres, of windows (B, P, 6), to their points, and which of them are nearest."""
        basis = basis_lattice(window.device, self.side).split(TILE)
        found = [torch.cdist(some, points).min(1) for points in window[..., :3] * LOCAL_RADIUS for some in basis]
        return tuple(torch.cat(part).unflatten(0, (len(window), -1)) for part in zip(*found, strict=True))

    def object_volume(self, window: torch.Tensor) -> torch.Tensor:
        """(B, channels + oriented, x, y, z) what the network sees of windows (B, P, 6)."""
        distances, which = self.nearest(window)
        volume = self.volumes(((-DECAY * distances).exp() - 0.75) / 0.15)
        if self.oriented is None:
            return volume
        near = window.gather(1, which[..., None].expand(-1, -1, 6))
        offset = (near[..., :3] * LOCAL_RADIUS - basis_lattice(window.device, self.side)) / REACH
        told = torch.cat([offset, near[..., 3:]], -1).transpose(1, 2)
        folded = self.volumes(told.flatten(0, 1)).unflatten(0, (len(window), 6)).flatten(1, 2)
        return torch.cat([volume, self.oriented(folded)], 1)

    @torch.no_grad()
    def hand_distances(self, hand: SkinSample, code: torch.Tensor) -> torch.Tensor:
        """(B, side^3) d_H of codes (B, 61)."""
        sample = anchored_skin(hand.hand)
        return anchor_distances(sample.anchors(self.code.skin(sample, code)), self.side)

    def context(self, window: torch.Tensor, kind: torch.Tensor, intent: torch.Tensor,
                noisy: torch.Tensor | None = None, given: torch.Tensor | None = None,
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """The object's volume and y (B, condition).

        Args:
            noisy: (B, side^3) d_H of noisy hands, to refine them. given: (B,) bool, where there is one; all when None.
        """
        obj = self.object_volume(window)
        channels = ANCHORS if self.folded else 1
        field, surface = obj[:, :channels], obj[:, channels:]
        y = self.object_context(field, surface)
        if noisy is not None:
            hand = self.volumes(((-DECAY * noisy).exp() - self.field_mean) / self.field_scale)
            both = self.noisy_context(torch.cat([field, hand], 1), surface)
            y = both if given is None else torch.where(given[:, None], both, y)
        return obj, y + self.wishes(kind, intent)

    def velocity(self, x: torch.Tensor, t: torch.Tensor, obj: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(B, side^3 + 320) predicted of z_t (B, side^3 + 320)."""
        field, contacts = x.split([self.side**3, GAUSSIANS], 1)
        found, touched = self.denoiser(self.volumes(field), contacts, t, obj, y)
        return torch.cat([self.listed(found), touched], 1)

    # Training.

    def loss(self, hand: SkinSample, batch: dict[str, torch.Tensor], rng: torch.Generator,
             surface: float = 0.0) -> dict[str, torch.Tensor]:
        """The denoising loss of both parts; synthesis and refinement in one batch where it has noisy hands.

        Args:
            surface: weight of `surface_distance` at the anchors that lie in the field as seen from x_t, the more the
                less noise there is; not in the paper.
        """
        window, device = batch["window"], batch["window"].device
        x0 = self.into_units(self.hand_distances(hand, batch["code"]), batch["contacts"])
        noisy = given = None
        if "noisy" in batch:
            noisy, given = self.hand_distances(hand, batch["noisy"]), batch["given"]
        obj, y = self.context(window, dropped(batch["kind"], rng), dropped(batch["intent"], rng), noisy, given)
        t = torch.randint(1, self.schedule.steps + 1, (len(x0),), generator=rng).to(device)
        noise = torch.randn(x0.shape, generator=rng).to(device)
        noised = self.schedule.noised(x0, t, noise)
        found = self.velocity(noised, t, obj, y)
        error = (found - self.schedule.velocity(x0, t, noise)).square()
        terms = {"field": error[:, :-GAUSSIANS].mean(), "gaussians": error[:, -GAUSSIANS:].mean()}
        terms["loss"] = terms["field"] + self.weight * terms["gaussians"]
        if surface:
            bar = self.schedule.alphabar[t]
            seen = bar.sqrt()[:, None] * noised - (1 - bar).sqrt()[:, None] * found
            anchors, truth = (trilaterate(self.out_of_units(x)[0]) for x in (seen, x0))
            off = surface_distance(LOCAL_RADIUS * window[..., :3], window[..., 3:], anchors, truth)
            terms["surface"] = (bar * off).mean()
            terms["loss"] = terms["loss"] + surface * terms["surface"]
        return terms

    # Sampling.

    @torch.no_grad()
    def predict(self, window: torch.Tensor, kind: torch.Tensor, intent: torch.Tensor, rng: torch.Generator,
                go_on: Callable[[float], bool], noisy: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """d_H (N, side^3), metres, and c_H (N, 32, 9) for windows (N, points, 6), by DDIM.

        Args:
            noisy: (N, side^3) d_H of hands to refine; none of them to propose.
        """
        obj, y = self.context(window, kind, intent, noisy)
        steps, temperature = self.sampling["propose" if noisy is None else "refine"]
        x = self.schedule.sample(lambda x, t: self.schedule.noise_of(x, t, self.velocity(x, t, obj, y)),
                                 (len(window), self.size), rng, steps, temperature=temperature, go_on=go_on)
        return self.out_of_units(x)

    def propose(self, seen: LocalPointCloud, kind: torch.Tensor, intent: torch.Tensor, betas: torch.Tensor,
                hand: SkinSample, finish: AdaptationConfig, rng: torch.Generator,
                go_on: Callable[[float], bool]) -> torch.Tensor:
        """Synthesis: DDIM, and the hands, mean shape whatever the betas, that lie in the fields it gives."""
        distances, _ = self.predict(seen.window, kind, intent, rng, lambda done: go_on(SAMPLING * done))
        return self.codes(hand, distances, lambda done: go_on(SAMPLING + (1 - SAMPLING) * done))

    def codes(self, hand: SkinSample, distances: torch.Tensor,
              go_on: Callable[[float], bool] = lambda fraction: True) -> torch.Tensor:
        """(N, 61) of the hands, mean shape, that lie in fields (N, side^3); roughly laid in once `go_on` says no."""
        count, going, parts = len(distances), True, []
        for rows in torch.arange(count).split(CHUNK):
            none, still = torch.zeros(len(rows), 3), torch.eye(3).repeat(len(rows), 1, 1)
            grasps = Grasps(none, torch.zeros(len(rows), 45), none, torch.zeros(len(rows), 10), none[:, 0])
            field = Choir(none, distances[rows.to(distances.device)].cpu(), none, Frames(none, still))
            parts.append(hands_in_field(embedded_skin("cpu").hand, field, grasps, steps=SOLVER.steps if going else 0))
            going = go_on((int(rows[-1]) + 1) / count) and going
        device = distances.device
        still = Frames(torch.zeros(count, 3, device=device), torch.eye(3, device=device).repeat(count, 1, 1))
        return self.code.encode(hand.hand, Grasps.cat(parts).to(device), still)


@lru_cache(maxsize=4)
def anchored_skin(hand: HandModel) -> SkinSample:
    """Some of the hand's skin, with its anchors."""
    return SkinSample(hand, anchored=True)


def choir_of(hand: HandModel, obj: GraspObject, distances: torch.Tensor, gaussians: torch.Tensor,
             frames: Frames) -> Choir:
    """What was predicted, as `core.fitting.fit` takes it.

    Args:
        hand: of the side wanted. distances, gaussians: (N, side^3) and (N, 32, 9) of `JointDiffusion.predict`.
        frames: the heading frames; of a left hand `mirrored`. It comes back with windows that are not.
    """
    side = side_of(distances)
    if hand.side == "left":
        distances = anchor_distances(trilaterate(distances) * MIRROR, side)
        gaussians = turned_gaussians(gaussians, torch.diag(MIRROR)[None])
        frames = mirrored(frames)
    seen = obj.grid.query(frames.outward(basis_lattice(side=side)))[0].abs()
    return Choir(seen, distances, gaussians, frames)


def propose(learned: Learned, request: GraspRequest, rng: torch.Generator,
            progress: Progress = lambda fraction, stage: True) -> tuple[Grasps, Choir]:
    """The grasps that `Learned.sample` gives, and the fields that they lie in, for the fit."""
    network = _joint(learned)

    def go_on(fraction: float) -> bool:
        return progress(0.1 + 0.85 * fraction, "Proposing hands")

    progress(0.05, "Choosing places on the object")
    frames, kind = sample_grasp_points(learned.places, request, request.count, rng)
    window = window_cloud(request.object.points, request.object.normals, frames, network.points, rng)
    intent = torch.full_like(kind, condition_index(request)[1])
    distances, gaussians = network.predict(*(value.to(learned.device) for value in (window, kind, intent)), rng,
                                           lambda fraction: go_on(SAMPLING * fraction))
    code = network.codes(embedded_skin(str(learned.device)), distances,
                         lambda fraction: go_on(SAMPLING + (1 - SAMPLING) * fraction)).cpu()
    grasps = learned.code.grasps(request.hand, code, frames, learned.name, request.betas)
    return (replace(grasps, type=tuple(TYPE_CONDITIONS[index] for index in kind.tolist())),
            choir_of(request.hand, request.object, distances.cpu(), gaussians.cpu(), frames))


def _joint(learned: Learned) -> JointDiffusion:
    if not isinstance(learned.network, JointDiffusion):
        raise TypeError(f"'{learned.name}' predicts no fields: use jointdiffusion")
    return learned.network


def refine(learned: Learned, obj: GraspObject, hand: HandModel, grasps: Grasps, rng: torch.Generator,
           go_on: Callable[[float], bool] = lambda fraction: True) -> tuple[Grasps, Choir]:
    """Noisy hands to refined ones (Sec. 3.2, context 1), of the shape they had; and the fields, for the fit.

    Args:
        learned: a `JointDiffusion` behind the generators' interface. hand: of the grasps' side.
        grasps: N in the object's frame. go_on: told the fraction done; False stops, and the hands stay as given.
    """
    network = _joint(learned)
    frames = frames_of_grasps(obj, hand, grasps)
    if hand.side == "left":
        frames = mirrored(frames)
    with torch.no_grad():
        noisy = anchor_distances(inward(frames, hand.anchors(hand(**grasps.parameters()).vertices)), network.side)
    window = window_cloud(obj.points, obj.normals, frames, network.points, rng)
    none = torch.zeros(len(grasps), dtype=torch.long, device=learned.device)
    going = True

    def watched(fraction: float) -> bool:
        nonlocal going
        going = go_on(fraction)
        return going

    distances, gaussians = (value.cpu() for value in network.predict(
        window.to(learned.device), none, none, rng, watched, noisy.to(learned.device)))
    choir = choir_of(hand, obj, distances, gaussians, frames)
    if not going:
        return grasps, choir
    return replace(hands_in_field(hand, choir, grasps), method=learned.name), choir
