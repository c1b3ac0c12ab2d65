"""Levenberg and Marquardt's method on the energies of many hands at once.

Each hand by itself: with g the gradient, H the Hessian's model and D its diagonal, the step is that of

    (H + l (D + 1)) step = -g

shortened where it is long. Where the energy falls the step is taken and the damping l falls too, else it grows. Angles
at a limit that the gradient would push beyond it stay. Marquardt, "An Algorithm for Least-Squares Estimation of
Nonlinear Parameters" (1963).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from core.fitting.posing import ANGLES, SHIFT, TURN, HandPoses, moved_by
from core.progress import Progress

if TYPE_CHECKING:
    from core.fitting.contact_energy import ContactEnergy, Memory


@dataclass(frozen=True)
class Stages:
    """How many steps are made.

    Attributes:
        rough: with points spread over the skin.
        last: with the skin's vertices near the object.
    """

    rough: int
    last: int


@dataclass(frozen=True)
class SolverConfig:
    """The numbers of the method.

    Attributes:
        damping: at first.
        falls: factor of the damping after a step that was taken.
        grows: factor after one that was not.
        least: damping.
        most: damping.
        turn: radians of turn of a step at most.
        shift: cm of shift at most.
        angle: radians of a joint angle at most.
        renew: steps of the last stage for which its skin stands.
    """

    damping: float = 0.03
    falls: float = 0.4
    grows: float = 5.0
    least: float = 1e-4
    most: float = 1e3
    turn: float = 0.15
    shift: float = 0.8
    angle: float = 0.25
    renew: int = 8


SOLVER: Final = SolverConfig()


def minimise(energy: ContactEnergy, poses: HandPoses, stages: Stages, progress: Progress | None = None) -> HandPoses:
    """Moves B hands to where their energy is least near by.

    Args:
        energy: of the hands.
        poses: where they begin.
        stages: how many steps are made.
        progress: told the share of all steps done, after each.

    Raises:
        Stopped: `progress` was asked to stop.
    """
    progress, total = progress or Progress(), stages.rough + stages.last
    memory: Memory | None = None
    done = 0
    while done < total:
        last = done >= stages.rough
        until = min(total, done + SOLVER.renew) if last else stages.rough
        part = progress.sub(done / total, until / total)
        poses, memory = descend(energy.reading_whole_skin(poses) if last else energy, poses, until - done, memory, part)
        done = until
    return poses


def descend(energy: ContactEnergy, poses: HandPoses, steps: int, memory: Memory | None,
            progress: Progress) -> tuple[HandPoses, Memory]:
    """The poses after so many steps, and what the energy keeps of them.

    Args:
        energy: of the hands.
        poses: where they begin.
        steps: how many are tried.
        memory: of the hands as they begin.
        progress: told the share of the steps done, after each.

    Raises:
        Stopped: `progress` was asked to stop.
    """
    best, hand = energy(poses, memory), energy.hand
    damping = np.full(len(poses), SOLVER.damping)
    for step in range(steps):
        tried = moved_by(poses, limited(newton_step(energy, poses, best.gradient, best.hessian, damping)), hand.pivot)
        tried = HandPoses(tried.rotation, tried.wrist, hand.clamped(tried.dofs))
        found = energy(tried, best.memory)
        gained = found.energy < best.energy
        best, rows = best.with_rows(gained, found), np.flatnonzero(gained)
        poses = poses.with_rows(rows, tried[rows])
        damping = np.where(gained, np.maximum(damping * SOLVER.falls, SOLVER.least),
                           np.minimum(damping * SOLVER.grows, SOLVER.most))
        progress((step + 1) / steps)
    return poses, best.memory


def newton_step(energy: ContactEnergy, poses: HandPoses, gradient: np.ndarray, hessian: np.ndarray,
                damping: np.ndarray) -> np.ndarray:
    """(B, U) damped steps, of angles at a limit none beyond it.

    Args:
        energy: of the hands.
        poses: where they are.
        gradient: (B, U).
        hessian: (B, U, U).
        damping: (B,).
    """
    hand, one = energy.hand, np.eye(gradient.shape[1])
    fixed = np.zeros(gradient.shape, bool)
    on_angles = gradient[:, ANGLES]
    fixed[:, ANGLES] = ((poses.dofs <= hand.low) & (on_angles > 0)) | ((poses.dofs >= hand.high) & (on_angles < 0))
    diagonal = np.einsum("bii->bi", hessian) + 1
    system = hessian + damping[:, None, None] * diagonal[:, :, None] * one
    system = np.where(fixed[:, :, None] | fixed[:, None], one, system)
    step = -solved(system, np.where(fixed, 0, gradient)).astype(np.float32)
    return np.where(np.isfinite(step).all(1, keepdims=True), step, 0)  # what is no number moves nothing


def solved(systems: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The solutions x of A x = b, by Gauss's elimination without pivoting, all systems a column at a time.

    As fast as LAPACK on systems so small, which it solves one by one, with threads whose number is in the last bits.

    Args:
        systems: (B, U, U) symmetric, positive definite.
        right: (B, U).

    Returns:
        (B, U).
    """
    rows = np.concatenate((systems, right[..., None]), 2)
    count = right.shape[1]
    for column in range(count - 1):
        below = rows[:, column + 1 :, column] / rows[:, column, column, None]
        rows[:, column + 1 :, column + 1 :] -= below[..., None] * rows[:, column, None, column + 1 :]
    found = np.empty_like(right)
    for column in reversed(range(count)):
        known = (rows[:, column, column + 1 : count] * found[:, column + 1 :]).sum(1)
        found[:, column] = (rows[:, column, count] - known) / rows[:, column, column]
    return found


def limited(steps: np.ndarray) -> np.ndarray:
    """(B, U) steps, each shortened as a whole until no part of it is longer than it may be."""
    turn = np.sqrt((steps[:, TURN] ** 2).sum(1)) / SOLVER.turn
    shift = np.sqrt((steps[:, SHIFT] ** 2).sum(1)) / SOLVER.shift
    angle = np.abs(steps[:, ANGLES]).max(1) / SOLVER.angle
    return steps / np.maximum(np.maximum(turn, shift), np.maximum(angle, 1))[:, None]
