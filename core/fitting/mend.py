"""Moving a given hand as little as it takes to lie on the object: out of it first, then onto it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.contacts import patch_weights
from core.metrics.bones import bones_crossing
from core.synthesis.optimise import THIN, Closer, Poses, Stage

if TYPE_CHECKING:
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.synthesis.probe import HandProbe

#: cm inside the surface where contact is aimed, and what the last stage lets pass: soft skin that holds
AIM, GIVE = 0.08, 0.06
AIM_THIN, GIVE_THIN = 0.03, 0.03
#: metres behind a surface in which a wall is remembered
WALL: Final = 0.03
#: weight of the pull of the wrist to where it was
STAY: Final = 0.15
STAGES: Final = (
    Stage(12, 0.02, 0.10, 0.0),
    Stage(30, 0.014, 0.05, 0.035),
    Stage(60, 0.004, 0.02, 0.010, whole_skin=True, memory=0.99),
)
#: what a way out is made of: metres back, and the share by which fingers are opened
BACK: Final = (0.006, 0.012, 0.02, 0.03, 0.045)
OPEN: Final = (0.0, 0.2, 0.4, 0.65)
#: degrees of freedom that bend
BENDS: Final = (0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 18, 19, 20)


class Mender(Closer):
    """Mends hands of one shape: `Closer`'s energy with the grasps' own contacts, and a pull back to where they were.

    Args:
        start: the poses as they were given; `template` is their own. pads: (B, pads) how much each pad should touch.
        stay: weight of Eq. 11's pull of the wrist to where it was.
    """

    def __init__(self, hand: HandModel, probe: HandProbe, betas: torch.Tensor, obj: GraspObject, start: Poses,
                 pads: torch.Tensor, points: torch.Tensor, stay: float = STAY) -> None:
        super().__init__(hand, probe, betas, obj)
        thin = thin_there(obj, points[:, probe.pads], pads)[:, None]
        self.aim, self.give = torch.where(thin, AIM_THIN, AIM), torch.where(thin, GIVE_THIN, GIVE)
        distance = obj.grid.query(points[:, probe.pads])[0]
        must = parts_that_must(probe, pads, distance)
        pads = pads + 0.25 * patch_weights(probe) * must[:, probe.pad_part] * (pads == 0)
        self.part_reach = torch.where(must, 6.0, 1.5)
        self.start, self.own_pads, self.stay = start, pads, stay
        self._side: tuple[torch.Tensor, torch.Tensor] | None = None

    def _pad_weights(self, types: tuple[str, ...]) -> torch.Tensor:
        return self.own_pads

    def _distance(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Closer` has it, but flesh that went through a wall stays behind it.

        Beyond a thin wall's middle the nearest surface is the far one. Each inner sphere remembers the surface it was
        before (a point and its normal); where the normal turns about while the sphere is behind that surface, the
        distance to that surface's plane counts until it is out again.
        """
        distance, outward = super()._distance(points)
        rows = self.probe.spheres
        place, here = points[:, rows], outward[:, rows]
        with torch.no_grad():
            foot = place - distance[:, rows, None] / 100 * here
            if self._side is None:
                self._side = foot, here
            known, normal = self._side
            behind = ((place - known) * normal).sum(-1) < 0.001
            near = (place - known).norm(dim=-1) < WALL
            crossed = behind & near & ((here * normal).sum(-1) < -0.2)
            known, normal = known.where(crossed[..., None], foot), normal.where(crossed[..., None], here)
            self._side = known, normal
        plane = ((place - known) * normal).sum(-1) * 100
        sphere = torch.where(crossed, plane, distance[:, rows])
        after = distance[:, rows.stop :]
        return (torch.cat([distance[:, : rows.start], sphere, after], 1),
                torch.cat([outward[:, : rows.start], normal.where(crossed[..., None], here), outward[:, rows.stop :]], 1))

    def naturalness(self, poses: Poses) -> torch.Tensor:
        """The fingers' pull to their posture, and the wrist's to its place (CHOIR's Eq. 11, squared)."""
        turned = (poses.rotation - self.start.rotation).square().sum((1, 2))
        moved = ((poses.rotation @ self.centre + poses.wrist) - (self.start.rotation @ self.centre + self.start.wrist))
        away = 25 * turned + (100 * moved).square().sum(1)
        return super().naturalness(poses) + self.stay * away


def parts_that_must(probe: HandProbe, pads: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """(B, 6) bool: parts without which nothing is held: thumb or palm, whichever is nearer, and the two nearest fingers.

    Args:
        pads: (B, pads) weights. distance: (B, pads) of the pads to the object, metres, as the hand was given.
    """
    nearest = torch.stack([distance[:, probe.pad_part == part].amin(1) for part in range(6)], 1)
    must = torch.zeros(len(pads), 6, dtype=torch.bool)
    rows = torch.arange(len(pads))
    must[rows, torch.where(nearest[:, 0] < nearest[:, 5] + 0.02, 0, 5)] = True
    for rank in range(2):
        must[rows, 1 + nearest[:, 1:5].argsort(1)[:, rank]] = True
    return must


def thin_there(obj: GraspObject, places: torch.Tensor, pads: torch.Tensor) -> torch.Tensor:
    """(B,) bool: the object is a thin wall where the pads (B, pads, 3) that should touch are."""
    near = torch.cdist(places.flatten(0, 1), obj.points).argmin(1).reshape(pads.shape)
    share = pads / pads.sum(1, keepdim=True).clamp_min(1e-6)
    return (share * (obj.thickness[near] < THIN)).sum(1) > 0.25


def ways_out(closer: Closer, obj: GraspObject, poses: Poses) -> Poses:
    """Each pose moved back and opened just so far that its flesh is hardly in the object and no bone crosses it.

    All pairs of a step and a share of `OPEN` are tried. Steps lead along the mean normal of the surface where the hand
    is in it, toward the back of the hand, and from the fingers to the wrist, each as far as `BACK` says.
    """
    count, probe = len(poses), closer.probe
    opened = torch.stack([poses.dofs * (1 - share * closer_bends()) for share in OPEN], 1)
    many = replace(poses, rotation=repeated(poses.rotation), wrist=repeated(poses.wrist), dofs=opened.flatten(0, 1),
                   template=opened.flatten(0, 1), types=("",) * (count * len(OPEN)))
    with torch.no_grad():
        flesh = closer.points(many)[:, probe.spheres].unflatten(0, (count, len(OPEN)))
        joints = keypoints(closer, many).unflatten(0, (count, len(OPEN)))
        distance, outward = obj.grid.query(flesh[:, 0])
        steps = directions(poses, (0.9 * probe.radii - distance).relu(), outward)
        distance = obj.grid.query(flesh[:, :, None] + steps[:, None, :, None])[0]
        deep = 100 * (0.8 * probe.radii - distance).relu()
        bones = bones_crossing(obj, (joints[:, :, None] + steps[:, None, :, None]).flatten(0, 2)).reshape(deep.shape[:3])
        far = (100 * steps).square().sum(-1)[:, None]
        cost = (deep.square().sum(-1) + 4.0 * bones + 0.25 * far + 3 * torch.tensor(OPEN).square()[None, :, None])
        best = cost.flatten(1).argmin(1)
    rows, width = torch.arange(count), steps.shape[1]
    return replace(poses, wrist=poses.wrist + steps[rows, best % width], dofs=opened[rows, best // width])


def repeated(values: torch.Tensor) -> torch.Tensor:
    return values.repeat_interleave(len(OPEN), 0)


def closer_bends() -> torch.Tensor:
    """(21,) 1 for the degrees of freedom that bend."""
    bends = torch.zeros(21)
    bends[list(BENDS)] = 1.0
    return bends


def directions(poses: Poses, weight: torch.Tensor, outward: torch.Tensor) -> torch.Tensor:
    """(B, 1 + 3 x len(BACK), 3) steps in metres, the first none."""
    normal = torch.nn.functional.normalize((weight[..., None] * outward).sum(1), dim=1)
    ways = torch.stack([normal, poses.rotation[:, :, 1], poses.rotation[:, :, 0]], 1)
    steps = (ways[:, :, None] * torch.tensor(BACK)[:, None]).flatten(1, 2)
    return torch.cat([torch.zeros_like(steps[:, :1]), steps], 1)


def keypoints(closer: Closer, poses: Poses) -> torch.Tensor:
    """(B, 21, 3) joints and tips without correctives, object frame."""
    transforms = closer.transforms(poses.dofs)
    probe, hand = closer.probe, closer.hand
    tips = hand.rest(closer.betas)[0][0, hand.tip_vertices] - probe.wrist
    joint = torch.tensor([15, 3, 6, 12, 9])
    rest = torch.cat([probe.joints, tips])
    moving = transforms[:, torch.cat([torch.arange(16), joint])]
    local = (moving[:, :, :3, :3] @ rest[..., None])[..., 0] + moving[:, :, :3, 3]
    return local @ poses.rotation.transpose(1, 2) + poses.wrist[:, None]
