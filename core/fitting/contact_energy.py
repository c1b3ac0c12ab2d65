"""The energy of the fit and its second-order model: hands moved as little as it takes to lie on an object.

With d(x) the signed distance of a point to the object in cm and n(x) the object's normal there, x_i the contact
candidates, m_i their normals and c_i how much each is meant to touch, z_s the inner spheres and r_s their radii, v_k
points of the skin and a_k the area each stands for, u the angles' distance from those that were given, R and c the
wrist's rotation and the `pivot` in cm:

    E = E_contact + E_part + E_align + E_wrench + E_sphere + E_skin + E_self + E_posture + E_limit + E_stay + E_stiff

    E_contact = 2 sum_i c_i (huber(d(x_i) + delta) + 0.1 |d(x_i) + delta|)
    E_part    = 2 sum_p w_p |min over i of part p, c_i > 0, of d(x_i) + delta / 2|, of parts within reach
    E_align   = 0.15 sum_i c_i (1 + m_i . n(x_i))
    E_wrench  = 1.5 (|sum_i s_i n_i|^2 + |sum_i s_i r_i x n_i|^2),  s_i = c_i / sum c,  r_i = (x_i - mean) / 4 cm
    E_sphere  = 8 sum_s max(0.92 r_s - d(z_s), 0)^2, 16 on an object of thin walls
    E_skin    = 1.8 sum_k a_k (h_k + h_k^2),  h_k = max(-d(v_k), 0), of points spread over the skin
    E_self    = 15 sum over pairs of spheres of different parts, max(0.92 (r_s + r_t) - |z_s - z_t|, 0)^2
    E_posture = u'Qu (`core.fitting.fit_hand.FitHand.posture`)
    E_limit   = 20 sum_j (by how much angle j is within 0.03 of a limit, or beyond it)^2
    E_stay    = 0.3 (25 |R - R_0|^2 + |c - c_0|^2), CHOIR's Eq. 11 squared
    E_stiff   = 10 `stiffness_deficit`, where hands are closed

The last stage reads the skin's own vertices near the object and closes in on the surface:

    E_contact = 8 sum_i c_i (min(huber, 0.6) + 0.15 min(|d + delta|, 1))
    E_skin    = 25 sum_k a_k max(h_k - g, 0) + 60 sum_k max(h_k - g, 0)^2, g the depth tolerated

Absolute values and the maxima that are not squared have rounded corners (`core.fitting.residuals`). All terms but
E_align, E_wrench, E_posture, E_limit and E_stay are functions of distances, so with J their slopes along the normals
(`core.fitting.posing.slopes_along`) the gradient is J's and the Hessian's model J'WJ, s the slopes and W the weights of
the residuals; E_wrench has Gauss and Newton's, E_posture and E_stay their own; E_align has none, E_stiff a rank-one.

Where walls are thin, a point beyond the middle of one is nearer to its far side and would be drawn on through it. Two
things keep it back. Skin whose normal points the way the nearest surface's does has come out behind the wall: the
distance that counts is that to the side that faces it, looked for from some millimetres under the skin. An inner sphere
remembers the surface that it was before; where the normal turns about while the sphere is behind that surface, the
distance to that surface's plane counts until it is out again.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.fitting.contact_targets import candidate_weights
from core.fitting.energy import CONFIG as ENERGY
from core.fitting.energy import WEIGHTS, is_thin_walled
from core.fitting.posing import ANGLES, SHIFT, TURN, HandPoses, Links, cross, slopes_along
from core.fitting.residuals import capped, hinge, huber, smooth_abs, squared_hinge, weighted
from core.hand.tables import PARTS

if TYPE_CHECKING:
    from core.fitting.fit_hand import FitHand
    from core.fitting.posing import ChosenPoints
    from core.fitting.stiffness_term import StiffnessTerm
    from core.objects import GraspObject
    from core.objects.grid import DistanceGrid

THUMB, PALM = PARTS.index("thumb"), PARTS.index("palm")


@dataclass(frozen=True)
class FitConfig:
    """The numbers of the fit's energy that it does not share with that of synthesis (`core.fitting.energy`).

    Attributes:
        aim: cm in the surface at which contact is aimed, on thick walls and on thin ones.
        tolerated: cm in it that the last stage lets pass, likewise.
        thin_share: share of the contact targets on thin walls from which a grasp is one on a thin wall.
        sharp: of the absolute distance beside Huber's loss of it.
        sharp_last: the same in the last stage.
        contact_last: factor of E_contact in the last stage.
        huber_cap: of Huber's loss in the last stage: what cannot reach the surface is let go.
        sharp_cap: cm of the absolute distance in the last stage.
        corner: cm, width of the corners of absolute values.
        skin_rough: of E_skin where it reads points spread over the skin.
        skin_area: of the skin's depth by its area in the last stage.
        skin_square: of its square.
        skin_corner: cm over which a wall begins in the last stage.
        skin_points: of each hand, nearest to the object, in the last stage.
        rows: points of a hand that the Hessian's model reads at most, those of the largest weights; of more, products
            would be larger than `core.fitting.posing.PRODUCT`.
        wrench: of E_wrench.
        wrench_lever: cm, of its levers.
        stay: weight of the pull of the wrist to where it was.
        turn_scale: a turn's weight in that pull against a shift in cm.
        stiffness: weight of the stiffness deficit.
        stiffness_floor: deficit below which its Hessian's model grows no more.
        wall: metres behind a surface in which a wall is remembered.
        behind: metres in front of a remembered surface up to which a sphere counts as behind it.
        turned: cosine of the normal with the remembered one below which it has turned about.
        same_way: cosine of the skin's normal with the object's above which the skin is behind a wall.
        beyond_cm: distance up to which such skin is looked at.
        under: metres under the skin at which the side of the wall that faces it is looked for.
        must_reach_cm: distance within which a part that must touch is pulled to the surface.
        reach_cm: distance within which another part is.
        must_weight: of the candidates of a part that must touch, where none is a target.
        thumb_rather: metres by which the thumb may be farther than the palm to be the one that must touch.
    """

    aim: tuple[float, float] = (0.048, 0.018)
    tolerated: tuple[float, float] = (0.012, 0.006)
    thin_share: float = 0.25
    sharp: float = 0.1
    sharp_last: float = 0.15
    contact_last: float = 4.0
    huber_cap: float = 0.6
    sharp_cap: float = 1.0
    corner: float = 0.02
    skin_rough: float = 0.3 * WEIGHTS.penetration
    skin_area: float = 25.0
    skin_square: float = 60.0
    skin_corner: float = 0.02
    skin_points: int = 320
    rows: int = 320
    wrench: float = 0.3 * WEIGHTS.wrench
    wrench_lever: float = 4.0
    stay: float = 0.3
    turn_scale: float = 25.0
    stiffness: float = 10.0
    stiffness_floor: float = 0.3
    wall: float = 0.03
    behind: float = 0.001
    turned: float = -0.2
    same_way: float = 0.3
    beyond_cm: float = 0.2
    under: tuple[float, ...] = (0.003, 0.006, 0.010)
    must_reach_cm: float = 15.0
    reach_cm: float = 1.5
    must_weight: float = 0.25
    thumb_rather: float = 0.02


CONFIG: Final = FitConfig()


def distances_to(grid: DistanceGrid, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance (...) in metres, and the object's normal (..., 3), of points (..., 3)."""
    distance, normal = grid.query(torch.from_numpy(points))
    return distance.numpy(), normal.numpy()


@dataclass(frozen=True)
class Memory:
    """What an energy keeps of B hands from one step to the next.

    Attributes:
        foot: (B, S, 3) points of the surfaces that the inner spheres were before, metres.
        normal: (B, S, 3) those surfaces' normals.
        travel: (B, 6) where the object rested in the hands (`core.quality.stiffness`); zeros where it does not matter.
    """

    foot: np.ndarray
    normal: np.ndarray
    travel: np.ndarray


@dataclass(frozen=True)
class LocalModel:
    """The energies of B hands, and how they change near by.

    Attributes:
        energy: (B,).
        gradient: (B, U) by the unknowns (`core.fitting.posing`).
        hessian: (B, U, U) positive.
        memory: of the hands where they are.
    """

    energy: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    memory: Memory

    def with_rows(self, rows: np.ndarray, other: LocalModel) -> LocalModel:
        """This model, `other`'s in the rows (B,) that are True."""
        def merged(mine: np.ndarray, others: np.ndarray) -> np.ndarray:
            return np.where(rows.reshape(-1, *[1] * (mine.ndim - 1)), others, mine)

        memory = Memory(*(merged(getattr(self.memory, name), getattr(other.memory, name))
                          for name in ("foot", "normal", "travel")))
        return LocalModel(merged(self.energy, other.energy), merged(self.gradient, other.gradient),
                          merged(self.hessian, other.hessian), memory)


class ContactEnergy:
    """The energy of B hands of one shape on an object.

    Args:
        hand: the hand.
        obj: the object.
        start: the poses as they were given: the wrist's place, and each its own template.
        targets: (B, C) how much each contact candidate should touch.
        stiffness: the term of hands that are closed; None for others.
    """

    def __init__(self, hand: FitHand, obj: GraspObject, start: HandPoses, targets: np.ndarray,
                 stiffness: StiffnessTerm | None = None) -> None:
        self.hand, self._grid, self._start, self._stiffness = hand, obj.grid, start, stiffness
        self._centre = start.rotation @ hand.pivot + start.wrist
        points = hand.candidates.posed(hand.chain.posed(start).moves)
        thin = on_thin_wall(obj, points, targets)[:, None]
        self._aim = np.where(thin, CONFIG.aim[1], CONFIG.aim[0]).astype(np.float32)
        self._tolerated = np.where(thin, CONFIG.tolerated[1], CONFIG.tolerated[0]).astype(np.float32)
        must = parts_that_must_touch(hand, distances_to(obj.grid, points)[0])
        self._reach = np.where(must, CONFIG.must_reach_cm, CONFIG.reach_cm)
        share = candidate_weights(hand.points).numpy()
        self._targets = targets + CONFIG.must_weight * share * must[:, hand.candidate_parts] * (targets == 0)
        of_part = hand.candidate_parts == np.arange(len(PARTS))[:, None]
        self._may_touch = of_part & (self._targets > 0)[:, None]
        self._share = self._targets / np.maximum(self._targets.sum(1, keepdims=True), 1e-9)
        self._thin = is_thin_walled(obj)
        self._sphere_weight = WEIGHTS.spheres_thin if self._thin else WEIGHTS.spheres
        self._carried = np.concatenate([hand.candidates.carried, hand.spheres.carried, hand.rough_skin.carried])
        self._skin: ChosenPoints | None = None
        self._area = hand.rough_area

    def reading_whole_skin(self, poses: HandPoses) -> ContactEnergy:
        """The same energy in its last stage: of the skin's vertices that are nearest to the object in the poses."""
        hand, other = self.hand, copy.copy(self)
        moves = hand.chain.posed(poses).moves
        distance = distances_to(self._grid, hand.skin.posed(moves))[0]
        rows = np.argpartition(distance, CONFIG.skin_points, 1)[:, : CONFIG.skin_points]
        other._skin, other._area = hand.skin.chosen(rows, moves), hand.skin_area[rows]
        fixed = np.concatenate([hand.candidates.carried, hand.spheres.carried])
        fixed = np.broadcast_to(fixed, (len(poses), *fixed.shape))
        other._carried = np.concatenate([fixed, hand.skin.carried[rows]], 1)
        return other

    def __call__(self, poses: HandPoses, memory: Memory | None = None) -> LocalModel:
        """The energy of B poses and its model there.

        Args:
            poses: B hands.
            memory: of the hands a step before; None at the beginning.
        """
        hand, links = self.hand, self.hand.chain.posed(poses)
        moves, centre = links.moves, poses.rotation @ self.hand.pivot + poses.wrist
        first, stop = len(hand.candidates), len(hand.candidates) + len(hand.spheres)
        candidates, spheres = hand.candidates.posed(moves), hand.spheres.posed(moves)
        facing = hand.candidates.normals(moves)
        if self._skin is not None:
            skin, skin_normals = self._skin.posed(moves)
        else:
            skin = hand.rough_skin.posed(moves)
            skin_normals = hand.rough_skin.normals(moves) if self._thin else facing[:, :0]
        points = np.concatenate((candidates, spheres, skin), 1)
        distance, outward = distances_to(self._grid, points)
        distance = 100 * distance
        if self._thin:
            flat = np.r_[0:first, stop : points.shape[1]]
            self._look_behind(points, distance, outward, flat, np.concatenate((facing, skin_normals), 1))
        on_spheres = slice(first, stop)
        distance[:, on_spheres], outward[:, on_spheres], foot, normal = self._remembered(
            spheres, distance[:, on_spheres], outward[:, on_spheres], memory)
        model = _Accumulated(len(poses), poses.dofs.shape[1] + 6)
        energy, slope, weight = self._distance_terms(distance)
        model.energy += energy
        self._add_rows(model, links, centre, points, outward, slope, weight)
        self._add_alignment(model, links, facing, outward[:, :first])
        self._add_wrench(model, links, centre, candidates, outward[:, :first])
        self._add_crowding(model, links, centre, spheres)
        self._add_pose_terms(model, poses, centre)
        travel = np.zeros((len(poses), 6), np.float32)
        if self._stiffness is not None:
            found = self._stiffness(poses, links, None if memory is None else memory.travel)
            rows = slopes_along(found.points, found.outward, hand.palmar_skin.carried, links, centre)
            row = np.einsum("bm,bmu->bu", found.slope, rows)
            model.energy += CONFIG.stiffness * found.deficit
            model.gradient += CONFIG.stiffness * row
            least = np.maximum(found.deficit, CONFIG.stiffness_floor)
            model.hessian += (CONFIG.stiffness / least)[:, None, None] * (row[:, :, None] * row[:, None])
            travel = found.travel
        return LocalModel(model.energy, model.gradient, model.hessian, Memory(foot, normal, travel))

    def _look_behind(self, points: np.ndarray, distance: np.ndarray, outward: np.ndarray, rows: np.ndarray,
                     normals: np.ndarray) -> None:
        """Puts the side that faces it in place of a thin wall's far side, where skin has come out behind the wall.

        Args:
            points: (B, Q, 3) metres.
            distance: (B, Q) cm, changed.
            outward: (B, Q, 3), changed.
            rows: those of the Q points that are on the skin.
            normals: (B, len(rows), 3) of the skin there.
        """
        wrong = ((normals * outward[:, rows]).sum(-1) > CONFIG.same_way) & (distance[:, rows] < CONFIG.beyond_cm)
        hand, row = np.nonzero(wrong)
        if not len(hand):
            return
        place, normal, column = points[hand, rows[row]], normals[hand, row], rows[row]
        under = place[:, None] - np.array(CONFIG.under, np.float32)[:, None] * normal[:, None]
        there, facing = distances_to(self._grid, under)
        plane = 100 * ((place[:, None] - under + there[..., None] * facing) * facing).sum(-1)
        found = (there > 0) & ((facing * normal[:, None]).sum(-1) < 0) & (plane < 0)
        which, some = found.argmax(1), np.flatnonzero(found.any(1))
        which = which[some]
        distance[hand[some], column[some]] = plane[some, which]
        outward[hand[some], column[some]] = facing[some, which]

    @staticmethod
    def _remembered(centres: np.ndarray, distance: np.ndarray, outward: np.ndarray, memory: Memory | None,
                    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Distances in cm and normals of the inner spheres with the walls they went through, and what to remember."""
        foot = centres - distance[..., None] / 100 * outward
        if memory is None:
            return distance, outward, foot, outward
        away = centres - memory.foot
        height = (away * memory.normal).sum(-1)
        crossed = ((height < CONFIG.behind) & ((away * away).sum(-1) < CONFIG.wall**2)
                   & ((outward * memory.normal).sum(-1) < CONFIG.turned))
        normal = np.where(crossed[..., None], memory.normal, outward)
        return (np.where(crossed, 100 * height, distance), normal, np.where(crossed[..., None], memory.foot, foot),
                normal)

    def _distance_terms(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E_contact, E_part, E_sphere and E_skin of distances (B, Q) in cm: (B,), slopes (B, Q) and weights (B, Q)."""
        hand, last = self.hand, self._skin is not None
        first, stop = len(hand.candidates), len(hand.candidates) + len(hand.spheres)
        reached = distance[:, :first]
        gap = reached + self._aim
        near = smooth_abs(gap, CONFIG.corner)
        if last:
            contact = weighted(CONFIG.contact_last * WEIGHTS.contact * self._targets,
                               capped(huber(gap), CONFIG.huber_cap),
                               weighted(CONFIG.sharp_last, capped(near, CONFIG.sharp_cap)))
        else:
            contact = weighted(WEIGHTS.contact * self._targets, huber(gap), weighted(CONFIG.sharp, near))
        radii = 100 * ENERGY.sphere_share * hand.radii
        sphere = weighted(self._sphere_weight, squared_hinge(radii - distance[:, first:stop]))
        depth = -distance[:, stop:]
        if last:
            depth = depth - self._tolerated
            skin = weighted(1.0, weighted(CONFIG.skin_area * self._area, hinge(depth, CONFIG.skin_corner)),
                            weighted(CONFIG.skin_square, squared_hinge(depth)))
        else:
            skin = weighted(CONFIG.skin_rough * self._area, hinge(depth, CONFIG.skin_corner), squared_hinge(depth))
        energy = contact[0].sum(1) + sphere[0].sum(1) + skin[0].sum(1)
        slope = np.concatenate((contact[1], -sphere[1], -skin[1]), 1, dtype=np.float32)
        weight = np.concatenate((contact[2], sphere[2], skin[2]), 1, dtype=np.float32)
        nearest = np.where(self._may_touch, reached[:, None], np.inf)
        which = nearest.argmin(2)
        nearest = np.take_along_axis(nearest, which[..., None], 2)[..., 0]
        within = nearest < self._reach
        part = weighted(WEIGHTS.part * np.array(ENERGY.part_weights, np.float32) * within,
                        smooth_abs(np.where(within, nearest, 0) + self._aim / 2, CONFIG.corner))
        rows = np.arange(len(distance))[:, None]
        np.add.at(slope, (rows, which), part[1])
        np.add.at(weight, (rows, which), part[2])
        return energy + part[0].sum(1), slope, weight

    def _add_rows(self, model: _Accumulated, links: Links, centre: np.ndarray, points: np.ndarray,
                  outward: np.ndarray, slope: np.ndarray, weight: np.ndarray) -> None:
        """Adds the gradient and the Hessian's model of the terms of distances: of points that count in any."""
        most = int(np.count_nonzero(weight, 1).max())
        rows = np.arange(len(points))[:, None]
        if most > CONFIG.rows:
            chosen = np.argpartition(-weight, CONFIG.rows, 1)[:, : CONFIG.rows]
        elif most < weight.shape[1]:
            chosen = np.argpartition(-weight, most, 1)[:, :most]
        else:
            chosen = np.broadcast_to(np.arange(weight.shape[1]), weight.shape)
        carried = self._carried[chosen] if self._carried.ndim == 2 else self._carried[rows, chosen]
        jacobian = slopes_along(points[rows, chosen], outward[rows, chosen], carried, links, centre)
        model.gradient += (slope[rows, chosen][:, None] @ jacobian)[:, 0]
        model.hessian += jacobian.transpose(0, 2, 1) @ (weight[rows, chosen][..., None] * jacobian)

    def _add_alignment(self, model: _Accumulated, links: Links, facing: np.ndarray, outward: np.ndarray) -> None:
        """Adds E_align; only the turning of the skin's normals changes it."""
        model.energy += WEIGHTS.alignment * (self._targets * (1 + (facing * outward).sum(-1))).sum(1)
        torque = WEIGHTS.alignment * self._targets[..., None] * cross(facing, outward)
        model.gradient[:, TURN] += torque.sum(1)
        on_angles = self.hand.candidates.carried.T @ torque
        model.gradient[:, ANGLES] += (on_angles * links.axes).sum(-1)

    def _add_wrench(self, model: _Accumulated, links: Links, centre: np.ndarray, points: np.ndarray,
                    outward: np.ndarray) -> None:
        """Adds E_wrench; the normals count as fixed, so the force does too."""
        share, lever = self._share[..., None], CONFIG.wrench_lever
        mean = (share * points).sum(1, keepdims=True)
        force = (share * outward).sum(1)
        torque = (share * cross(100 / lever * (points - mean), outward)).sum(1)
        model.energy += CONFIG.wrench * ((force * force).sum(1) + (torque * torque).sum(1))
        # d torque = sum_i s_i dx_i x (n_i - mean n) / lever: along e_k that is dx_i . ((n_i - mean n) x e_k) / lever
        arms = share * (outward - force[:, None]) / lever
        directions = cross(arms[:, :, None], np.eye(3, dtype=np.float32))
        where = np.repeat(points, 3, 1)
        moment = np.concatenate((cross(where, directions.reshape(where.shape)), directions.reshape(where.shape)), -1)
        moment = moment.reshape(len(points), points.shape[1], 18)
        screw = np.concatenate((links.axes, cross(links.origins, links.axes)), -1)
        on_angles = (self.hand.candidates.carried.T @ moment).reshape(len(points), -1, 3, 6)
        whole = moment.sum(1).reshape(-1, 3, 6)
        turn = whole[..., :3] - cross(np.broadcast_to(centre[:, None], whole[..., 3:].shape), whole[..., 3:])
        angles = (on_angles * screw[:, :, None]).sum(-1).transpose(0, 2, 1)
        rows = np.concatenate((100 * turn, whole[..., 3:], 100 * angles), -1)
        model.gradient += 2 * CONFIG.wrench * (torque[:, None] @ rows)[:, 0]
        model.hessian += 2 * CONFIG.wrench * rows.transpose(0, 2, 1) @ rows

    def _add_crowding(self, model: _Accumulated, links: Links, centre: np.ndarray, spheres: np.ndarray) -> None:
        """Adds E_self."""
        clearance, places = self.hand.clearance, 100 * spheres
        square = (places * places).sum(-1)
        apart = square[:, :, None] + square[:, None] - 2 * places @ places.transpose(0, 2, 1)
        hand, one, other = np.nonzero(apart < clearance * clearance)
        if not len(hand):
            return
        between = places[hand, one] - places[hand, other]
        length = np.maximum(np.sqrt((between * between).sum(1)), 1e-6)
        over = np.maximum(clearance[one, other] - length, 0)
        way = (between / length[:, None])[:, None]
        of_pairs = _links_of(links, hand)
        rows = [slopes_along(spheres[hand, end][:, None], way, self.hand.spheres.carried[end][:, None], of_pairs,
                             centre[hand])[:, 0] for end in (one, other)]
        # as many rows for each hand as the one with most pairs has, zeros where there are fewer
        first = np.searchsorted(hand, np.arange(len(spheres)))
        place = hand, np.arange(len(hand)) - first[hand]
        most = int(place[1].max()) + 1
        row, depth = np.zeros((len(spheres), most, rows[0].shape[1])), np.zeros((len(spheres), most))
        row[place], depth[place] = rows[0] - rows[1], over
        weight = WEIGHTS.self_penetration
        model.energy += weight * (depth * depth).sum(1)
        model.gradient -= 2 * weight * (depth[:, None] @ row)[:, 0]
        model.hessian += 2 * weight * row.transpose(0, 2, 1) @ row

    def _add_pose_terms(self, model: _Accumulated, poses: HandPoses, centre: np.ndarray) -> None:
        """Adds E_posture, E_limit and E_stay."""
        hand, start = self.hand, self._start
        away = poses.dofs - start.dofs
        pull = away @ hand.posture
        low = np.maximum(hand.low + ENERGY.limit_margin - poses.dofs, 0)
        high = np.maximum(poses.dofs - hand.high + ENERGY.limit_margin, 0)
        model.energy += (away * pull).sum(1) + WEIGHTS.limits * ((low + high) ** 2).sum(1)
        model.gradient[:, ANGLES] += 2 * pull + 2 * WEIGHTS.limits * (high - low)
        model.hessian[:, ANGLES, ANGLES] += 2 * hand.posture
        angles = np.arange(poses.dofs.shape[1]) + ANGLES.start
        model.hessian[:, angles, angles] += 2 * WEIGHTS.limits * (low + high > 0)
        turn = poses.rotation @ start.rotation.transpose(0, 2, 1)
        # |R - R_0|^2 = 2 (3 - trace R R_0'), whose slope by a turn is twice twice the axial vector
        axial = np.stack((turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0],
                          turn[:, 1, 0] - turn[:, 0, 1]), 1)
        moved, stay = 100 * (centre - self._centre), CONFIG.stay
        trace = turn[:, 0, 0] + turn[:, 1, 1] + turn[:, 2, 2]
        model.energy += stay * (2 * CONFIG.turn_scale * (3 - trace) + (moved * moved).sum(1))
        model.gradient[:, TURN] += 2 * CONFIG.turn_scale * stay * axial
        model.gradient[:, SHIFT] += 2 * stay * moved
        for columns, weight in ((TURN, 4 * CONFIG.turn_scale * stay), (SHIFT, 2 * stay)):
            model.hessian[:, columns, columns] += weight * np.eye(3)


class _Accumulated:
    """The sums of B energies and their models, to which terms are added.

    Args:
        count: B.
        unknowns: of a hand.
    """

    def __init__(self, count: int, unknowns: int) -> None:
        self.energy = np.zeros(count)
        self.gradient = np.zeros((count, unknowns))
        self.hessian = np.zeros((count, unknowns, unknowns))


def _links_of(links: Links, hands: np.ndarray) -> Links:
    """The links of some hands, by their numbers (K,)."""
    return Links(links.moves[hands], links.axes[hands], links.origins[hands])


def on_thin_wall(obj: GraspObject, points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the object is a thin wall where hands are meant to touch it.

    Args:
        obj: the object.
        points: (B, C, 3) the contact candidates, metres, object frame.
        targets: (B, C) how much each should touch.

    Returns:
        (B,) bool.
    """
    near = obj.points_tree.query(points)[1]
    share = targets / np.maximum(targets.sum(1, keepdims=True), 1e-6)
    return (share * (obj.thickness.numpy()[near] < ENERGY.thin_wall)).sum(1) > CONFIG.thin_share


def parts_that_must_touch(hand: FitHand, distance: np.ndarray) -> np.ndarray:
    """The parts without which nothing is held: thumb or palm, whichever is nearer, and the two nearest fingers.

    Args:
        hand: the hand.
        distance: (B, C) metres of the contact candidates to the object, as the hand was given.

    Returns:
        (B, 6) bool.
    """
    nearest = np.stack([distance[:, hand.candidate_parts == part].min(1) for part in range(len(PARTS))], 1)
    must, rows = np.zeros(nearest.shape, bool), np.arange(len(nearest))
    must[rows, np.where(nearest[:, THUMB] < nearest[:, PALM] + CONFIG.thumb_rather, THUMB, PALM)] = True
    order = nearest[:, 1:PALM].argsort(1, kind="stable")
    for rank in range(2):
        must[rows, 1 + order[:, rank]] = True
    return must
