"""Stage 1 (CHOIR, Sec. 3.3.a): the hand that a field of anchor distances belongs to.

Each anchor has 128 distances (of a coarser lattice fewer): four linear unknowns give its place, the palm's anchors the
wrist, and a few Gauss-Newton steps on the distances themselves (Eq. 9) the rest:

    min over wrist, q, betas of   1/128 sum_i (|b_i - a_delta(i)| - D_i)^2 + l_q^2 |q - q_0|^2 + l_b^2 |betas|^2

with b_i the basis points, a the anchors, D the field, q_0 the relaxed hand. Nothing is drawn and no start is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final

import torch

from core.fitting.representation import ANCHORS, anchor_distances, points_of_anchors, side_of
from core.hand.articulation import relaxed_dofs
from core.objects.basis_points import basis_lattice
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.fitting.representation import Choir
    from core.grasps.batch import Grasps
    from core.hand import HandModel

#: the palm's anchors, the last seven: they move as one
PALM: Final = slice(25, 32)
#: columns of the unknowns: the wrist's turn and shift, then the 21 joint angles, then the shape
TURN, SHIFT, DOFS, SHAPE = slice(0, 3), slice(3, 6), slice(6, 27), slice(27, None)


@dataclass(frozen=True)
class SolverConfig:
    """Numbers of the damped Gauss-Newton steps.

    Attributes:
        steps: at most.
        pose_prior: Eq. 9's pull of the angles to the relaxed hand, metres for a radian.
        shape_prior: Eq. 9's pull of the shape to the mean, metres for a unit of betas.
        delta: radians and metres by which unknowns are moved for the numerical Jacobian.
        damping: Levenberg's, at first; a quarter after a step that gains, six times as much after another.
        least_damping: at least.
        most_damping: at most.
    """

    steps: int = 25
    pose_prior: float = 2e-4
    shape_prior: float = 5e-4
    delta: float = 1e-3
    damping: float = 1e-3
    least_damping: float = 1e-7
    most_damping: float = 1e3


SOLVER: Final = SolverConfig()


@cache
def _trilateration(side: int) -> torch.Tensor:
    """(32, 4, K) least squares for [a, a.a] of  b.b - d^2 = 2 b.a - a.a, in double precision."""
    basis = basis_lattice(side=side)[points_of_anchors(side)].double()
    system = torch.cat([2 * basis, -torch.ones(ANCHORS, basis.shape[1], 1, dtype=torch.float64)], -1)
    return torch.linalg.pinv(system)


def trilaterate(distances: torch.Tensor) -> torch.Tensor:
    """(N, 32, 3) the anchors of fields (N, side^3) in metres, in the window's frame; linear, in closed form."""
    side = side_of(distances)
    rows = points_of_anchors(side)
    basis = basis_lattice(side=side)[rows].double().square().sum(-1)
    known = basis - distances.double()[:, rows].square()
    return torch.einsum("akp,nap->nak", _trilateration(side), known)[..., :3].to(distances.dtype)


def rigid(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rigid motions that bring points nearest to others (Kabsch).

    Args:
        source: (N, K, 3).
        target: (N, K, 3).

    Returns:
        (N, 3, 3) rotations and (N, 3) shifts.
    """
    middle, goal = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    left, _, right = torch.linalg.svd((target - goal).transpose(1, 2) @ (source - middle))
    flip = torch.ones(len(source), 3, dtype=source.dtype)
    flip[:, 2] = torch.linalg.det(left @ right)
    rotation = (left * flip[:, None]) @ right
    return rotation, (goal - middle @ rotation.transpose(1, 2))[:, 0]


class AnchorLayer:
    """The hand's anchors alone: its layer on the 96 vertices that they lie between.

    Args:
        hand: the hand model.
    """

    def __init__(self, hand: HandModel) -> None:
        self.hand = hand
        vertices, self.corner = hand.anchor_faces.reshape(-1).unique(return_inverse=True)
        self.vertices = vertices
        columns = (3 * vertices[:, None] + torch.arange(3)).reshape(-1)
        self.posedirs = hand.posedirs[:, columns]
        self.weights = hand.lbs_weights[vertices]

    def __call__(self, rotation: torch.Tensor, wrist: torch.Tensor, dofs: torch.Tensor,
                 betas: torch.Tensor) -> torch.Tensor:
        """The anchors of posed hands.

        Args:
            rotation: (B, 3, 3) about the wrist.
            wrist: (B, 3) metres.
            dofs: (B, 21) joint angles, radians.
            betas: (B, 10).

        Returns:
            (B, 32, 3) metres.
        """
        count = len(dofs)
        shaped, joints = self.hand.rest(betas)
        pose = self.hand.pose_from_dofs(dofs)
        turns = axis_angle_to_matrix(pose.reshape(count, 15, 3)) - torch.eye(3)
        rest = shaped[:, self.vertices] + (turns.reshape(count, 135) @ self.posedirs).reshape(count, -1, 3)
        zero = torch.zeros(count, 3)
        root = joints[:, :1]
        moves = self.hand.transforms(zero, pose, zero, joints)[:, :, :3]
        blend = (self.weights @ moves.reshape(count, 16, 12)).reshape(count, -1, 3, 4)
        local = (blend[..., :3] @ rest[..., None])[..., 0] + blend[..., 3] - root
        corners = local[:, self.corner].reshape(count, ANCHORS, 3, 3)
        anchors = (corners * self.hand.anchor_weights[..., None]).sum(2)
        return anchors @ rotation.transpose(1, 2) + wrist[:, None]


@torch.no_grad()
def hands_in_field(hand: HandModel, field: Choir, grasps: Grasps, shape: bool = False,
                   steps: int = SOLVER.steps) -> Grasps:
    """The grasps that N fields describe, in the object's frame.

    Args:
        hand: the hand model.
        field: N representations, given or predicted.
        grasps: N, of which only shape, type and names are read.
        shape: solve for the betas too, instead of keeping those of `grasps`.
        steps: of Levenberg's damped Gauss-Newton method.
    """
    layer, count = AnchorLayer(hand), len(field)
    side = side_of(field.hand)
    each = field.hand.shape[1] / ANCHORS
    betas = grasps.betas.clone()
    dofs = relaxed_dofs().expand(count, -1).clone()
    targets = trilaterate(field.hand)
    turn, shift = rigid(layer(torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3), dofs, betas)[:, PALM],
                        targets[:, PALM])
    width = DOFS.stop + 10 * shape
    prior = torch.zeros(width)
    prior[DOFS], prior[SHAPE] = SOLVER.pose_prior, SOLVER.shape_prior
    mean = torch.cat([torch.zeros(count, 6), dofs, torch.zeros(count, width - DOFS.stop)], 1)
    state = [turn, shift, dofs, betas]

    def moved(by: torch.Tensor) -> list[torch.Tensor]:
        """The state after unknowns (N, width): turn, shift, angles, shape."""
        return [axis_angle_to_matrix(by[:, TURN]) @ state[0], state[1] + by[:, SHIFT],
                hand.clamp_dofs(state[2] + by[:, DOFS]), state[3] + by[:, SHAPE] if shape else state[3]]

    def error(at: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Squared error (N,), anchors (N, 32, 3), and the unknowns' distance from their prior's mean (N, width)."""
        anchors = layer(*at)
        off = torch.cat([torch.zeros(count, 6), at[2], at[3] if shape else at[3][:, :0]], 1) - mean
        residual = anchor_distances(anchors, side) - field.hand
        return residual.square().sum(1) / each + (prior * off).square().sum(1), anchors, off

    damping = torch.full((count,), SOLVER.damping)
    rows = points_of_anchors(side)
    basis = basis_lattice(side=side)[rows]
    best, anchors, off = error(state)
    for _ in range(steps):
        deltas = SOLVER.delta * torch.eye(width).expand(count, width, width).reshape(-1, width)
        repeated = [value.repeat_interleave(width, 0) for value in state]
        moved_anchors = layer(axis_angle_to_matrix(deltas[:, TURN]) @ repeated[0], repeated[1] + deltas[:, SHIFT],
                       repeated[2] + deltas[:, DOFS], repeated[3] + deltas[:, SHAPE] if shape else repeated[3])
        slope = (moved_anchors.reshape(count, width, ANCHORS, 3) - anchors[:, None]) / SOLVER.delta
        away = anchors[:, :, None] - basis
        distance = away.norm(dim=-1).clamp_min(1e-6)
        unit = away / distance[..., None]
        residual = distance - field.hand[:, rows]
        spread = torch.einsum("napk,napl->nakl", unit, unit) / each
        force = torch.einsum("napk,nap->nak", unit, residual) / each
        matrix = torch.einsum("nwak,nakl,nval->nwv", slope, spread, slope) + torch.diag(prior.square())
        gradient = torch.einsum("nwak,nak->nw", slope, force) + prior.square() * off
        scale = matrix.diagonal(dim1=1, dim2=2)
        system = matrix + torch.diag_embed(damping[:, None] * scale + 1e-9)
        step = -torch.linalg.solve(system.double(), gradient.double()).float()
        new = moved(step)
        value, new_anchors, new_off = error(new)
        gained = value < best
        state = [torch.where(gained.reshape(-1, *[1] * (old.dim() - 1)), fresh, old)
                 for fresh, old in zip(new, state, strict=True)]
        anchors = torch.where(gained[:, None, None], new_anchors, anchors)
        off, best = torch.where(gained[:, None], new_off, off), torch.where(gained, value, best)
        damping = torch.where(gained, damping / 4, damping * 6).clamp(SOLVER.least_damping, SOLVER.most_damping)
    turn, shift, dofs, betas = state
    window = field.window
    wrist = (window.axes @ shift[..., None])[..., 0] + window.origin
    root = hand.rest(betas)[1][:, 0]
    return replace(grasps, global_orient=matrix_to_axis_angle(window.axes @ turn), hand_pose=hand.pose_from_dofs(dofs),
                   transl=wrist - root, betas=betas)
