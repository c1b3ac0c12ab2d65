"""Training grasps in bulk: one object and intent at a time, without the manners that an animator's click needs."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.dataset.training_grasps import TYPE_NAMES, TrainingGrasps
from core.fitting.energy import QUICK, GraspEnergy, Poses
from core.fitting.hand_points import HandPoints
from core.grasps.batch import Grasps
from core.grasps.intents import INTENTS
from core.grasps.request import GraspRequest
from core.quality.hold import passes_hold_test
from core.quality.symmetry import Symmetry, different_grasps
from core.synthesis.generator import Synthesis
from core.synthesis.starts import StartSampler
from core.synthesis.transfer import transfer_grasps

if TYPE_CHECKING:
    from core.grasps.taxonomy import GraspType
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.synthesis.transfer import GraspLibrary

#: Grasps of one object nearer than this, metres of mean joint distance, teach the same thing.
DIFFERENT: Final = 0.015
#: Hands closed together: on one core 96 take three quarters of the time of twice 48.
ROUND: Final = 96
#: Share of a round's starts that are copies of grasps of other shapes, chosen from so many.
SEEDED, DRAWN = 1 / 3, 192
#: Fingers differ from their type's template by so many times `core.synthesis.starts.other_fingers`, those of copies by
#: three fifths as much: neighbours of a type are half as far apart again, and as many grasps pass.
VARIETY: Final = 1.25
#: A slice takes up to so many rounds until it has so many grasps.
TURNS, ENOUGH = 2, 10
#: The first held-out shape of a family comes early, so that there is something to test on.
HELD_OUT_FIRST: Final = 5
#: Shapes before this one of a family get more slices, later ones two each: from then on variety comes with shapes.
TWICE: Final = 3
#: One object in so many is grasped by hands of other shapes.
OTHER_HANDS: Final = 5


@dataclass(frozen=True)
class Task:
    """One slice of the work.

    Attributes:
        object: a name of `TrainingGrasps.objects`. intent: what its grasps are for. round: which slice of them.
        seeds: digest of the grasps that some of its hands start from, "" for none.
    """

    object: str
    intent: str
    round: int = 0
    seeds: str = ""

    @property
    def name(self) -> str:
        work = f"{self.object.replace('/', '_')}_{self.intent}_{self.round}"
        return f"{work}~{self.seeds}" if self.seeds else work

    def number(self, seed: int) -> int:
        """A seed of this slice's own."""
        return zlib.crc32(f"{self.name}:{seed}".encode()) & 0x7FFFFFFF


def work_of(name: str) -> str:
    """A slice's name without what it was started from: the same work is done once."""
    return re.sub(r"~[0-9a-f]{8}$", "", name)


def produce(task: Task, obj: GraspObject, hand: HandModel, seed: int, seeds: GraspLibrary | None = None,
            device: torch.device | str = "cpu") -> TrainingGrasps:
    """Grasps of one slice that pass the checks, the wrench test, the intent's rules and the hold test.

    An object without the parts that the intent needs gives none.

    Args:
        seeds: what `task.seeds` names: a share of the hands start from copies of those of other shapes of the family.
        device: where hands are closed. A seed repeats a slice on a device.
    """
    rng = torch.Generator().manual_seed(task.number(seed))
    betas = torch.zeros(10)
    if zlib.crc32(task.object.encode()) % OTHER_HANDS == 0:
        betas = torch.randn(10, generator=rng).clamp(-2, 2)
    request = GraspRequest(obj, hand, ROUND, intent=task.intent, betas=betas)
    closer = GraspEnergy(hand, HandPoints(hand, betas), betas, obj)
    there = closer.to(device)
    held: list[Grasps] = []
    joints: list[torch.Tensor] = []
    try:
        maker = StartSampler(obj, closer, request, rng, VARIETY)
        kinds = maker.usable()
        near = seeds.near(task.object, task.intent, {kind.name for kind in kinds}) if seeds else None
        for _ in range(TURNS if kinds else 0):
            poses, _ = there.run(starts(maker, kinds, near, betas, rng).to(device), QUICK, keep=0.75)
            good = Synthesis().passing(request, closer, poses.to("cpu"), maker.purpose)
            for one, place in unlike(good, hand, joints):
                if passes_hold_test(request, one):
                    held.append(one)
                    joints.append(place)
            if len(held) >= ENOUGH:
                break
    except LookupError:
        pass  # no such part, or no place for a hand
    chosen = Grasps.cat(held) if held else Grasps.empty("synthesis")
    return rows(task, obj, chosen, hand.dofs_from_pose(chosen.hand_pose), hand, closer)


def starts(maker: StartSampler, kinds: list[GraspType], near: TrainingGrasps | None, betas: torch.Tensor,
           rng: torch.Generator) -> Poses:
    """The starts of one round: `SEEDED` of them from copies of grasps that passed elsewhere, where there are any."""
    if near is None or len(near) == 0:
        return maker.make(ROUND, kinds)
    # Every type as often as any other, whatever the file holds most of.
    weight = torch.from_numpy(1 / np.bincount(near.type)[near.type])
    rows = torch.multinomial(weight, DRAWN, replacement=True, generator=rng).numpy()
    copies = transfer_grasps(near[rows], maker.obj, maker.closer.hand, betas, rng)
    copies = maker.chosen(copies, round(SEEDED * ROUND))
    return Poses.cat([copies, maker.make(ROUND - len(copies), kinds)])


def unlike(good: Grasps, hand: HandModel, known: list[torch.Tensor]) -> list[tuple[Grasps, torch.Tensor]]:
    """Those of `good`, best first, with their joints, that differ from each other and from the `known` joints."""
    if len(good) == 0:
        return []
    good = good[good.score.argsort(descending=True)]
    with torch.no_grad():
        joints = hand(**good.parameters()).joints
    plain = Symmetry(np.zeros(3), np.eye(3)[None], "none")
    new = different_grasps(torch.stack([*known, *joints]), plain, DIFFERENT)
    return [(good[row - len(known)], joints[row - len(known)]) for row in new if row >= len(known)]


def rows(task: Task, obj: GraspObject, grasps: Grasps, dofs: torch.Tensor, hand: HandModel,
         closer: GraspEnergy) -> TrainingGrasps:
    """Grasps in the training file's form."""
    from core.grasps.intents import Purpose

    count = len(grasps)
    part = torch.full((count,), -1)
    share = torch.zeros(count)
    touching = torch.zeros(count, dtype=torch.long)
    if count:
        with torch.no_grad():
            skin = hand(**grasps.parameters()).vertices
        distance = obj.grid.query(skin)[0]
        purpose = Purpose(obj, task.intent)
        contact = purpose.contact(skin, distance, closer.vertex_area)
        share = contact.held
        near = torch.stack([((distance < 0.002) & (hand.parts == k)).any(1) for k in range(6)], 1)
        touching = (near * 2 ** torch.arange(6)).sum(1)
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
        families: name -> how many shapes. held: those with a part that the hand of a user is on.
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


