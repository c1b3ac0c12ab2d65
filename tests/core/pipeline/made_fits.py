"""Grasps and fits that only say where they are and whether they touch, and a progress that remembers."""

from __future__ import annotations

import torch

from core.fitting.fit import Fitted
from core.grasps.batch import Grasps
from core.progress import Progress
from core.quality.surface import SurfaceQuality


def grasps(places: list[float], scores: list[float]) -> Grasps:
    count = len(places)
    transl = torch.zeros(count, 3)
    transl[:, 0] = torch.tensor(places)
    return Grasps(torch.zeros(count, 3), torch.zeros(count, 45), transl, torch.zeros(count, 10), torch.tensor(scores))


def fitted(given: Grasps, touching: list[bool]) -> Fitted:
    count = len(given)
    parts = torch.tensor([[one, one, False, False, False, False] for one in touching])
    surface = SurfaceQuality(torch.zeros(count), torch.zeros(count), parts, torch.zeros(count),
                             torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.long))
    return Fitted(given, torch.zeros(count), torch.ones(count, dtype=torch.bool), surface, surface)


class Watch(Progress):
    """A progress that remembers what it was told and shown, and stops from a fraction on."""

    def __init__(self, until: float = 2.0) -> None:
        self.told: list[float] = []
        self.shown: list[Grasps] = []
        super().__init__(lambda fraction, stage: self.told.append(fraction) or fraction < until, self.shown.append)
