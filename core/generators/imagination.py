"""Hands together with objects that nobody modelled: what a network imagines, as meshes with grasps on them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from core.generators.conditioning import TYPE_CONDITIONS, Conditioning
from core.generators.learned import Learned
from core.generators.local_cloud import LocalPointCloud
from core.grasps.heading_frame import Frames, mirrored
from core.grasps.intents import INTENTS
from core.objects import ObjectError, prepare_object

if TYPE_CHECKING:
    from core.grasps.batch import Grasps
    from core.hand import HandModel
    from core.objects import GraspObject
    from core.progress import Progress

#: times that is drawn, where some of what was imagined is nothing that a hand can take
ROUNDS: Final = 3


@dataclass(frozen=True)
class ImaginationRequest:
    """What is to be imagined.

    Attributes:
        hand: the hand.
        count: how many objects, each with a hand.
        type: a grasp type, or "any".
        intent: one of `core.grasps.intents.INTENTS`.
        betas: (10,) the shape of the hand; zeros when None.
        fitted: a fit follows.
    """

    hand: HandModel
    count: int
    type: str = "any"
    intent: str = "any"
    betas: torch.Tensor | None = None
    fitted: bool = False


@dataclass(frozen=True)
class Imagined:
    """An object that was imagined, and the grasp on it.

    Attributes:
        object: prepared; its mesh is closed.
        grasps: one grasp, in the object's frame.
    """

    object: GraspObject
    grasps: Grasps


class Imagining(Learned):
    """A trained network that imagines, behind the generators' interface; it proposes as the others do."""

    @torch.no_grad()
    def imagine(self, request: ImaginationRequest, rng: torch.Generator, progress: Progress) -> list[Imagined]:
        """Objects with hands on them; what no hand can take is drawn again, a few times.

        See `core.generators.base.ImaginingGenerator.imagine`.
        """
        found: list[Imagined] = []
        for turn in range(ROUNDS):
            if missing := request.count - len(found):
                part = progress.sub(turn / ROUNDS, (turn + 1) / ROUNDS, "Imagining objects and hands")
                found += self._imagined(replace(request, count=missing), rng, part)
        progress(1.0, "Imagining objects and hands")
        return found

    def _imagined(self, request: ImaginationRequest, rng: torch.Generator, progress: Progress) -> list[Imagined]:
        """Those of `request.count` that a hand can take."""
        network, count = self.network, request.count
        shape = torch.zeros(10) if request.betas is None else request.betas
        betas = shape.to(self.device).expand(count, -1)
        grasp_type, intent = (
            torch.full((count,), table.index(name), device=self.device)
            for table, name in ((TYPE_CONDITIONS, request.type), (INTENTS, request.intent)))
        params, meshes = network.imagine(grasp_type, intent, betas, rng, progress.sub(0.0, 0.5))
        found: list[tuple[int, GraspObject, Frames]] = []
        for row, mesh in enumerate(meshes):
            progress(0.5 + 0.4 * row / count)
            if mesh is None:
                continue
            try:
                obj, frame = _placed(*mesh, request.hand.side)
            except ObjectError:
                continue  # too small or too large for a hand
            if obj.watertight:
                found.append((row, obj, frame))
        if not found:
            return []
        rows = torch.tensor([row for row, _, _ in found], device=self.device)
        clouds = [LocalPointCloud.around(obj, frame, network.points, rng) for _, obj, frame in found]
        cloud = LocalPointCloud(*(torch.cat([getattr(each, field.name) for each in clouds])
                                  for field in fields(LocalPointCloud))).to(self.device)
        adaptation = network.before_fit if request.fitted else network.without_fit
        conditioning = Conditioning(cloud.offset(adaptation.clearance.before(cloud)), grasp_type[rows], intent[rows],
                                    betas[rows], self.skin, adaptation)
        laid = network.laid(params[rows], conditioning, progress.sub(0.9, 1.0)).cpu()
        return [Imagined(obj, replace(self.normalizer.grasps(
                    request.hand, laid[number, None], frame, self.name, shape), type=(request.type,)))
                for number, (_, obj, frame) in enumerate(found)]


def _placed(vertices: np.ndarray, faces: np.ndarray, side: str) -> tuple[GraspObject, Frames]:
    """The prepared object of a mesh in a heading frame, and that frame; for a left hand both are mirrored."""
    frame = Frames(torch.zeros(1, 3), torch.eye(3)[None])
    if side == "left":
        vertices, faces, frame = vertices * [-1.0, 1.0, 1.0], faces[:, ::-1], mirrored(frame)
    obj = prepare_object(vertices, faces)
    return obj, replace(frame, origin=-torch.from_numpy(obj.centroid).float()[None])
