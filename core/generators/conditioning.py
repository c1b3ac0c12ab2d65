"""What a network is asked under: the local surface, the grasp type, the intent and the hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from core.generators.adaptation import NO_ADAPTATION, AdaptationConfig
from core.grasps.intents import INTENTS
from core.grasps.taxonomy import TYPES

if TYPE_CHECKING:
    from core.generators.local_cloud import LocalPointCloud
    from core.grasps.request import GraspRequest
    from core.hand.skin import SkinSample

#: Grasp types by the index that networks know them by; index 0 is "any": no type is asked for.
TYPE_CONDITIONS: Final = ("any", *(grasp_type.name for grasp_type in TYPES))


@dataclass(frozen=True)
class HeldParts:
    """Hands of which some parts are kept while others are proposed anew ("keep the thumb, try other fingers").

    Attributes:
        params: (N, 61) of the hands.
        keep: (6,) bool, which of `core.hand.tables.PARTS`.
    """

    params: torch.Tensor
    keep: torch.Tensor

    def __getitem__(self, rows: torch.Tensor | slice) -> HeldParts:
        return replace(self, params=self.params[rows])


@dataclass(frozen=True)
class Conditioning:
    """What N hands are asked of a network under; every tensor on the network's device.

    Attributes:
        cloud: the surface around N places, in their heading frames.
        grasp_type: (N,) indices into `TYPE_CONDITIONS`.
        intent: (N,) indices into `core.grasps.intents.INTENTS`.
        betas: (N, 10) the animator's hand shape.
        hand: points of the embedded right hand's skin.
        adaptation: what is done at test time with the hands that are proposed.
        guidance: weight of classifier-free guidance by the grasp type (Ho and Salimans 2022, with 1 + their w); 1 is a
            network as it was trained.
        held: parts of given hands that are kept; only of networks that can.
        whole: (N, P, 6) the whole object as `core.generators.local_cloud.object_cloud`, for networks that look at it.
    """

    cloud: LocalPointCloud
    grasp_type: torch.Tensor
    intent: torch.Tensor
    betas: torch.Tensor
    hand: SkinSample
    adaptation: AdaptationConfig = NO_ADAPTATION
    guidance: float = 1.0
    held: HeldParts | None = None
    whole: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.cloud)

    def __getitem__(self, rows: torch.Tensor | slice) -> Conditioning:
        return replace(self, cloud=self.cloud[rows], grasp_type=self.grasp_type[rows], intent=self.intent[rows],
                       betas=self.betas[rows], held=None if self.held is None else self.held[rows],
                       whole=None if self.whole is None else self.whole[rows])


class ConditionEmbedding(nn.Module):
    """A vector for grasp type and intent, each of which may be left out.

    In training each is dropped at random, so that "any" means the training grasps as they are.

    Args:
        width: of the vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_type = nn.Embedding(len(TYPE_CONDITIONS), width)
        self.of_intent = nn.Embedding(len(INTENTS), width)
        nn.init.normal_(self.of_type.weight, std=0.1)
        nn.init.normal_(self.of_intent.weight, std=0.1)

    def forward(self, grasp_type: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N, width) of indices (N,) into `TYPE_CONDITIONS` and `INTENTS`."""
        return self.of_type(grasp_type) + self.of_intent(intent)


def drop_conditions(index: torch.Tensor, rng: torch.Generator, share: float = 0.4) -> torch.Tensor:
    """Condition indices (N,) with a random share of them made 0, "any"."""
    return index * (torch.rand(index.shape, generator=rng).to(index.device) >= share)


def condition_index(request: GraspRequest) -> tuple[int, int]:
    """A request's type and intent as indices into `TYPE_CONDITIONS` and `INTENTS`."""
    return TYPE_CONDITIONS.index(request.type), INTENTS.index(request.intent)
