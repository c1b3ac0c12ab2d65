"""Where hands are tried: templates laid on surface points, rods and rims of the object, ranked on its distance grid."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch

from core.fitting.energy import Poses
from core.grasps.intents import Purpose
from core.grasps.taxonomy import TYPES, GraspType, Template, templates
from core.objects.features import rims, rods
from core.rotations import axis_angle_to_matrix, frame_from

if TYPE_CHECKING:
    from core.fitting.energy import GraspEnergy
    from core.grasps.request import GraspRequest
    from core.objects import GraspObject

MOST_SCORE = 1.6  # a start whose pads are farther than this (cm, and sunk spheres) seldom closes
NO_WALL = 0.5  # metres: thickness where a ray through the object hits nothing
#: How far fingers that differ from their template's bend all together, more toward one side, and spread; the thumb's
#: joints. Radians, one standard deviation.
TOGETHER, TO_ONE_SIDE, SPREAD, THUMB = 0.2, 0.14, 0.1, 0.12


@dataclass(frozen=True)
class GraspSites:
    """G places to hold: centre (G, 3), facing (G, 3) unit outward, second (G, 3), width (G,) metres.

    `second` is the body's long axis, or, where `by_approach`, the way the hand must come from.
    """

    centre: torch.Tensor
    facing: torch.Tensor
    second: torch.Tensor
    width: torch.Tensor
    by_approach: bool = False

    def __getitem__(self, rows: torch.Tensor) -> GraspSites:
        return GraspSites(self.centre[rows], self.facing[rows], self.second[rows], self.width[rows], self.by_approach)


def outer_width(obj: GraspObject, reach: float = 0.15) -> torch.Tensor:
    """(N,) metres from each of the object's points, along its inward normal, to the far outside of the object."""
    far = (obj.points - reach * obj.normals).double().numpy()
    hit, _ = obj.surface.first_hit(far, obj.normals.double().numpy())
    width = reach - torch.as_tensor(hit).float()
    return torch.where(torch.isfinite(width) & (width > 0.001), width, obj.thickness)


class StartSampler:
    """Finds starts on one object for one hand; surface points, rods and rims are found once.

    With a `variety` each hand's fingers differ from its template by so many times `other_fingers`.
    """

    def __init__(self, obj: GraspObject, closer: GraspEnergy, request: GraspRequest, rng: torch.Generator,
                 variety: float = 0.0) -> None:
        self.obj, self.closer, self.request, self.rng, self.variety = obj, closer, request, rng, variety
        self.span = outer_width(obj)
        self.purpose = Purpose(obj, request.intent)
        self.places = self.purpose.allowed.nonzero()[:, 0]
        many = 96 if len(self.places) == len(obj.points) else 288
        self.rods = self._allowed(rods(obj, many, rng))
        self.rims = self._allowed(rims(obj, many, rng))
        # Enough for where the palm is and where it points, which the fingers' angles do not change.
        joints = closer.probe.joints
        self.rest_joints = torch.cat([joints - joints[0], torch.zeros(5, 3)])

    def _allowed(self, points: Any) -> Any:
        """Those of rod or rim points that lie on parts where a hand may be laid."""
        rows = self.purpose.may_lie(points.points).nonzero()[:, 0]
        return replace(points, **{field.name: getattr(points, field.name)[rows] for field in fields(points)})

    def usable(self) -> list[GraspType]:
        """The types whose widths occur on the object; a type the animator asked for is always tried."""
        if self.request.type != "any":
            return [grasp_type for grasp_type in TYPES if grasp_type.name == self.request.type]
        return self.purpose.fitting([t for t in TYPES if sum(len(g.width) for g in self._grips(t, 64, gate=True)) >= 8])

    def make(self, count: int, kinds: list[GraspType], sample: int = 72) -> Poses:
        """`count` starts shared among `kinds`, the best-ranked first within each, the kinds taking turns."""
        total = sum(kind.share for kind in kinds)
        lists: list[list[tuple[float, Poses]]] = []
        for kind in kinds:
            wanted = max(1, round(1.25 * count * kind.share / total))
            lists.append(self._best(kind, wanted, sample))
        order = torch.randperm(len(lists), generator=self.rng).tolist()
        picked: list[Poses] = []
        depth = 0
        while len(picked) < count and any(depth < len(row) for row in lists):
            picked += [lists[i][depth][1] for i in order if depth < len(lists[i])]
            depth += 1
        if not picked:
            raise LookupError("no place on this object fits a hand")
        return Poses.cat(picked[:count])

    def chosen(self, poses: Poses, count: int) -> Poses:
        """Up to `count` starts made elsewhere, no two nearly alike: the best of each type, the types taking turns."""
        score = self._misfit(self.closer.points(poses), self.closer._pad_weights(poses.types))
        rows: list[list[int]] = []
        for kind in dict.fromkeys(poses.types):
            mine = torch.tensor([name == kind for name in poses.types]).nonzero()[:, 0]
            rows.append(mine[self._spread(score[mine], poses.rotation[mine], poses.wrist[mine], count)].tolist())
        turns = [row[depth] for depth in range(count) for row in rows if depth < len(row)]
        return poses[torch.tensor(turns[:count], dtype=torch.long)]

    # --- places -----------------------------------------------------------------------------------------------------

    def _grips(self, kind: GraspType, sample: int, gate: bool) -> list[GraspSites]:
        found = []
        if "surface" in kind.grips or not len(self.rods.points):
            found.append(self._disc_grips(sample) if kind.ideal == "disc" else self._surface_grips(sample))
        if "rod" in kind.grips and len(self.rods.points):
            found.append(self._rod_grips(sample))
        if "rim" in kind.grips and len(self.rims.points):
            found.append(self._rim_grips(sample))
        if self.purpose.intent != "any":
            found = [g[self.purpose.may_lie(g.centre).nonzero()[:, 0]] for g in found]
        if self.request.place is not None:
            found = [g[(g.centre - self.request.place).norm(dim=1) < 0.05 + g.width / 2] for g in found]
        if gate:
            low, high = kind.widths
            found = [g[(g.width >= low) & (g.width <= high)] for g in found]
        return found

    def _surface_grips(self, sample: int) -> GraspSites:
        rows = self.places[torch.randint(len(self.places), (4 * sample,), generator=self.rng)]
        normal = self.obj.normals[rows]
        # A cup is held by its wall or round its whole body.
        whole = torch.rand(len(rows), generator=self.rng) < 0.5
        width = torch.where(whole, self.span[rows], self.obj.thickness[rows]).clamp_max(NO_WALL)
        centre = self.obj.points[rows] - normal * width[:, None] / 2
        return GraspSites(centre, normal, self._tangents(normal), width)

    def _rod_grips(self, sample: int) -> GraspSites:
        rows = torch.randint(len(self.rods.points), (4 * sample,), generator=self.rng)
        axis = self.rods.axis[rows] * (1 - 2 * torch.randint(0, 2, (len(rows), 1), generator=self.rng))
        radius = self.rods.radius[rows].reshape(len(rows), -1).mean(1)
        facing = self._tangents(axis)
        # Round a hole the palm lies outside, so that the fingers go through it.
        inner = self.rods.inner[rows]
        outside = torch.nn.functional.normalize(facing - 2.0 * inner, dim=1)
        handle = (inner.norm(dim=1) > 0.5) & (torch.rand(len(rows), generator=self.rng) < 0.6)
        return GraspSites(self.rods.points[rows], torch.where(handle[:, None], outside, facing), axis, 2 * radius)

    def _rim_grips(self, sample: int) -> GraspSites:
        rows = torch.randint(len(self.rims.points), (4 * sample,), generator=self.rng)
        outward, across = self.rims.outward[rows], self.rims.across[rows]
        across = across * (1 - 2 * torch.randint(0, 2, (len(rows), 1), generator=self.rng))
        into = 0.004 + 0.022 * torch.rand(len(rows), 1, generator=self.rng)
        tilt = (torch.rand(len(rows), 1, generator=self.rng) - 0.5) * 1.2
        coming = -outward * tilt.cos() + self.rims.tangent[rows] * tilt.sin()
        return GraspSites(self.rims.points[rows] - outward * into, across, coming, self.rims.thickness[rows], True)

    def _disc_grips(self, sample: int) -> GraspSites:
        """Places to hold from above: the width is measured across, 12 mm under the surface."""
        rows = self.places[torch.randint(len(self.places), (4 * sample,), generator=self.rng)]
        normal = self.obj.normals[rows]
        inside = self.obj.points[rows] - 0.012 * normal
        across = self._tangents(normal)
        sides = torch.stack([self._march(inside, across), self._march(inside, -across)])
        other = torch.linalg.cross(normal, across)
        long = self._march(inside, other) + self._march(inside, -other)
        width = sides.sum(0)
        centre = inside + across * ((sides[0] - sides[1]) / 2)[:, None]
        width = torch.where(long < 0.6 * width, torch.zeros_like(width), width)  # a bar, not a disc
        return GraspSites(centre, normal, across, width)

    def _march(self, origin: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """(N,) metres from a point inside the object to its surface along a direction."""
        travelled = torch.zeros(len(origin))
        for _ in range(14):
            distance, _ = self.obj.grid.query(origin + travelled[:, None] * direction)
            travelled = travelled + (-distance).clamp_min(0)
        return travelled

    def _tangents(self, normal: torch.Tensor) -> torch.Tensor:
        """(N, 3) a random unit direction at right angles to each normal."""
        random = torch.randn(normal.shape, generator=self.rng)
        return torch.nn.functional.normalize(torch.linalg.cross(random, normal), dim=-1)

    # --- ranking ----------------------------------------------------------------------------------------------------

    def _best(self, kind: GraspType, wanted: int, sample: int) -> list[tuple[float, Poses]]:
        """Up to `wanted` starts of one type, best first, no two nearly alike."""
        knots = templates(kind.name, self.closer.hand.side)
        grips = [g for g in self._grips(kind, sample, gate=True) if len(g.width)]
        if not grips and self.request.type != "any":
            grips = [g for g in self._grips(kind, sample, gate=False) if len(g.width)]
        scored: list[tuple[torch.Tensor, ...]] = []
        for places in grips:
            places = places[torch.arange(min(len(places.width), 2 * sample))]
            nearest = (places.width[:, None] - torch.tensor([knot.width for knot in knots])).abs().argmin(1)
            for index, knot in enumerate(knots):
                mine = places[(nearest == index).nonzero()[:, 0]]
                if len(mine.width):
                    scored.append(self._score(kind, knot, mine))
        if not scored:
            return []
        score, rotation, wrist, dofs, template = (torch.cat(column) for column in zip(*scored, strict=True))
        return [(float(score[row]), Poses(rotation[row, None], wrist[row, None], dofs[row, None],
                                          template[row, None], (kind.name,)))
                for row in self._spread(score, rotation, wrist, wanted)]

    @staticmethod
    def _spread(score: torch.Tensor, rotation: torch.Tensor, wrist: torch.Tensor, most: int) -> list[int]:
        """Up to `most` rows of N hands, best first, no two nearly alike."""
        landmarks = rotation @ torch.tensor([[-0.09, -0.04, 0.0], [-0.02, 0.0, 0.04]]).T + wrist[..., None]
        chosen: list[int] = []
        for row in score.argsort().tolist():
            if score[row] > MOST_SCORE and len(chosen) >= 2:
                break
            if all((landmarks[row] - landmarks[other]).norm(dim=0).mean() > 0.022 for other in chosen):
                chosen.append(row)
            if len(chosen) >= most:
                break
        return chosen

    def _misfit(self, points: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(..., ) how far the pads are from the surface and the flesh in it, of the probe's points (..., P, 3).

        Args:
            weights: (..., pads) of each pad point, as `GraspEnergy` has them.
        """
        probe = self.closer.probe
        used = torch.cat([points[..., probe.pads, :], points[..., probe.spheres, :]], -2)
        distance, _ = self.obj.grid.query(used)
        distance = distance * 100
        pads = probe.pads.stop
        reach = (distance[..., :pads].abs().clamp_max(3.0) * weights).sum(-1) / weights.sum(-1)
        sunk = (0.8 * probe.radii * 100 - distance[..., pads:]).relu().square().sum(-1)
        return reach + 0.5 * sunk

    def _score(self, kind: GraspType, knot: Template, grips: GraspSites) -> tuple[torch.Tensor, ...]:
        """Lays one template on grips with small turns and shifts; the best of each grip, with a little noise."""
        count, tries = len(grips.width), 6
        hand_second = torch.nn.functional.normalize(knot.centre, dim=0) if grips.by_approach else knot.axis
        hand_frame = frame_from(knot.facing, hand_second)
        facing = grips.facing[:, None].expand(-1, tries, -1)
        second = grips.second[:, None].expand(-1, tries, -1)
        wobble = 0.25 * torch.randn(count, tries, 3, generator=self.rng)
        if not grips.by_approach and kind.ideal in ("sphere", "disc"):
            roll = 2 * torch.pi * torch.rand(count, tries, 1, generator=self.rng)
            wobble = wobble * 0.6 + facing * roll
        turn = axis_angle_to_matrix(wobble)
        rotation = turn @ (frame_from(facing, second) @ hand_frame.T)
        away = torch.rand(count, tries, 1, generator=self.rng) * torch.tensor([0.0, 0.6, 1.0, 0.3, 1.4, 0.1])[:, None]
        shift = facing * 0.008 * (away - 0.2)
        along = 0.012 * torch.randn(count, tries, 1, generator=self.rng) * (rotation @ hand_second[:, None])[..., 0]
        wrist = grips.centre[:, None] + shift + along - rotation @ knot.centre
        jitter = 0.09 * torch.randn(count, tries, 21, generator=self.rng)
        local = self.closer.points(Poses(torch.eye(3)[None], torch.zeros(1, 3), knot.dofs[None], knot.dofs[None],
                                         (kind.name,)))[0]
        probe = self.closer.probe
        weights = self.closer._pad_weights((kind.name,))[0]
        pads = weights.nonzero()[:, 0]
        used = torch.cat([local[pads], local[probe.spheres]])
        points = used @ rotation.transpose(-1, -2) + wrist[..., None, :]
        distance, _ = self.obj.grid.query(points.reshape(-1, 3))
        distance = distance.reshape(count, tries, -1) * 100
        reach = (distance[..., : len(pads)].abs().clamp_max(3.0) * weights[pads]).sum(-1) / weights.sum()
        sunk = (0.8 * probe.radii * 100 - distance[..., len(pads):]).relu().square().sum(-1)
        score = reach + 0.5 * sunk + 0.15 * torch.rand(count, tries, generator=self.rng)
        if self.request.approach is not None:
            heading = torch.nn.functional.normalize(grips.centre[:, None] - wrist, dim=-1)
            score = score + 2 * (1 - heading @ self.request.approach)
        if self.purpose.toward is not None or self.purpose.up is not None:
            joints = (rotation[..., None, :, :] @ self.rest_joints[..., None]).reshape(-1, 21, 3)
            joints = joints + wrist.reshape(-1, 1, 3)
            wrong = self.purpose.steep(joints) + (self.purpose.across(joints) if kind.power else 0)
            score = score + 3 * wrong.reshape(count, tries)
        best = score.argmin(1)
        rows = torch.arange(count)
        limits = self.closer.limits
        template = knot.dofs.expand(count, -1)
        if self.variety:
            template = template + self.variety * other_fingers(count, self.rng)
        dofs = torch.minimum(torch.maximum(template + jitter[rows, best], limits[:, 0]), limits[:, 1])
        # The jittered posture is also what the fingers are drawn to: no two grasps of a type are the same hand.
        return score[rows, best], rotation[rows, best], wrist[rows, best], dofs, 0.5 * (dofs + template)


def other_fingers(count: int, rng: torch.Generator) -> torch.Tensor:
    """(count, 21) radians by which natural hands in one grasp differ: fingers move with their neighbours."""
    side = torch.linspace(-1, 1, 4)  # from the index to the little finger
    knuckle, knuckle_side, middle, middle_side, spread = torch.randn(5, count, 1, generator=rng)
    bend = TOGETHER * knuckle + TO_ONE_SIDE * side * knuckle_side
    pip = TOGETHER * middle + TO_ONE_SIDE * side * middle_side
    fingers = torch.stack([bend, SPREAD * side * spread, pip, 2 / 3 * pip], 2).flatten(1)
    return torch.cat([fingers, THUMB * torch.randn(count, 5, generator=rng)], 1)
