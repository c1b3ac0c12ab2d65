"""What the fit reads of a hand of one shape, as arrays; made once and kept, for it takes as long as many steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.fitting.energy import CONFIG as ENERGY
from core.fitting.energy import WEIGHTS, sphere_clearance
from core.fitting.hand_points import HandPoints
from core.fitting.posing import Chain, HandPoses, SkinnedPoints
from core.grasps.batch import Grasps
from core.hand.articulation import DOF_JOINTS, FIRST_JOINT, FOUR_FINGERS, grasp_centre
from core.hand.normals import vertex_normals
from core.hand.skin import vertex_area
from core.hand.squeeze import flexion
from core.hand.tables import FINGERS
from core.quality.stiffness import STIFFNESS
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.hand import HandModel

#: points of the skin that the stiffness of hands is computed with while they are moved
STIFFNESS_POINTS: Final = 600
#: hands' shapes that are kept
KEPT: Final = 8


@dataclass(frozen=True)
class FitHand:
    """A hand of one shape.

    Attributes:
        hand: the hand model.
        betas: (10,) its shape.
        points: its sample points, as tensors.
        chain: its bones.
        candidates: the contact candidates.
        spheres: centres of the inner spheres.
        rough_skin: points spread over the skin.
        rough_area: (K,) cm2 of skin that each of those stands for.
        skin: all vertices, with the correctives.
        skin_area: (V,) cm2 of skin for each of them.
        palmar_skin: points of the skin that can press, for the stiffness.
        palmar_area: (M,) cm2 for each of those.
        closing: (21,) radians by which angles grow in the squeeze that the stiffness is of.
        finger_closings: (5, 21) radians by which angles grow, finger by finger, when each closes by one.
        bends: (21,) 1 where an angle bends a joint, and so opens the hand as it falls.
        pivot: (3,) the point near the palm's middle that rotations turn about, from the wrist, metres.
        radii: (S,) metres, of the inner spheres.
        sphere_parts: (S,) the part of each, 0 to 5.
        clearance: (S, S) cm that spheres must keep between them, 0 for pairs that need not.
        candidate_parts: (C,) the part of each candidate, 0 to 5.
        posture: (21, 21) matrix Q of the terms of the posture alone, u'Qu with u the angles' distance from their
            template: E_prior, E_couple and E_like of `core.fitting.energy.GraspEnergy.pose_terms`.
        low: (21,) least angles, radians.
        high: (21,) largest angles.
        wristward: sign of the way along the hand's x axis from the fingers to the wrist.
        tips: (5, 3) the fingertips at rest, from the wrist, metres.
    """

    hand: HandModel
    betas: torch.Tensor
    points: HandPoints
    chain: Chain
    candidates: SkinnedPoints
    spheres: SkinnedPoints
    rough_skin: SkinnedPoints
    rough_area: np.ndarray
    skin: SkinnedPoints
    skin_area: np.ndarray
    palmar_skin: SkinnedPoints
    palmar_area: np.ndarray
    closing: np.ndarray
    finger_closings: np.ndarray
    bends: np.ndarray
    pivot: np.ndarray
    radii: np.ndarray
    sphere_parts: np.ndarray
    clearance: np.ndarray
    candidate_parts: np.ndarray
    posture: np.ndarray
    low: np.ndarray
    high: np.ndarray
    wristward: float
    tips: np.ndarray

    def poses_of(self, grasps: Grasps) -> HandPoses:
        """B grasps of this shape as the nearest poses of 21 angles within their limits."""
        dofs = self.hand.clamp_dofs(self.hand.dofs_from_pose(grasps.hand_pose))
        wrist = grasps.transl + self.points.wrist
        return HandPoses(*(value.numpy().astype(np.float32) for value in (
            axis_angle_to_matrix(grasps.global_orient), wrist, dofs)))

    def grasps(self, poses: HandPoses, like: Grasps) -> Grasps:
        """The poses as grasps, unscored.

        Args:
            poses: B hands.
            like: B grasps, of which all but the parameters are taken.
        """
        rotation, wrist, dofs = (torch.from_numpy(value) for value in (poses.rotation, poses.wrist, poses.dofs))
        return Grasps(global_orient=matrix_to_axis_angle(rotation), hand_pose=self.hand.pose_from_dofs(dofs),
                      transl=wrist - self.points.wrist, betas=self.betas.expand(len(poses), -1).clone(),
                      score=torch.zeros(len(poses)), type=like.type, method=like.method, seed=like.seed,
                      hand=self.hand.side)

    def clamped(self, dofs: np.ndarray) -> np.ndarray:
        """Joint angles (..., 21), each within its limits."""
        return np.minimum(np.maximum(dofs, self.low), self.high)

    def keypoints(self, moves: np.ndarray) -> np.ndarray:
        """(B, 21, 3) joints and tips without correctives, under moves (B, 16, 3, 4), metres."""
        last = moves[:, [FIRST_JOINT[finger] + 2 for finger in FINGERS]]  # the joints that carry the tips
        tips = (last[..., :3] @ self.tips[..., None])[..., 0] + last[..., 3]
        return np.concatenate((self.chain.joints_under(moves), tips), 1)


_MADE: Final[dict[tuple[str, bytes], FitHand]] = {}


def fit_hand(hand: HandModel, betas: torch.Tensor) -> FitHand:
    """The arrays of a hand of shape betas (10,), made or kept from before."""
    key = hand.digest, betas.numpy().tobytes()
    found = _MADE.get(key)
    if found is None:
        found = _make(hand, betas.clone())
        while len(_MADE) >= KEPT:
            _MADE.pop(next(iter(_MADE)), None)
        _MADE[key] = found
    return found


def _make(hand: HandModel, betas: torch.Tensor) -> FitHand:
    points = HandPoints(hand, betas)
    palmar = HandPoints(hand, betas, STIFFNESS_POINTS).palmar_skin()
    with torch.no_grad():
        rest = hand.rest(betas[None])[0][0] - points.wrist
    chain = Chain(hand.parents.tolist(), points.joints.numpy(), hand.dof_axes.numpy(), DOF_JOINTS)

    def skinned(of: HandPoints, rows: slice, normals: torch.Tensor | None) -> SkinnedPoints:
        return SkinnedPoints(chain, of.rest[rows].numpy(), of.weights[rows].numpy(),
                             None if normals is None else normals.numpy())

    count = points.candidates.stop
    limits = hand.dof_limits.numpy()
    bends = np.array([name.endswith("bend") for name in hand.dof_names], np.float32)
    skin = SkinnedPoints(chain, rest.numpy(), hand.lbs_weights.numpy(),
                         vertex_normals(hand.v_template, hand.faces).numpy(), hand.posedirs.numpy())
    return FitHand(
        hand, betas, points, chain, skinned(points, points.candidates, points.normals[:count]),
        skinned(points, points.spheres, None), skinned(points, points.skin, points.normals[count:]),
        points.skin_area.numpy(), skin, vertex_area(hand).numpy(), skinned(palmar, palmar.skin, palmar.normals),
        palmar.skin_area.numpy(), flexion(hand, STIFFNESS.closing_degrees).numpy(), finger_closings(hand), bends,
        grasp_centre(points.joints).numpy(), points.radii.numpy(), points.sphere_parts.numpy(),
        sphere_clearance(points).numpy(), points.candidate_parts.numpy(), posture_matrix(), limits[:, 0], limits[:, 1],
        1.0 if hand.side == "right" else -1.0, rest[hand.tip_vertices].numpy())


def finger_closings(hand: HandModel) -> np.ndarray:
    """(5, 21) radians by which the angles of the thumb and the fingers grow, each by itself, when it closes by one."""
    speed = {"MCP bend": 1.0, "PIP bend": 0.9, "DIP bend": 0.6}
    thumb = {"thumb CMC bend": 0.5, "thumb MCP bend": 0.6, "thumb IP bend": 0.7}
    closing = np.zeros((5, len(hand.dof_names)), np.float32)
    for column, name in enumerate(hand.dof_names):
        finger, _, joint = name.partition(" ")
        closing[FINGERS.index(finger), column] = thumb.get(name, 0.0) if finger == "thumb" else speed.get(joint, 0.0)
    return closing


def posture_matrix() -> np.ndarray:
    """(21, 21) of `FitHand.posture`."""
    matrix = np.diag(WEIGHTS.prior * np.array([*ENERGY.bend_scale * 4, *[ENERGY.thumb_scale] * 5]))

    def tie(weight: float, one: int, other: int, share: float) -> None:
        """Adds weight (u_one - share u_other)^2."""
        row = np.zeros(21)
        row[one], row[other] = 1, -share
        matrix[...] += weight * np.outer(row, row)

    for finger in range(len(FOUR_FINGERS)):
        first = 4 * finger
        tie(WEIGHTS.coupling, first + 3, first + 2, ENERGY.dip_per_pip)
        for joint in (0, 2) if finger else ():
            tie(WEIGHTS.similarity, first + joint, first - 4 + joint, 1.0)
    return matrix.astype(np.float32)
