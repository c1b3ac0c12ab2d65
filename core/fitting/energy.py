"""Closing a hand on an object: three stages of gradient descent over the wrist and 21 finger angles.

Stage A moves the wrist with the template's fingers, B the fingers too, C reads the whole skin with its correctives.
Lengths inside the energy are in centimetres; the object is read through its distance grid.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import huber_loss

from core.grasps.batch import Grasps
from core.grasps.taxonomy import BY_NAME
from core.hand.skin import SkinRows, vertex_area, vertex_normals
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.fitting.hand_points import HandPoints
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class Weights:
    """The terms of the energy."""

    contact: float = 2.0
    touch: float = 2.0
    facing: float = 0.15
    penetration: float = 6.0
    closure: float = 5.0
    prior: float = 0.6
    crowding: float = 15.0
    coupling: float = 0.5
    alike: float = 0.4
    flesh: float = 8.0
    limits: float = 20.0


@dataclass(frozen=True)
class Stage:
    """Steps and learning rates (radians, centimetres, radians) of one stage; `memory` is Adam's second beta."""

    steps: int
    rotation: float
    translation: float
    joints: float
    whole_skin: bool = False
    memory: float = 0.98


STAGES = (
    Stage(36, 0.03, 0.12, 0.0),
    Stage(64, 0.02, 0.07, 0.04),
    Stage(32, 0.006, 0.025, 0.012, whole_skin=True),
)
# For the first candidates, which should be seen soon.
QUICK = (
    Stage(24, 0.04, 0.15, 0.0),
    Stage(40, 0.025, 0.08, 0.05),
    Stage(22, 0.007, 0.028, 0.014, whole_skin=True),
)
# Where contact is aimed, cm: half a millimetre inside, as soft skin gives; on thin walls just off them.
AIM, AIM_THIN = 0.05, -0.01
# Depth, cm, that the last stage lets pass.
GIVE, GIVE_THIN = 0.02, 0.02
THIN = 0.004  # metres
#: metres from the object within which skin is looked after in the last stage: farther than it moves there
NEAR = 0.02


class Adam:
    """Kingma and Ba's Adam (2015, algorithm 1), a rate for each variable.

    Not torch.optim's: constructing that one imports torch's compiler, 1.3 s before the first grasp.
    """

    def __init__(self, variables: list[tuple[torch.Tensor, float]], beta1: float = 0.9, beta2: float = 0.98) -> None:
        self.variables = [(variable, rate) for variable, rate in variables if rate > 0]
        self.beta1, self.beta2, self.steps = beta1, beta2, 0
        self.first = [torch.zeros_like(variable) for variable, _ in self.variables]
        self.second = [torch.zeros_like(variable) for variable, _ in self.variables]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One step at `factor` times the rates; clears the gradients."""
        self.steps += 1
        for (variable, rate), first, second in zip(self.variables, self.first, self.second, strict=True):
            gradient = torch.nan_to_num(variable.grad)
            first.lerp_(gradient, 1 - self.beta1)
            second.lerp_(gradient.square(), 1 - self.beta2)
            mean = first / (1 - self.beta1**self.steps)
            spread = (second / (1 - self.beta2**self.steps)).sqrt() + 1e-8
            variable -= factor * rate * mean / spread
            variable.grad = None


def through_wall(distance: torch.Tensor, outward: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """(B, K) cm by which skin has come out on a thin wall's far side.

    There the nearest surface faces the way the skin does; the wall lies behind, so getting farther from that surface
    is getting deeper.

    Args:
        distance: (B, K) cm. outward: (B, K, 3) the object's normals. normals: (B, K, 3) the skin's.
    """
    beyond = ((normals * outward).sum(-1) > 0.4).detach() & (distance > -0.02) & (distance < 0.2)
    return torch.where(beyond, (distance + 0.1).clamp_min(0), torch.zeros_like(distance))


def best_of_each(types: tuple[str, ...], energy: torch.Tensor, keep: float) -> torch.Tensor:
    """Rows, in order, of the best `keep` share of each type (at least one): types' energies do not compare."""
    rows: list[int] = []
    known = energy.tolist()
    for name in dict.fromkeys(types):
        mine = [i for i, other in enumerate(types) if other == name]
        mine.sort(key=known.__getitem__)
        rows += mine[: max(1, math.ceil(len(mine) * keep))]
    return torch.tensor(sorted(rows))


@dataclass(frozen=True)
class Poses:
    """B hands on their way: rotation (B, 3, 3), wrist (B, 3) metres, dofs (B, 21), the templates' dofs, type names."""

    rotation: torch.Tensor
    wrist: torch.Tensor
    dofs: torch.Tensor
    template: torch.Tensor
    types: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.wrist)

    def __getitem__(self, rows: torch.Tensor) -> Poses:
        return Poses(self.rotation[rows], self.wrist[rows], self.dofs[rows], self.template[rows],
                     tuple(self.types[i] for i in rows.tolist()))

    def to(self, device: torch.device | str) -> Poses:
        return Poses(self.rotation.to(device), self.wrist.to(device), self.dofs.to(device), self.template.to(device),
                     self.types)

    @staticmethod
    def cat(poses: list[Poses]) -> Poses:
        """All poses of all, in order."""
        return Poses(*(torch.cat([getattr(pose, name) for pose in poses])
                       for name in ("rotation", "wrist", "dofs", "template")),
                     tuple(name for pose in poses for name in pose.types))

    def with_rows(self, rows: torch.Tensor, others: Poses) -> Poses:
        """These poses, `others` in their place at `rows`; templates and types stay."""
        return replace(self, rotation=self.rotation.index_put((rows,), others.rotation),
                       wrist=self.wrist.index_put((rows,), others.wrist),
                       dofs=self.dofs.index_put((rows,), others.dofs))


class GraspEnergy:
    """Closes one hand shape on one object, on the device that the hand is on.

    Args:
        hand: the hand model. probe: its sample points, on the same device. betas: (10,) its shape.
        obj: the prepared object.
    """

    def __init__(self, hand: HandModel, probe: HandPoints, betas: torch.Tensor, obj: GraspObject,
                 weights: Weights | None = None) -> None:
        self.hand, self.probe, self.grid = hand, probe, obj.grid
        self.firm_probe = probe.pads_and_spheres()
        self.thin = bool((obj.thickness < THIN).float().mean() > 0.05)
        self.aim: torch.Tensor | float = AIM_THIN if self.thin else AIM
        self.give: torch.Tensor | float = GIVE_THIN if self.thin else GIVE
        self.betas = betas.reshape(1, 10)
        with torch.no_grad():
            rest = hand.rest(self.betas)[0][0] - probe.wrist
        self.all_skin = SkinRows(rest, hand.lbs_weights, hand.posedirs, vertex_normals(hand.v_template, hand.faces),
                                 vertex_area(hand))
        self.weights = weights or Weights(flesh=16.0 if self.thin else 8.0)
        self.centre = 0.8 * probe.joints[4] + probe.joints.new_tensor([0.0, -0.035, 0.0])
        rest = probe.rest[probe.spheres]
        radii = probe.radii
        apart = torch.cdist(rest, rest) > (radii[:, None] + radii[None]) * 1.02
        other = probe.sphere_parts[:, None] != probe.sphere_parts[None]
        upper = torch.ones(len(rest), len(rest), dtype=torch.bool, device=rest.device).triu(1)
        self.touch = torch.where(apart & other & upper, 0.92 * (radii[:, None] + radii[None]) * 100, 0.0)
        self.limits = hand.dof_limits
        # The thumb is freer than the fingers, and their spreads are less so.
        self.prior_scale = rest.new_tensor([1.0, 2.0, 1.0, 1.0] * 4 + [0.35] * 5)
        # Each part that a type names should touch somewhere, the thumb above all.
        self.of_part = probe.pad_part == torch.arange(6, device=rest.device)[:, None]
        self.part_weight = rest.new_tensor([1.6, 1.0, 1.0, 0.8, 0.6, 0.6])
        self.part_reach: torch.Tensor | float = 1.5  # cm from which a part is let go

    @property
    def device(self) -> torch.device:
        return self.probe.rest.device

    def to(self, device: torch.device | str) -> GraspEnergy:
        """The same on another device; itself, where it is there already. The given hand stays where it is."""
        device = torch.device(device)
        if device.type == self.device.type:
            return self
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(other, name, value.to(device))
        other.hand = copy.deepcopy(self.hand).to(device)
        other.probe, other.firm_probe = self.probe.to(device), self.firm_probe.to(device)
        other.grid, other.all_skin = self.grid.to(device), self.all_skin.to(device)
        return other

    def transforms(self, dofs: torch.Tensor) -> torch.Tensor:
        """(B, 16, 4, 4) skinning transforms with the wrist at the origin, unturned."""
        return self._bones(dofs)[1]

    def _bones(self, dofs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 16, 3, 3) rotations of the bones, each against its parent's, and their `transforms`."""
        turns = self.hand.rotations_from_dofs(dofs)
        rotations = torch.cat([torch.eye(3).to(turns).expand(len(dofs), 1, 3, 3), turns], 1)
        joints = self.probe.joints.expand(len(dofs), -1, -1)
        return rotations, self.hand.chain(rotations, torch.zeros_like(dofs[:, :3]), joints)

    def points(self, poses: Poses) -> torch.Tensor:
        """(B, P, 3) the probe's points in the object's frame, metres."""
        local = self.probe.skin_points(self.transforms(poses.dofs))
        return local @ poses.rotation.transpose(1, 2) + poses.wrist[:, None]

    def run(self, poses: Poses, stages: tuple[Stage, ...] = STAGES, go_on: Callable[[float], bool] | None = None,
            keep: float = 0.6) -> tuple[Poses, torch.Tensor]:
        """Optimise all poses together; before a whole-skin stage only the best `keep` share goes on.

        Returns:
            the poses that are left, and their (B,) energies. Stops early, with what there is, once `go_on(fraction)`
            answers False.
        """
        total = sum(stage.steps for stage in stages)
        done = 0
        energy = torch.zeros(len(poses), device=self.device)
        for stage in stages:
            if stage.whole_skin and keep < 1:
                rows = best_of_each(poses.types, energy, keep)
                poses, energy = poses[rows], energy[rows]
            poses, energy, stopped = self._stage(poses, stage, done, total, go_on)
            done += stage.steps
            if stopped:
                break
        return poses, energy

    def _stage(self, start: Poses, stage: Stage, done: int, total: int,
               go_on: Callable[[float], bool] | None) -> tuple[Poses, torch.Tensor, bool]:
        turn = torch.zeros_like(start.wrist, requires_grad=True)
        shift = torch.zeros_like(start.wrist, requires_grad=True)
        dofs = start.dofs.clone().requires_grad_(stage.joints > 0)
        adam = Adam([(turn, stage.rotation), (shift, stage.translation), (dofs, stage.joints)],
                    beta2=stage.memory)
        pads = self._pad_weights(start.types)
        stopped = False
        fixed = None if stage.joints > 0 else self.local(dofs.detach())
        skin = self.near_skin(start) if stage.whole_skin else None

        def moved() -> Poses:
            rotation = axis_angle_to_matrix(turn) @ start.rotation
            pivot = (start.rotation @ self.centre) + start.wrist
            wrist = pivot + shift / 100 - rotation @ self.centre
            return replace(start, rotation=rotation, wrist=wrist, dofs=dofs)

        for step in range(stage.steps):
            self.energy(moved(), pads, skin, fixed).sum().backward()
            adam.step(0.5 * (1 + math.cos(math.pi * step / stage.steps)))
            with torch.no_grad():
                dofs.copy_(torch.minimum(torch.maximum(dofs, self.limits[:, 0]), self.limits[:, 1]))
            if go_on is not None and not go_on((done + step + 1) / total):
                stopped = True
                break
        with torch.no_grad():
            final = moved()
            energy = self.energy(final, pads, skin, fixed)
        return replace(final, dofs=dofs.detach()), energy, stopped

    def local(self, dofs: torch.Tensor, skin: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, P, 3) the probe's points and (B, pads + skin, 3) their normals, seen from the wrist; or without skin."""
        transforms = self.transforms(dofs)
        probe = self.probe if skin else self.firm_probe
        return probe.skin_points(transforms), probe.normals_under(transforms)

    def _pad_weights(self, types: tuple[str, ...]) -> torch.Tensor:
        """(B, pads) the weight of each pad point; a group's weight is shared among its points."""
        weights = torch.zeros(len(types), self.probe.pads.stop)  # filled here, then moved as one
        for row, name in enumerate(types):
            for group, weight in BY_NAME[name].pads.items():
                rows = self.probe.groups[group].rows
                weights[row, rows] = weight / (rows.stop - rows.start)
        return weights.to(self.device)

    def energy(self, poses: Poses, pads: torch.Tensor, skin: SkinRows | None,
               fixed: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        """(B,) the energy of each pose.

        Args:
            pads: (B, pads) how much each should touch. skin: that must not sink in; None is the probe's, roughly.
            fixed: the probe as seen from the wrist, while fingers do not move.
        """
        w, probe = self.weights, self.probe
        local, local_normals = fixed if fixed is not None else self.local(poses.dofs, skin=skin is None)
        if fixed is not None and not self.thin:  # while only the wrist moves, the spheres keep the flesh out
            local, local_normals = local[:, : probe.spheres.stop], local_normals[:, : probe.pads.stop]
        turn = poses.rotation.transpose(1, 2)
        points = local @ turn + poses.wrist[:, None]
        normals = local_normals @ turn
        everything = points if skin is None else torch.cat([points, self.skin(poses, skin)], 1)
        distance, outward = self._distance(everything)

        pad_distance = distance[:, probe.pads]
        pad_normal = outward[:, probe.pads]
        reach = huber_loss(pad_distance, torch.zeros_like(pad_distance) - self.aim, reduction="none", delta=1.0)
        if skin is not None:  # close in on the surface; what cannot reach by now should not pull the hand askew
            sharp = 0.15 * (pad_distance + self.aim).abs().clamp_max(1.0)
            contact = 4 * w.contact * (pads * (reach.clamp_max(0.6) + sharp)).sum(1)
        else:
            contact = w.contact * (pads * (reach + 0.1 * (pad_distance + self.aim).abs())).sum(1)
        nearest = torch.where(self.of_part & (pads > 0)[:, None], pad_distance[:, None], 9.0).amin(2)
        touch = w.touch * (self.part_weight * (nearest + self.aim / 2).abs() * (nearest < self.part_reach)).sum(1)
        facing = w.facing * (pads * (1 + (normals[:, probe.pads] * pad_normal).sum(-1))).sum(1)

        # Wrench that pushes along the surface's normals at all wanted pads leave over (0: they balance). Pads count
        # whether they touch yet or not: counting touching ones alone would punish the first to arrive.
        share = pads / pads.sum(1, keepdim=True)
        place = points[:, probe.pads] * 100
        middle = (share[..., None] * place).sum(1, keepdim=True)
        arm = (place - middle) / 4
        force = -(share[..., None] * pad_normal).sum(1)
        torque = -(share[..., None] * torch.linalg.cross(arm, pad_normal)).sum(1)
        closure = w.closure * (force.square().sum(1) + torque.square().sum(1)) * 0.3

        sphere_distance = distance[:, probe.spheres]
        flesh = w.flesh * (0.92 * probe.radii * 100 - sphere_distance).relu().square().sum(1)
        depth = (-distance[:, probe.spheres.stop:]).relu()
        if skin is not None:
            depth = (depth - self.give).relu()
        if self.thin:
            facing_skin = (normals[:, probe.pads.stop :] if skin is None
                           else skin.normals_under(self.transforms(poses.dofs)) @ turn)
            on_skin = slice(probe.spheres.stop, None)
            depth = depth + through_wall(distance[:, on_skin], outward[:, on_skin], facing_skin)
        if skin is not None:
            deepest, all_depths = depth.amax(1).square(), depth.square().sum(1)
            penetration = 25 * (skin.area * depth).sum(1) + 20 * deepest + 40 * all_depths
        elif depth.shape[1]:
            penetration = 0.3 * w.penetration * (probe.skin_area * (depth + depth.square())).sum(1)
        else:
            penetration = depth.sum(1)

        crowding = w.crowding * self.crowded(points).square().sum((1, 2))
        return contact + touch + facing + closure + flesh + penetration + crowding + self.naturalness(poses)

    def crowded(self, points: torch.Tensor) -> torch.Tensor:
        """(B, S, S) cm by which spheres of different parts are too near each other, in the probe's points."""
        centres = points[:, self.probe.spheres] * 100
        return (self.touch - torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")).relu()

    def naturalness(self, poses: Poses) -> torch.Tensor:
        """(B,) how far the fingers are from their template and from how tendons tie them."""
        w = self.weights
        away = (poses.dofs - poses.template).square()
        prior = w.prior * (self.prior_scale * away).sum(1)
        fingers = poses.dofs[:, :16].reshape(-1, 4, 4)
        wished = poses.template[:, :16].reshape(-1, 4, 4)
        tie = (fingers - wished)[..., 3] - 2 / 3 * (fingers - wished)[..., 2]
        coupling = w.coupling * tie.square().sum(1)
        bend = (fingers - wished)[..., ::2]
        alike = w.alike * (bend[:, 1:] - bend[:, :-1]).square().sum((1, 2))
        low, high = self.limits[:, 0] + 0.03, self.limits[:, 1] - 0.03
        limits = w.limits * ((low - poses.dofs).relu() + (poses.dofs - high).relu()).square().sum(1)
        return prior + coupling + alike + limits

    def _distance(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance in cm, differentiable through the stored normal, and that normal."""
        with torch.no_grad():
            distance, normal = self.grid.query(points.detach())
        return (distance + ((points - points.detach()) * normal).sum(-1)) * 100, normal

    @property
    def vertex_area(self) -> torch.Tensor:
        """(V,) cm2 of skin for each vertex of the hand at rest."""
        return self.all_skin.area

    @torch.no_grad()
    def near_skin(self, poses: Poses) -> SkinRows:
        """The skin that is, in one of the poses at least, so near the object that it may come to touch it."""
        distance = self.grid.query(self.skin(poses))[0]
        rows = (distance < NEAR).any(0).nonzero()[:, 0]
        return self.all_skin[rows if len(rows) else rows.new_zeros(1)]

    def skin(self, poses: Poses, rows: SkinRows | None = None) -> torch.Tensor:
        """(B, V, 3) the skin with its correctives, all of it or some, object frame, metres."""
        local = (self.all_skin if rows is None else rows).points(*self._bones(poses.dofs))
        return local @ poses.rotation.transpose(1, 2) + poses.wrist[:, None]

    def grasps(self, poses: Poses, method: str, seed: int) -> Grasps:
        """The poses in the form of the rest of the house, unscored."""
        count = len(poses)
        return Grasps(
            global_orient=matrix_to_axis_angle(poses.rotation),
            hand_pose=self.hand.pose_from_dofs(poses.dofs).detach(),
            transl=poses.wrist - self.probe.wrist,
            betas=self.betas.expand(count, -1).clone(),
            score=torch.zeros(count, device=self.device),
            type=poses.types, method=method, seed=seed, hand=self.hand.side,
        )
