"""Run by the engine's Python: 64 hands bent at random within their joints' limits, posed by core, as an NPZ file."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import torch

from core.grasps.batch import Grasps
from core.grasps.posed import pose_hands
from core.hand import load_hand


def main(path: str) -> None:
    file = {}
    for side in ("right", "left"):
        hand, draw = load_hand(side=side), torch.Generator().manual_seed(4)
        low, high = hand.dof_limits.T
        pose = hand.pose_from_dofs(low + (high - low) * torch.rand((64, 21), generator=draw))
        turn = torch.nn.functional.normalize(torch.randn((64, 3), generator=draw), dim=1)
        turn = turn * 3.1 * torch.rand((64, 1), generator=draw)
        place = 0.1 * torch.randn((64, 3), generator=draw)
        grasps = Grasps(turn, pose, place, torch.zeros(64, 10), torch.zeros(64), hand=side)
        for length in (0.19, 1.9):
            hands = pose_hands(hand, grasps, SimpleNamespace(centroid=np.array([0.3, -0.2, 0.1])), length / 0.19)
            for name in ("vertices", "rest_vertices", "rotations", "translation"):
                file[f"{side} {length} {name}"] = getattr(hands, name).astype(np.float32)
    np.savez(path, **file)


if __name__ == "__main__":
    main(sys.argv[1])
