"""Noise on true hands: what refinement is trained on, and measured by."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from core.dataset.synergies import load_synergies
from core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel

#: the bundled synergies of the training grasps
SYNERGIES: Final = Path(__file__).resolve().parents[2] / "weights" / "training" / "synergies.npz"
#: CHOIR's (Sec. 4), standard deviations: metres of the wrist, radians of the wrist, radians along each synergy; its
#: text has radians where degrees are meant
PAPER: Final = (0.05, math.radians(15), 0.05)


@cache
def synergy_basis() -> torch.Tensor:
    """(21, 21) unit rows, the strongest first."""
    return torch.from_numpy(load_synergies(SYNERGIES).basis).float()


def perturbed(hand: HandModel, grasps: Grasps, noise: tuple[float, float, float], rng: torch.Generator) -> Grasps:
    """Grasps with normal noise on the wrist's position and rotation and along the synergies of the fingers.

    Args:
        hand: of the grasps' side.
        grasps: N grasps.
        noise: standard deviations, as `PAPER` has them.
        rng: of the noise; on the processor.

    Returns:
        N grasps of the same shapes, fingers within the joints' limits.
    """
    count, device = len(grasps), grasps.transl.device
    shift, turn, bend = noise
    basis = synergy_basis()
    angles = bend * torch.randn(count, len(basis), generator=rng) @ basis
    dofs = hand.clamp_dofs(hand.dofs_from_pose(grasps.hand_pose) + angles.to(device))
    turned = axis_angle_to_matrix(turn * torch.randn(count, 3, generator=rng)).to(device)
    return replace(grasps, global_orient=matrix_to_axis_angle(turned @ axis_angle_to_matrix(grasps.global_orient)),
                   hand_pose=hand.pose_from_dofs(dofs),
                   transl=grasps.transl + shift * torch.randn(count, 3, generator=rng).to(device))
