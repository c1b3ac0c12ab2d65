"""The energy of a hand closed on an object; its minima are grasps.

    E = w_contact E_contact + w_part E_part + w_align E_align + w_wrench E_wrench     contacts touch, and hold
      + w_sphere E_sphere + E_skin + w_self E_self                                    nothing is in anything else
      + w_prior E_prior + w_couple E_couple + w_like E_like + w_limit E_limit         the hand looks natural

Lengths inside the energy are in centimetres, so that its terms are of one size; the object is read through its
distance grid, d(x) its signed distance and n(x) its outward normal there. `GraspEnergy.__call__` gives each term.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.functional import huber_loss

from core.grasps.batch import Grasps
from core.grasps.taxonomy import BY_NAME
from core.hand.articulation import grasp_centre
from core.hand.normals import vertex_normals
from core.hand.skin import SkinRows, vertex_area
from core.rotations import matrix_to_axis_angle

if TYPE_CHECKING:
    from core.fitting.hand_points import HandPoints
    from core.fitting.poses import Poses
    from core.hand import HandModel
    from core.objects import GraspObject


@dataclass(frozen=True)
class EnergyWeights:
    """Weights of the terms, found with a prototype on eight real objects: the share of candidates that pass counted.

    Attributes:
        contact: of each contact candidate's distance.
        part: of the nearest candidate of each part.
        alignment: of the skin's normals against the object's.
        penetration: of sample points of skin in the object.
        wrench: of what the contacts leave unbalanced.
        prior: of the fingers' distance from their template.
        self_penetration: of the hand's parts in each other.
        coupling: of the last two joints of a finger, which one tendon bends.
        similarity: of neighbouring fingers' bends.
        spheres: of the inner spheres in the object, on an object of thick walls.
        spheres_thin: the same on one of thin walls.
        limits: of angles near their limits.
    """

    contact: float = 2.0
    part: float = 2.0
    alignment: float = 0.15
    penetration: float = 6.0
    wrench: float = 5.0
    prior: float = 0.6
    self_penetration: float = 15.0
    coupling: float = 0.5
    similarity: float = 0.4
    spheres: float = 8.0
    spheres_thin: float = 16.0
    limits: float = 20.0


@dataclass(frozen=True)
class ContactDepth:
    """How deep in the surface skin is to lie, cm.

    Attributes:
        target: depth at which contact is aimed: soft skin gives.
        tolerated: depth that the last stage lets pass.
    """

    target: float
    tolerated: float


@dataclass(frozen=True)
class EnergyConfig:
    """The other numbers of the energy.

    Attributes:
        depth: of contact on thick walls.
        depth_thin: of contact on thin walls: just off them.
        thin_wall: metres of thickness below which a wall is thin.
        thin_share: share of the object's surface on thin walls from which the object is one of thin walls.
        near: metres from the object within which the last stage reads the skin: farther than it moves there.
        sphere_share: of the inner spheres' radius that must stay out of the object, and out of other spheres.
        part_weights: of thumb, index, middle, ring, little finger and palm.
        part_reach_cm: distance beyond which a part is let go.
        bend_scale: of a finger's MCP bend, spread, PIP and DIP bend in the prior: the spread is less free.
        thumb_scale: of the thumb's angles in the prior: it is freer than the fingers.
        dip_per_pip: bend of the last joint for that of the middle one.
        limit_margin: radians from a limit within which an angle is pushed back.
    """

    depth: ContactDepth = ContactDepth(0.05, 0.02)
    depth_thin: ContactDepth = ContactDepth(-0.01, 0.02)
    thin_wall: float = 0.004
    thin_share: float = 0.05
    near: float = 0.02
    sphere_share: float = 0.92
    part_weights: tuple[float, ...] = (1.6, 1.0, 1.0, 0.8, 0.6, 0.6)
    part_reach_cm: float = 1.5
    bend_scale: tuple[float, ...] = (1.0, 2.0, 1.0, 1.0)
    thumb_scale: float = 0.35
    dip_per_pip: float = 2 / 3
    limit_margin: float = 0.03


WEIGHTS: Final = EnergyWeights()
CONFIG: Final = EnergyConfig()


def depth_behind_wall(distance: torch.Tensor, outward: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """How far skin has come out on a thin wall's far side.

    There the nearest surface faces the way the skin does; the wall lies behind, so getting farther from that surface
    is getting deeper.

    Args:
        distance: (B, K) cm.
        outward: (B, K, 3) the object's normals.
        normals: (B, K, 3) the skin's.

    Returns:
        (B, K) cm.
    """
    beyond = ((normals * outward).sum(-1) > 0.4).detach() & (distance > -0.02) & (distance < 0.2)
    return torch.where(beyond, (distance + 0.1).clamp_min(0), torch.zeros_like(distance))


def sphere_clearance(hand_points: HandPoints) -> torch.Tensor:
    """(S, S) cm that inner spheres of different parts must keep between their centres, 0 for pairs that need not."""
    rest, radii = hand_points.rest[hand_points.spheres], hand_points.radii
    apart = torch.cdist(rest, rest) > (radii[:, None] + radii[None]) * 1.02
    other = hand_points.sphere_parts[:, None] != hand_points.sphere_parts[None]
    upper = torch.ones(len(rest), len(rest), dtype=torch.bool, device=rest.device).triu(1)
    return torch.where(apart & other & upper, CONFIG.sphere_share * (radii[:, None] + radii[None]) * 100, 0.0)


def is_thin_walled(obj: GraspObject) -> bool:
    """Whether so much of the object's surface is on thin walls that it is one of thin walls."""
    return bool((obj.thickness < CONFIG.thin_wall).float().mean() > CONFIG.thin_share)


class GraspEnergy:
    """The energy of hands of one shape on one object, on the device that the hand is on.

    Args:
        hand: the hand model.
        hand_points: its sample points, on the same device.
        betas: (10,) its shape.
        obj: the prepared object.

    Attributes:
        hand: the hand model.
        hand_points: its sample points.
        betas: (1, 10) its shape.
        grid: the object's distance grid.
        thin: whether the object is one of thin walls.
        target_depth: cm in the surface at which contact is aimed.
        tolerated_depth: cm in it that the last stage lets pass.
        part_reach: cm beyond which a part is let go.
        pivot: (3,) the point near the palm's middle that rotations turn about, from the wrist, metres.
        limits: (21, 2) of the joint angles, radians.
        all_vertices: the hand's skin at rest relative to the wrist.
    """

    def __init__(self, hand: HandModel, hand_points: HandPoints, betas: torch.Tensor, obj: GraspObject) -> None:
        self.hand, self.hand_points, self.grid = hand, hand_points, obj.grid
        self._points_without_skin = hand_points.without_skin()
        self.thin = is_thin_walled(obj)
        depth = CONFIG.depth_thin if self.thin else CONFIG.depth
        self.target_depth = depth.target
        self.tolerated_depth = depth.tolerated
        self.betas = betas.reshape(1, 10)
        with torch.no_grad():
            rest = hand.rest(self.betas)[0][0] - hand_points.wrist
        self.all_vertices = SkinRows(rest, hand.lbs_weights, hand.posedirs, vertex_normals(hand.v_template, hand.faces),
                                     vertex_area(hand))
        self.pivot = grasp_centre(hand_points.joints)
        self._sphere_distance = sphere_clearance(hand_points)
        self.limits = hand.dof_limits
        self._prior_scale = self.limits.new_tensor([*CONFIG.bend_scale * 4, *[CONFIG.thumb_scale] * 5])
        self._of_part = hand_points.candidate_parts == torch.arange(6, device=self.limits.device)[:, None]
        self._part_weights = self.limits.new_tensor(CONFIG.part_weights)
        self.part_reach = CONFIG.part_reach_cm

    @property
    def device(self) -> torch.device:
        """Of the sample points, and so of all that is computed."""
        return self.hand_points.rest.device

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
        other.hand_points = self.hand_points.to(device)
        other._points_without_skin = self._points_without_skin.to(device)
        other.grid, other.all_vertices = self.grid.to(device), self.all_vertices.to(device)
        return other

    def transforms(self, dofs: torch.Tensor) -> torch.Tensor:
        """(B, 16, 4, 4) skinning transforms of joint angles (B, 21), with the wrist at the origin, unturned."""
        return self._bones(dofs)[1]

    def _bones(self, dofs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 16, 3, 3) rotations of the bones, each against its parent's, and their `transforms`."""
        turns = self.hand.rotations_from_dofs(dofs)
        rotations = torch.cat([torch.eye(3).to(turns).expand(len(dofs), 1, 3, 3), turns], 1)
        joints = self.hand_points.joints.expand(len(dofs), -1, -1)
        return rotations, self.hand.chain(rotations, torch.zeros_like(dofs[:, :3]), joints)

    def points(self, poses: Poses) -> torch.Tensor:
        """(B, P, 3) the hand's sample points in the object's frame, metres."""
        local = self.hand_points.posed(self.transforms(poses.dofs))
        return local @ poses.rotation.transpose(1, 2) + poses.wrist[:, None]

    def local(self, dofs: torch.Tensor, skin: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """The sample points and their normals relative to the wrist, unturned.

        Args:
            dofs: (B, 21) joint angles, radians.
            skin: with the points of the skin, not contact candidates and spheres alone.

        Returns:
            (B, P, 3) metres and (B, C + K, 3): candidates and skin have normals.
        """
        transforms = self.transforms(dofs)
        points = self.hand_points if skin else self._points_without_skin
        return points.posed(transforms), points.posed_normals(transforms)

    def contact_targets(self, types: tuple[str, ...]) -> torch.Tensor:
        """(B, C) how much each contact candidate should touch in B grasps of known types.

        The weight of a patch, which the type says, is shared among its candidates.
        """
        weights = torch.zeros(len(types), self.hand_points.candidates.stop)  # filled here, then moved as one
        for row, name in enumerate(types):
            for patch, weight in BY_NAME[name].contact_weights.items():
                rows = self.hand_points.patches[patch].rows
                weights[row, rows] = weight / (rows.stop - rows.start)
        return weights.to(self.device)

    def __call__(self, poses: Poses, targets: torch.Tensor, vertices: SkinRows | None = None,
                 fixed: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        """The energy of each pose.

        With x_i the contact candidates, m_i their normals and c_i their `targets`; delta the depth aimed at:

            E_contact = sum_i c_i (huber(d(x_i) + delta) + 0.1 |d(x_i) + delta|)
            E_part    = sum_p v_p |min over i of part p, c_i > 0, of d(x_i) + delta / 2|, of parts within reach
            E_align   = sum_i c_i (1 + m_i . n(x_i))
            E_wrench  = 0.3 (|sum_i s_i n_i|^2 + |sum_i s_i r_i x n_i|^2), s_i = c_i / sum c, r_i = (x_i - mean) / 4 cm
            E_sphere  = sum_s max(0.92 r_s - d(z_s), 0)^2, spheres of centre z_s and radius r_s
            E_self    = sum of the squares of `self_penetration`

        and the terms of the pose alone (`pose_terms`). E_skin, with h_k the depth of skin in the object (and behind
        its walls, where they are thin) and a_k the area it stands for, is

            0.3 w_penetration sum_k a_k (h_k + h_k^2)                    of sample points
            25 sum_k a_k h_k + 20 max_k h_k^2 + 40 sum_k h_k^2           of `vertices`, less the depth tolerated

        With `vertices`, which is the last stage, E_contact closes in on the surface, and lets go of what cannot
        reach it: 4 sum_i c_i (min(huber, 0.6) + 0.15 min(|d + delta|, 1)).

        Args:
            poses: B hands.
            targets: (B, C) how much each contact candidate should touch.
            vertices: of the skin that must not sink in; None reads the sample points, roughly.
            fixed: `local` of the poses, while their fingers do not move.

        Returns:
            (B,).
        """
        w, points_of = WEIGHTS, self.hand_points
        local, local_normals = fixed if fixed is not None else self.local(poses.dofs, skin=vertices is None)
        if fixed is not None and not self.thin:  # while only the wrist moves, the spheres keep the flesh out
            local, local_normals = local[:, : points_of.spheres.stop], local_normals[:, : points_of.candidates.stop]
        turn = poses.rotation.transpose(1, 2)
        points = local @ turn + poses.wrist[:, None]
        normals = local_normals @ turn
        everything = points if vertices is None else torch.cat([points, self.hand_vertices(poses, vertices)], 1)
        distance, outward = self.distance_cm(everything)

        reached = distance[:, points_of.candidates]
        outward_there = outward[:, points_of.candidates]
        depth = self.target_depth
        huber = huber_loss(reached, torch.zeros_like(reached) - depth, reduction="none", delta=1.0)
        if vertices is not None:
            sharp = 0.15 * (reached + depth).abs().clamp_max(1.0)
            contact = 4 * w.contact * (targets * (huber.clamp_max(0.6) + sharp)).sum(1)
        else:
            contact = w.contact * (targets * (huber + 0.1 * (reached + depth).abs())).sum(1)
        nearest = torch.where(self._of_part & (targets > 0)[:, None], reached[:, None], 9.0).amin(2)
        part = w.part * (self._part_weights * (nearest + depth / 2).abs() * (nearest < self.part_reach)).sum(1)
        alignment = w.alignment * (targets * (1 + (normals[:, points_of.candidates] * outward_there).sum(-1))).sum(1)

        # Candidates count in the wrench whether they touch yet or not: counting touching ones alone would punish the
        # first to arrive.
        share = targets / targets.sum(1, keepdim=True)
        position = points[:, points_of.candidates] * 100
        centre = (share[..., None] * position).sum(1, keepdim=True)
        arm = (position - centre) / 4
        force = -(share[..., None] * outward_there).sum(1)
        torque = -(share[..., None] * torch.linalg.cross(arm, outward_there)).sum(1)
        wrench = w.wrench * (force.square().sum(1) + torque.square().sum(1)) * 0.3

        sphere_distance = distance[:, points_of.spheres]
        sphere_weight = w.spheres_thin if self.thin else w.spheres
        radii = CONFIG.sphere_share * points_of.radii * 100
        spheres = sphere_weight * (radii - sphere_distance).relu().square().sum(1)
        skin = self._skin_term(poses, vertices, distance, outward, normals)
        self_penetration = w.self_penetration * self.self_penetration(points).square().sum((1, 2))
        return contact + part + alignment + wrench + spheres + skin + self_penetration + self.pose_terms(poses)

    def _skin_term(self, poses: Poses, vertices: SkinRows | None, distance: torch.Tensor, outward: torch.Tensor,
                   normals: torch.Tensor) -> torch.Tensor:
        """(B,) E_skin; distance (B, Q) cm and outward (B, Q, 3) of all points, normals (B, C + K, 3) of the skin's."""
        on_skin = slice(self.hand_points.spheres.stop, None)
        depth = (-distance[:, on_skin]).relu()
        if vertices is not None:
            depth = (depth - self.tolerated_depth).relu()
        if self.thin:
            turn = poses.rotation.transpose(1, 2)
            skin_normals = (normals[:, self.hand_points.candidates.stop :] if vertices is None
                            else vertices.normals_under(self.transforms(poses.dofs)) @ turn)
            depth = depth + depth_behind_wall(distance[:, on_skin], outward[:, on_skin], skin_normals)
        if vertices is not None:
            deepest, all_depths = depth.amax(1).square(), depth.square().sum(1)
            return 25 * (vertices.area * depth).sum(1) + 20 * deepest + 40 * all_depths
        if depth.shape[1]:
            return 0.3 * WEIGHTS.penetration * (self.hand_points.skin_area * (depth + depth.square())).sum(1)
        return depth.sum(1)

    def self_penetration(self, points: torch.Tensor) -> torch.Tensor:
        """(B, S, S) cm by which spheres of different parts are too near each other, in sample points (B, P, 3)."""
        centres = points[:, self.hand_points.spheres] * 100
        distance = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")
        return (self._sphere_distance - distance).relu()

    def pose_terms(self, poses: Poses) -> torch.Tensor:
        """The terms of the joint angles q and their template t alone, with u = q - t.

            E_prior  = sum_j scale_j u_j^2
            E_couple = sum over fingers of (u_DIP - 2/3 u_PIP)^2
            E_like   = sum over neighbouring fingers of (difference of u_MCP)^2 + (difference of u_PIP)^2
            E_limit  = sum_j (by how much q_j is within 0.03 of a limit, or beyond it)^2

        Args:
            poses: B hands.

        Returns:
            (B,) their weighted sum.
        """
        w = WEIGHTS
        away = (poses.dofs - poses.template).square()
        prior = w.prior * (self._prior_scale * away).sum(1)
        fingers = poses.dofs[:, :16].reshape(-1, 4, 4)
        wanted = poses.template[:, :16].reshape(-1, 4, 4)
        tie = (fingers - wanted)[..., 3] - CONFIG.dip_per_pip * (fingers - wanted)[..., 2]
        coupling = w.coupling * tie.square().sum(1)
        bend = (fingers - wanted)[..., ::2]
        similarity = w.similarity * (bend[:, 1:] - bend[:, :-1]).square().sum((1, 2))
        low, high = self.limits[:, 0] + CONFIG.limit_margin, self.limits[:, 1] - CONFIG.limit_margin
        limits = w.limits * ((low - poses.dofs).relu() + (poses.dofs - high).relu()).square().sum(1)
        return prior + coupling + similarity + limits

    def distance_cm(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distance of points to the object, differentiable through the grid's normal, and that normal.

        Args:
            points: (B, Q, 3) metres, object frame.

        Returns:
            (B, Q) cm, negative inside, and (B, Q, 3).
        """
        with torch.no_grad():
            distance, normal = self.grid.query(points.detach())
        return (distance + ((points - points.detach()) * normal).sum(-1)) * 100, normal

    @property
    def vertex_area(self) -> torch.Tensor:
        """(V,) cm2 of skin for each vertex of the hand at rest."""
        return self.all_vertices.area

    @torch.no_grad()
    def near_vertices(self, poses: Poses) -> SkinRows:
        """The skin that is, in one of the poses at least, so near the object that it may come to touch it."""
        distance = self.grid.query(self.hand_vertices(poses))[0]
        rows = (distance < CONFIG.near).any(0).nonzero()[:, 0]
        return self.all_vertices[rows if len(rows) else rows.new_zeros(1)]

    def hand_vertices(self, poses: Poses, rows: SkinRows | None = None) -> torch.Tensor:
        """(B, V, 3) the skin's vertices with its correctives, all of them or `rows`, object frame, metres."""
        local = (self.all_vertices if rows is None else rows).points(*self._bones(poses.dofs))
        return local @ poses.rotation.transpose(1, 2) + poses.wrist[:, None]

    def grasps(self, poses: Poses, method: str, seed: int) -> Grasps:
        """The poses as grasps, unscored.

        Args:
            poses: B hands.
            method: that made them.
            seed: that they were made by.
        """
        count = len(poses)
        return Grasps(
            global_orient=matrix_to_axis_angle(poses.rotation),
            hand_pose=self.hand.pose_from_dofs(poses.dofs).detach(),
            transl=poses.wrist - self.hand_points.wrist,
            betas=self.betas.expand(count, -1).clone(),
            score=torch.zeros(count, device=self.device),
            type=poses.types, method=method, seed=seed, hand=self.hand.side,
        )
