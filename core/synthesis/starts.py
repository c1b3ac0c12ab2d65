"""Where hands are tried: templates laid on surface points, rods and rims of the object, ranked on its distance grid."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeVar

import torch

from core.fitting.poses import Poses
from core.grasps.intents import Purpose
from core.grasps.taxonomy import TYPES, GraspType, Template, templates
from core.objects.features import rims, rods
from core.quality.diversity import distinct
from core.rotations import axis_angle_to_matrix, frame_from

if TYPE_CHECKING:
    from core.fitting.energy import GraspEnergy
    from core.grasps.request import GraspRequest
    from core.objects import GraspObject
    from core.objects.features import RimPoints, RodPoints

    Features = TypeVar("Features", RodPoints, RimPoints)


@dataclass(frozen=True)
class StartConfig:
    """How starts are drawn and ranked. Lengths in metres unless they say cm.

    Attributes:
        most_cost: of a start that is worth closing (cm, and squared cm of sunk spheres); two of a type are always
            tried.
        no_wall: thickness where a ray through the object hits nothing.
        whole_share: of surface sites that are held by the whole body, not by its wall.
        handle_share: of rod sites by a hole at which the palm lies outside.
        disc_depth: under the surface at which a disc's width is measured.
        bar: of a disc's width that its other width must have at least, or it is a bar.
        rim_into: depth of a site under the rim, least and range.
        rim_tilt: radians, range of the tilts of a hand on a rim.
        tries: turns and shifts tried at each site.
        turn: radians of those turns, one standard deviation.
        shift: metres off the site.
        along: metres along the template's second direction, one standard deviation.
        jitter: radians of the joint angles, one standard deviation.
        noise: cost, at most, that is added at random.
        surplus: starts of a type for each that is wanted of it.
        near: mean distance of two landmarks from which two starts differ.
        near_place: from a place that was asked for, and half the site's width, within which sites are.
    """

    most_cost: float = 1.6
    no_wall: float = 0.5
    whole_share: float = 0.5
    handle_share: float = 0.6
    disc_depth: float = 0.012
    bar: float = 0.6
    rim_into: tuple[float, float] = (0.004, 0.022)
    rim_tilt: float = 1.2
    tries: int = 6
    turn: float = 0.25
    shift: float = 0.008
    along: float = 0.012
    jitter: float = 0.09
    noise: float = 0.15
    surplus: float = 1.25
    near: float = 0.022
    near_place: float = 0.05


@dataclass(frozen=True)
class FingerVariety:
    """How fingers that differ from their template bend; radians, one standard deviation.

    Attributes:
        together: all four alike.
        sideways: more toward the index or the little finger.
        spread: apart.
        thumb: each of the thumb's joints.
        dip_per_pip: bend of the last joint for that of the middle one: one tendon bends both.
    """

    together: float = 0.2
    sideways: float = 0.14
    spread: float = 0.1
    thumb: float = 0.12
    dip_per_pip: float = 2 / 3


CONFIG: Final = StartConfig()
VARIETY: Final = FingerVariety()


@dataclass(frozen=True)
class GraspSites:
    """G places to hold, in the object's frame.

    Attributes:
        centre: (G, 3) metres.
        outward: (G, 3) unit, the side that the palm is on.
        second: (G, 3) unit, the body's long axis, or, where `by_approach`, the way the hand must come from.
        width: (G,) metres.
        by_approach: what `second` is.
    """

    centre: torch.Tensor
    outward: torch.Tensor
    second: torch.Tensor
    width: torch.Tensor
    by_approach: bool = False

    def __getitem__(self, rows: torch.Tensor) -> GraspSites:
        return GraspSites(self.centre[rows], self.outward[rows], self.second[rows], self.width[rows], self.by_approach)

    def __len__(self) -> int:
        return len(self.width)


def outer_width(obj: GraspObject, reach: float = 0.15) -> torch.Tensor:
    """The width of the object from each of its points, holes and hollows included.

    Args:
        obj: the object.
        reach: metres along the inward normal within which the far outside is looked for.

    Returns:
        (N,) metres; the thickness of the wall where no far outside is in reach.
    """
    far = (obj.points - reach * obj.normals).double().numpy()
    hit, _ = obj.surface.first_hit(far, obj.normals.double().numpy())
    width = reach - torch.as_tensor(hit).float()
    return torch.where(torch.isfinite(width) & (width > 0.001), width, obj.thickness)


class StartSampler:
    """Samples starts on one object for one hand; surface points, rods and rims are found once.

    Args:
        obj: the object.
        energy: of the hand on it, on the processor.
        request: its type, place, approach and intent.
        rng: all that is random comes from it.
        variety: each hand's fingers differ from its template by so many times `sample_finger_variety`.

    Attributes:
        obj: the object.
        energy: of the hand on it.
        purpose: the intent on the object.
    """

    def __init__(self, obj: GraspObject, energy: GraspEnergy, request: GraspRequest, rng: torch.Generator,
                 variety: float = 0.0) -> None:
        self.obj, self.energy, self._request, self._rng, self._variety = obj, energy, request, rng, variety
        self._outer_width = outer_width(obj)
        self.purpose = Purpose(obj, request.intent)
        self._allowed_points = self.purpose.allowed.nonzero()[:, 0]
        many = 96 if len(self._allowed_points) == len(obj.points) else 288
        self._rods = self._allowed(rods(obj, many, rng))
        self._rims = self._allowed(rims(obj, many, rng))
        # Enough for where the palm is and where it points, which the fingers' angles do not change.
        joints = energy.hand_points.joints
        self._rest_joints = torch.cat([joints - joints[0], torch.zeros(5, 3)])

    def _allowed(self, features: Features) -> Features:
        """Those rods or rims that lie on parts where a hand may be laid."""
        rows = self.purpose.may_lie(features.points).nonzero()[:, 0]
        return replace(features, **{field.name: getattr(features, field.name)[rows] for field in fields(features)})

    def usable(self) -> list[GraspType]:
        """The types whose widths occur on the object; a type the animator asked for is always tried."""
        if self._request.type != "any":
            return [grasp_type for grasp_type in TYPES if grasp_type.name == self._request.type]
        return self.purpose.suitable_types([
            grasp_type for grasp_type in TYPES
            if sum(len(sites) for sites in self._sites(grasp_type, 64, gate=True)) >= 8])

    def sample(self, count: int, types: list[GraspType], sites: int = 72) -> Poses:
        """Starts shared among types, the best-ranked first within each, the types taking turns.

        Args:
            count: of starts.
            types: of the taxonomy.
            sites: of each kind, of each type, that are ranked.

        Returns:
            `count` poses, or fewer where there are not so many.

        Raises:
            LookupError: there is none.
        """
        total = sum(grasp_type.share for grasp_type in types)
        lists: list[list[Poses]] = []
        for grasp_type in types:
            wanted = max(1, round(CONFIG.surplus * count * grasp_type.share / total))
            lists.append(self._best(grasp_type, wanted, sites))
        order = torch.randperm(len(lists), generator=self._rng).tolist()
        picked: list[Poses] = []
        depth = 0
        while len(picked) < count and any(depth < len(row) for row in lists):
            picked += [lists[i][depth] for i in order if depth < len(lists[i])]
            depth += 1
        if not picked:
            raise LookupError("no place on this object fits a hand")
        return Poses.cat(picked[:count])

    def best_of(self, poses: Poses, count: int) -> Poses:
        """Up to `count` starts made elsewhere, no two nearly alike: the best of each type, the types taking turns."""
        cost = self._misfit(self.energy.points(poses), self.energy.contact_targets(poses.types))
        rows: list[list[int]] = []
        for name in dict.fromkeys(poses.types):
            mine = torch.tensor([other == name for other in poses.types]).nonzero()[:, 0]
            rows.append(mine[self._distinct(cost[mine], poses.rotation[mine], poses.wrist[mine], count)].tolist())
        turns = [row[depth] for depth in range(count) for row in rows if depth < len(row)]
        return poses[torch.tensor(turns[:count], dtype=torch.long)]

    # --- sites ------------------------------------------------------------------------------------------------------

    def _sites(self, grasp_type: GraspType, sample: int, gate: bool) -> list[GraspSites]:
        """Sites of each kind that the type is for; with `gate`, of a width that it is for."""
        found = []
        if "surface" in grasp_type.start_points or not len(self._rods.points):
            found.append(self._disc_sites(sample) if grasp_type.ideal == "disc" else self._surface_sites(sample))
        if "rod" in grasp_type.start_points and len(self._rods.points):
            found.append(self._rod_sites(sample))
        if "rim" in grasp_type.start_points and len(self._rims.points):
            found.append(self._rim_sites(sample))
        if self.purpose.intent != "any":
            found = [sites[self.purpose.may_lie(sites.centre).nonzero()[:, 0]] for sites in found]
        if self._request.place is not None:
            found = [sites[(sites.centre - self._request.place).norm(dim=1) < CONFIG.near_place + sites.width / 2]
                     for sites in found]
        if gate:
            low, high = grasp_type.widths
            found = [sites[(sites.width >= low) & (sites.width <= high)] for sites in found]
        return found

    def _surface_sites(self, sample: int) -> GraspSites:
        rows = self._allowed_points[torch.randint(len(self._allowed_points), (4 * sample,), generator=self._rng)]
        normal = self.obj.normals[rows]
        # A cup is held by its wall or round its whole body.
        whole = torch.rand(len(rows), generator=self._rng) < CONFIG.whole_share
        width = torch.where(whole, self._outer_width[rows], self.obj.thickness[rows]).clamp_max(CONFIG.no_wall)
        centre = self.obj.points[rows] - normal * width[:, None] / 2
        return GraspSites(centre, normal, self._tangents(normal), width)

    def _rod_sites(self, sample: int) -> GraspSites:
        rows = torch.randint(len(self._rods.points), (4 * sample,), generator=self._rng)
        axis = self._rods.axis[rows] * (1 - 2 * torch.randint(0, 2, (len(rows), 1), generator=self._rng))
        radius = self._rods.radius[rows].reshape(len(rows), -1).mean(1)
        outward = self._tangents(axis)
        # Round a hole the palm lies outside, so that the fingers go through it.
        inner = self._rods.inner[rows]
        outside = torch.nn.functional.normalize(outward - 2.0 * inner, dim=1)
        handle = (inner.norm(dim=1) > 0.5) & (torch.rand(len(rows), generator=self._rng) < CONFIG.handle_share)
        return GraspSites(self._rods.points[rows], torch.where(handle[:, None], outside, outward), axis, 2 * radius)

    def _rim_sites(self, sample: int) -> GraspSites:
        rows = torch.randint(len(self._rims.points), (4 * sample,), generator=self._rng)
        outward, across = self._rims.outward[rows], self._rims.across[rows]
        across = across * (1 - 2 * torch.randint(0, 2, (len(rows), 1), generator=self._rng))
        least, span = CONFIG.rim_into
        into = least + span * torch.rand(len(rows), 1, generator=self._rng)
        tilt = (torch.rand(len(rows), 1, generator=self._rng) - 0.5) * CONFIG.rim_tilt
        coming = -outward * tilt.cos() + self._rims.tangent[rows] * tilt.sin()
        return GraspSites(self._rims.points[rows] - outward * into, across, coming, self._rims.thickness[rows], True)

    def _disc_sites(self, sample: int) -> GraspSites:
        """Places to hold from above: the width is measured across, a little under the surface."""
        rows = self._allowed_points[torch.randint(len(self._allowed_points), (4 * sample,), generator=self._rng)]
        normal = self.obj.normals[rows]
        inside = self.obj.points[rows] - CONFIG.disc_depth * normal
        across = self._tangents(normal)
        sides = torch.stack([self._march(inside, across), self._march(inside, -across)])
        other = torch.linalg.cross(normal, across)
        long = self._march(inside, other) + self._march(inside, -other)
        width = sides.sum(0)
        centre = inside + across * ((sides[0] - sides[1]) / 2)[:, None]
        width = torch.where(long < CONFIG.bar * width, torch.zeros_like(width), width)
        return GraspSites(centre, normal, across, width)

    def _march(self, origin: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """(N,) metres from points (N, 3) inside the object to its surface along unit directions (N, 3)."""
        travelled = torch.zeros(len(origin))
        for _ in range(14):
            distance, _ = self.obj.grid.query(origin + travelled[:, None] * direction)
            travelled = travelled + (-distance).clamp_min(0)
        return travelled

    def _tangents(self, normal: torch.Tensor) -> torch.Tensor:
        """(N, 3) a random unit direction at right angles to each normal (N, 3)."""
        random = torch.randn(normal.shape, generator=self._rng)
        return torch.nn.functional.normalize(torch.linalg.cross(random, normal), dim=-1)

    # --- ranking ----------------------------------------------------------------------------------------------------

    def _best(self, grasp_type: GraspType, wanted: int, sample: int) -> list[Poses]:
        """Up to `wanted` starts of one type, each a batch of one, best first, no two nearly alike."""
        knots = templates(grasp_type.name, self.energy.hand.side)
        found = [sites for sites in self._sites(grasp_type, sample, gate=True) if len(sites)]
        if not found and self._request.type != "any":
            found = [sites for sites in self._sites(grasp_type, sample, gate=False) if len(sites)]
        ranked: list[tuple[torch.Tensor, Poses]] = []
        for sites in found:
            sites = sites[torch.arange(min(len(sites), 2 * sample))]
            nearest = (sites.width[:, None] - torch.tensor([knot.width for knot in knots])).abs().argmin(1)
            for index, knot in enumerate(knots):
                mine = sites[(nearest == index).nonzero()[:, 0]]
                if len(mine):
                    ranked.append(self._lay(grasp_type, knot, mine))
        if not ranked:
            return []
        cost, poses = torch.cat([some for some, _ in ranked]), Poses.cat([some for _, some in ranked])
        rows = self._distinct(cost, poses.rotation, poses.wrist, wanted)
        return [poses[torch.tensor([row])] for row in rows]

    @staticmethod
    def _distinct(cost: torch.Tensor, rotation: torch.Tensor, wrist: torch.Tensor, most: int) -> list[int]:
        """Up to `most` rows of N hands, best first, no two nearly alike."""
        landmarks = rotation @ torch.tensor([[-0.09, -0.04, 0.0], [-0.02, 0.0, 0.04]]).T + wrist[..., None]
        chosen: list[int] = []
        for row in distinct(cost.argsort().tolist(), lambda row, other: bool(
                (landmarks[row] - landmarks[other]).norm(dim=0).mean() > CONFIG.near)):
            if cost[row] > CONFIG.most_cost and len(chosen) >= 2:
                break
            chosen.append(row)
            if len(chosen) >= most:
                break
        return chosen

    def _misfit(self, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """How far the contact candidates are from the surface, and the flesh in it.

        Args:
            points: (..., P, 3) sample points of hands, metres, object frame.
            targets: (..., C) as `GraspEnergy` has them.

        Returns:
            (...,) cm, and squared cm of sunk spheres.
        """
        hand_points = self.energy.hand_points
        used = torch.cat([points[..., hand_points.candidates, :], points[..., hand_points.spheres, :]], -2)
        return self._misfit_of(self.obj.grid.query(used)[0] * 100, targets, targets.sum(-1))

    def _misfit_of(self, distance: torch.Tensor, targets: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        """(...,) `_misfit` by distances (..., C + S) in cm, of candidates with `targets` (..., C), then of spheres.

        `total` (...,) is the sum of the targets.
        """
        count = targets.shape[-1]
        reach = (distance[..., :count].abs().clamp_max(3.0) * targets).sum(-1) / total
        sunk = (0.8 * self.energy.hand_points.radii * 100 - distance[..., count:]).relu().square().sum(-1)
        return reach + 0.5 * sunk

    def _lay(self, grasp_type: GraspType, knot: Template, sites: GraspSites) -> tuple[torch.Tensor, Poses]:
        """One template laid on G sites with small turns and shifts: (G,) the least cost at each, and its pose."""
        count, tries, rng = len(sites), CONFIG.tries, self._rng
        hand_second = torch.nn.functional.normalize(knot.centre, dim=0) if sites.by_approach else knot.axis
        hand_frame = frame_from(knot.facing, hand_second)
        outward = sites.outward[:, None].expand(-1, tries, -1)
        second = sites.second[:, None].expand(-1, tries, -1)
        wobble = CONFIG.turn * torch.randn(count, tries, 3, generator=rng)
        if not sites.by_approach and grasp_type.ideal in ("sphere", "disc"):
            roll = 2 * torch.pi * torch.rand(count, tries, 1, generator=rng)
            wobble = wobble * 0.6 + outward * roll
        turn = axis_angle_to_matrix(wobble)
        rotation = turn @ (frame_from(outward, second) @ hand_frame.T)
        away = torch.rand(count, tries, 1, generator=rng) * torch.tensor([0.0, 0.6, 1.0, 0.3, 1.4, 0.1])[:, None]
        shift = outward * CONFIG.shift * (away - 0.2)
        along = CONFIG.along * torch.randn(count, tries, 1, generator=rng) * (rotation @ hand_second[:, None])[..., 0]
        wrist = sites.centre[:, None] + shift + along - rotation @ knot.centre
        jitter = CONFIG.jitter * torch.randn(count, tries, 21, generator=rng)
        local = self.energy.points(Poses(torch.eye(3)[None], torch.zeros(1, 3), knot.dofs[None], knot.dofs[None],
                                         (grasp_type.name,)))[0]
        targets = self.energy.contact_targets((grasp_type.name,))[0]
        candidates = targets.nonzero()[:, 0]
        used = torch.cat([local[candidates], local[self.energy.hand_points.spheres]])
        points = used @ rotation.transpose(-1, -2) + wrist[..., None, :]
        distance, _ = self.obj.grid.query(points.reshape(-1, 3))
        misfit = self._misfit_of(distance.reshape(count, tries, -1) * 100, targets[candidates], targets.sum())
        cost = misfit + CONFIG.noise * torch.rand(count, tries, generator=rng)
        if self._request.approach is not None:
            heading = torch.nn.functional.normalize(sites.centre[:, None] - wrist, dim=-1)
            cost = cost + 2 * (1 - heading @ self._request.approach)
        if self.purpose.toward is not None or self.purpose.up is not None:
            joints = (rotation[..., None, :, :] @ self._rest_joints[..., None]).reshape(-1, 21, 3)
            joints = joints + wrist.reshape(-1, 1, 3)
            wrong = self.purpose.steep(joints) + (self.purpose.across(joints) if grasp_type.power else 0)
            cost = cost + 3 * wrong.reshape(count, tries)
        best = cost.argmin(1)
        rows = torch.arange(count)
        template = knot.dofs.expand(count, -1)
        if self._variety:
            template = template + self._variety * sample_finger_variety(count, rng)
        dofs = self.energy.hand.clamp_dofs(template + jitter[rows, best])
        # The jittered posture is also what the fingers are drawn to: no two grasps of a type are the same hand.
        return cost[rows, best], Poses(rotation[rows, best], wrist[rows, best], dofs, 0.5 * (dofs + template),
                                       (grasp_type.name,) * count)


def sample_finger_variety(count: int, rng: torch.Generator) -> torch.Tensor:
    """(count, 21) radians by which natural hands in one grasp differ: fingers move with their neighbours."""
    side = torch.linspace(-1, 1, 4)  # from the index to the little finger
    knuckle, knuckle_side, middle, middle_side, spread = torch.randn(5, count, 1, generator=rng)
    bend = VARIETY.together * knuckle + VARIETY.sideways * side * knuckle_side
    pip = VARIETY.together * middle + VARIETY.sideways * side * middle_side
    fingers = torch.stack([bend, VARIETY.spread * side * spread, pip, VARIETY.dip_per_pip * pip], 2).flatten(1)
    return torch.cat([fingers, VARIETY.thumb * torch.randn(count, 5, generator=rng)], 1)
