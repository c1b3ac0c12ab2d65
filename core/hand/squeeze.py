"""Fingers that close by a little: the flexion that a squeeze adds to a pose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from core.hand.model import HandModel

#: degrees of flexion added at knuckles, and at the middle joints and the thumb's last
SQUEEZE: Final = (2.0, 1.4)


def squeeze(hand: HandModel, hand_pose: torch.Tensor, degrees: tuple[float, float] = SQUEEZE) -> torch.Tensor:
    """Poses with more flexion, added before the pose's own rotation, so that what is no flexion stays as it is.

    Args:
        hand: the hand, of either side.
        hand_pose: (N, 45) axis-angle radians.
        degrees: added at the five MCPs, and at the four PIPs and the thumb's IP.

    Returns:
        (N, 45) axis-angle radians.
    """
    added = flexion(hand, degrees)[None]
    added_pose = hand.pose_from_dofs(added.to(hand_pose)).detach().cpu().double().numpy().reshape(15, 3)
    count = len(hand_pose)
    own = Rotation.from_rotvec(hand_pose.detach().cpu().double().numpy().reshape(-1, 3))
    squeezed = Rotation.from_rotvec(np.tile(added_pose, (count, 1))) * own
    return torch.from_numpy(squeezed.as_rotvec().reshape(count, 45)).to(hand_pose)


def flexion(hand: HandModel, degrees: tuple[float, float] = SQUEEZE) -> torch.Tensor:
    """By how much the degrees of freedom grow in a squeeze.

    Args:
        hand: the hand.
        degrees: added at the five MCPs, and at the four PIPs and the thumb's IP.

    Returns:
        (21,) radians, in the order of `core.hand.articulation.DOF_NAMES`.
    """
    added = torch.zeros(len(hand.dof_names))
    for index, name in enumerate(hand.dof_names):
        if name.endswith("MCP bend"):
            added[index] = np.deg2rad(degrees[0])
        elif name.endswith(("PIP bend", "IP bend")) and "DIP" not in name:
            added[index] = np.deg2rad(degrees[1])
    return added
