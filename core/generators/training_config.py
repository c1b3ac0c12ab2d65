"""What a generator is trained with: its stages in order, each some parts of the network, a loss and an optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.hand.skin import SkinSample

#: what a loss sees of training grasps and shapes, as `core.training.data` and `shapes` make it: name -> (n, ...)
Batch: TypeAlias = dict[str, torch.Tensor]
#: a loss, "loss", and its terms by name, for the log
Terms: TypeAlias = dict[str, torch.Tensor]

#: points of the local clouds that most of the training sees: with four times as many a step takes twice as long
COARSE: Final = 256


class TrainableNetwork(nn.Module):
    """A network that is trained on the training grasps.

    Attributes:
        points: of the local point clouds that it looks at; 0 for none.
    """

    points: int = 0


@dataclass(frozen=True)
class OptimizerConfig:
    """How long and how fast one stage is trained, by AdamW.

    Attributes:
        steps: of the optimiser.
        learning_rate: the highest; it rises over `warmup` steps and falls to nothing as a cosine.
        warmup: steps.
        weight_decay: of AdamW.
        ema_decay: of the weights' moving average, which is what is kept; 0 for none.
        clip: norm that the gradient is cut to.
        seed: of everything drawn.
        log_every: steps between two lines of the log.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    ema_decay: float = 0.999
    clip: float = 1.0
    seed: int = 0
    log_every: int = 100


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Attributes:
        name: of its checkpoints.
        trained: the parts of the network whose weights move.
        loss: of the hand, a batch and a generator of random numbers.
        optimizer: steps and rates.
        batch: grasps in one step; 0 for none.
        before: called once, before the stage begins, with hand parameters (n, 61) of training grasps.
        points: of the local cloud, where they are not the network's.
        shapes: procedural shapes in one step, grasped or not (`core.training.shapes`).
        object_points: of the clouds of whole objects that the stage sees beside the local ones; 0 for none.
    """

    name: str
    trained: tuple[str, ...]
    loss: Callable[[SkinSample, Batch, torch.Generator], Terms]
    optimizer: OptimizerConfig
    batch: int = 64
    before: Callable[[SkinSample, torch.Tensor], None] | None = None
    points: int | None = None
    shapes: int = 0
    object_points: int = 0


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is made.

    Attributes:
        network: untrained.
        stages: in order.
        object_frame: it is trained in the papers' frame, and sees the whole object.
    """

    network: TrainableNetwork
    stages: tuple[Stage, ...]
    object_frame: bool = False

    @property
    def sees_shapes(self) -> bool:
        """Whether any stage asks for procedural shapes."""
        return any(stage.shapes for stage in self.stages)

    def points_of(self, stage: Stage) -> int:
        """Points of the local clouds that the stage sees; 0 where it sees none."""
        return stage.points or self.network.points


def scaled(steps: int, scale: float) -> int:
    """A share `scale` of a stage's steps, at least one."""
    return max(1, int(steps * scale))
