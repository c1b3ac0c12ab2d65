"""Training grasps in bulk: one object and intent at a time, without what an animator's request needs."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.dataset.training_grasps import TYPE_NAMES, TrainingGrasps
from core.fitting.descent import QUICK, Stage, minimise
from core.fitting.energy import GraspEnergy
from core.fitting.hand_points import HandPoints
from core.fitting.poses import Poses
from core.grasps.batch import Grasps
from core.grasps.contact import touching_parts
from core.grasps.intents import INTENTS, Purpose
from core.grasps.request import GraspRequest
from core.quality.diversity import different_grasps
from core.quality.hold import passes_hold_test
from core.quality.intent import IntentJudge
from core.quality.symmetry import NO_SYMMETRY
from core.synthesis.generator import Synthesis
from core.synthesis.starts import StartSampler
from core.synthesis.transfer import transfer_grasps

if TYPE_CHECKING:
    from core.grasps.taxonomy import GraspType
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.synthesis.transfer import GraspLibrary


@dataclass(frozen=True)
class ProductionConfig:
    """How a slice of training grasps is made.

    Attributes:
        apart: metres of mean joint distance below which two grasps of one object teach the same.
        hands: optimised together: on one core 96 take three quarters of the time of twice 48.
        copied: share of a round's starts that are copies of grasps of other shapes.
        drawn: copies that those are chosen from.
        variety: times `core.synthesis.starts.sample_finger_variety` by which fingers differ from their type's
            template: neighbours of a type are half as far apart again, and as many grasps pass.
        rounds: at most, until there are enough grasps.
        enough: grasps of a slice.
        stages: of the descent.
        keep: share of each type that goes on to the whole skin.
    """

    apart: float = 0.015
    hands: int = 96
    copied: float = 1 / 3
    drawn: int = 192
    variety: float = 1.25
    rounds: int = 2
    enough: int = 10
    stages: tuple[Stage, ...] = QUICK
    keep: float = 0.75


PRODUCTION: Final = ProductionConfig()
#: the first held-out shape of a family comes early, so that there is something to test on
HELD_OUT_FIRST: Final = 5
#: shapes before this one of a family get more slices, later ones two each: from then on variety comes with shapes
TWICE: Final = 3
#: one object in so many is grasped by hands of other shapes
OTHER_HANDS: Final = 5


@dataclass(frozen=True)
class Task:
    """One slice of the work.

    Attributes:
        object: a name of `TrainingGrasps.objects`.
        intent: what its grasps are for.
        round: which slice of them.
        seeds: digest of the grasps that some of its hands start from, "" for none.
    """

    object: str
    intent: str
    round: int = 0
    seeds: str = ""

    @property
    def name(self) -> str:
        """Of the slice, as `TrainingGrasps.slices` has it."""
        work = f"{self.object.replace('/', '_')}_{self.intent}_{self.round}"
        return f"{work}~{self.seeds}" if self.seeds else work

    def number(self, seed: int) -> int:
        """A seed of this slice's own."""
        return zlib.crc32(f"{self.name}:{seed}".encode()) & 0x7FFFFFFF


def work_of(name: str) -> str:
    """A slice's name without what it was started from: the same work is done once."""
    return re.sub(r"~[0-9a-f]{8}$", "", name)


def produce(task: Task, obj: GraspObject, hand: HandModel, seed: int, library: GraspLibrary | None = None,
            device: torch.device | str = "cpu", config: ProductionConfig = PRODUCTION) -> TrainingGrasps:
    """Grasps of one slice that pass the checks, the wrench test, the intent's rules and the hold test.

    An object without the parts that the intent needs gives none.

    Args:
        task: the slice.
        obj: its object, prepared.
        hand: the hand model.
        seed: repeats a slice on a device.
        library: what `task.seeds` names: a share of the hands start from copies of those of other shapes of the family.
        device: where hands are closed.
        config: how the slice is made.
    """
    rng = torch.Generator().manual_seed(task.number(seed))
    betas = torch.zeros(10)
    if zlib.crc32(task.object.encode()) % OTHER_HANDS == 0:
        betas = torch.randn(10, generator=rng).clamp(-2, 2)
    request = GraspRequest(obj, hand, config.hands, intent=task.intent, betas=betas)
    energy = GraspEnergy(hand, HandPoints(hand, betas), betas, obj)
    on_device = energy.to(device)
    held: list[Grasps] = []
    joints: list[torch.Tensor] = []
    try:
        judge = None if request.intent == "any" else IntentJudge(request)
        sampler = StartSampler(obj, energy, request, rng, config.variety)
        types = sampler.usable()
        near = library.near(task.object, task.intent, {known.name for known in types}) if library else None
        for _ in range(config.rounds if types else 0):
            starts = sample_starts(sampler, types, near, betas, rng, config)
            poses, _ = minimise(on_device, starts.to(device), config.stages, keep=config.keep)
            good = Synthesis().passing(request, energy, poses.to("cpu"), judge)
            for one, of_one in distinct_from(good, hand, joints, config.apart):
                if passes_hold_test(request, one):
                    held.append(one)
                    joints.append(of_one)
            if len(held) >= config.enough:
                break
    except LookupError:
        pass  # no such part, or no place for a hand
    chosen = Grasps.cat(held) if held else Grasps.empty("synthesis")
    return training_rows(task, obj, chosen, hand.dofs_from_pose(chosen.hand_pose), hand, energy)


def sample_starts(sampler: StartSampler, types: list[GraspType], near: TrainingGrasps | None, betas: torch.Tensor,
                  rng: torch.Generator, config: ProductionConfig = PRODUCTION) -> Poses:
    """The starts of one round: a share of them from copies of grasps that passed elsewhere, where there are any.

    Args:
        sampler: of the other starts.
        types: of the taxonomy, usable on the object.
        near: grasps of other shapes.
        betas: (10,) the hand's shape.
        rng: all that is random comes from it.
        config: how the slice is made.
    """
    if near is None or len(near) == 0:
        return sampler.sample(config.hands, types)
    # Every type as often as any other, whatever the file holds most of.
    weight = torch.from_numpy(1 / np.bincount(near.type)[near.type])
    rows = torch.multinomial(weight, config.drawn, replacement=True, generator=rng).numpy()
    copies = transfer_grasps(near[rows], sampler.obj, sampler.energy.hand, betas, rng)
    copies = sampler.best_of(copies, round(config.copied * config.hands))
    return Poses.cat([copies, sampler.sample(config.hands - len(copies), types)])


def distinct_from(good: Grasps, hand: HandModel, known: list[torch.Tensor],
                  apart: float) -> list[tuple[Grasps, torch.Tensor]]:
    """Those of `good`, best first, that differ from each other and from known grasps.

    Args:
        good: scored grasps.
        hand: the hand model.
        known: joints (21, 3) of the known grasps, metres.
        apart: metres of mean joint distance from which grasps are different.

    Returns:
        Batches of one, with their joints (21, 3).
    """
    if len(good) == 0:
        return []
    good = good[good.score.argsort(descending=True)]
    with torch.no_grad():
        joints = hand(**good.parameters()).joints
    new = different_grasps(torch.stack([*known, *joints]), NO_SYMMETRY, apart)
    return [(good[row - len(known)], joints[row - len(known)]) for row in new if row >= len(known)]


def training_rows(task: Task, obj: GraspObject, grasps: Grasps, dofs: torch.Tensor, hand: HandModel,
                  energy: GraspEnergy) -> TrainingGrasps:
    """Grasps in the training file's form.

    Args:
        task: the slice that they are of.
        obj: their object.
        grasps: N grasps with measures.
        dofs: (N, 21) their joint angles, radians.
        hand: the hand model.
        energy: of the hand on the object.
    """
    count = len(grasps)
    part = torch.full((count,), -1)
    share = torch.zeros(count)
    touching = torch.zeros(count, dtype=torch.long)
    if count:
        with torch.no_grad():
            vertices = hand(**grasps.parameters()).vertices
        distance = obj.grid.query(vertices)[0]
        purpose = Purpose(obj, task.intent)
        contact = purpose.contact(vertices, distance, energy.vertex_area)
        share = contact.held
        touching = (touching_parts(distance, hand.parts) * 2 ** torch.arange(6)).sum(1)
        if obj.parts is not None:
            of = torch.where(contact.part >= 0, obj.parts.of_points[contact.part.clamp_min(0)], -1)
            part = torch.stack([torch.bincount(row[row >= 0], minlength=1).argmax() if (row >= 0).any()
                                else torch.tensor(-1) for row in of])

    def measure(name: str) -> np.ndarray:
        return grasps.measures[name].numpy() if count else np.zeros(0)

    return TrainingGrasps(
        objects=(task.object,), object=np.zeros(count), rotation=quaternions(grasps.global_orient).numpy(),
        transl=grasps.transl.numpy(), dofs=dofs.numpy(), betas=grasps.betas.numpy(),
        type=np.array([TYPE_NAMES.index(name) for name in grasps.type], int),
        intent=np.full(count, INTENTS.index(task.intent)), part=part.numpy(), touching=touching.numpy(),
        held_share=share.numpy(), score=grasps.score.numpy(), depth_mm=measure("depth_mm"),
        overlap_cm3=measure("overlap_cm3"), residual=measure("residual"), slices=(task.name,))


def quaternions(rotation: torch.Tensor) -> torch.Tensor:
    """(N, 4) wxyz, w >= 0, of axis-angle vectors (N, 3)."""
    angle = rotation.norm(dim=1, keepdim=True)
    axis = rotation / angle.clamp_min(1e-12)
    turn = torch.cat([(angle / 2).cos(), axis * (angle / 2).sin()], 1)
    return turn * torch.where(turn[:, :1] < 0, -1.0, 1.0)


def plan(families: dict[str, int], held: set[str]) -> list[Task]:
    """All slices, every family's first shape before any second one.

    Args:
        families: how many shapes of each family, by name.
        held: families with a part that the hand of a user is on.
    """
    tasks: list[Task] = []
    seeds = range(max(families.values(), default=0))
    for seed in sorted(seeds, key=lambda seed: (seed > 0, seed != HELD_OUT_FIRST, seed)):
        for family, count in families.items():
            if seed >= count:
                continue
            name = f"{family}/{seed}"
            # What one does with a thing that has no handle: any, and now and then kept from its sharp parts, or lifted.
            other = ("any", "hold", "lift")[seed % 3]
            if family not in held or seed < TWICE or seed % 2:
                tasks.append(Task(name, other))
            if family in held:
                tasks.append(Task(name, "use"))
                if seed < TWICE:
                    tasks.append(Task(name, "use", 1))
                if seed % 2 == 0:
                    tasks.append(Task(name, "handover"))
            else:
                tasks.append(Task(name, "use" if seed % 2 else "any", 1))
    return tasks


