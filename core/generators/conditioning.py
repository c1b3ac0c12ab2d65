"""What is asked of a generator beside the object: the grasp type and the intent, as numbers and as an embedding."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from core.grasps.intents import INTENTS
from core.grasps.taxonomy import TYPES

#: Index 0 is "any": nothing is wished.
TYPE_CONDITIONS: Final = ("any", *(kind.name for kind in TYPES))


class ConditionEmbedding(nn.Module):
    """A vector for what is wished: type and intent, each of which may be left out.

    In training each is dropped at random, so that "any" means the training grasps as they are.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_type = nn.Embedding(len(TYPE_CONDITIONS), width)
        self.of_intent = nn.Embedding(len(INTENTS), width)
        nn.init.normal_(self.of_type.weight, std=0.1)
        nn.init.normal_(self.of_intent.weight, std=0.1)

    def forward(self, kind: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        """(N, width) of indices (N,) into `TYPE_CONDITIONS` and `INTENTS`."""
        return self.of_type(kind) + self.of_intent(intent)


def dropped(wish: torch.Tensor, rng: torch.Generator, share: float = 0.4) -> torch.Tensor:
    """Indices (N,) with a share of them made 0, "any"."""
    return wish * (torch.rand(wish.shape, generator=rng).to(wish.device) >= share)
