"""JHOD: joint diffusion of hands and objects."""

from __future__ import annotations

from typing import Any

from core.generators.learned import Network
from core.generators.object_autoencoder import ObjectAutoencoder
from core.generators.training_config import OptimizerConfig, Stage, TrainingConfig, scaled


class JHOD(Network):
    """The whole of JHOD."""

    def __init__(self) -> None:
        super().__init__()
        self.object_autoencoder = ObjectAutoencoder()


def training_config(scale: float = 1.0, **options: Any) -> TrainingConfig:
    """JHOD's training.

    Args:
        scale: of the steps.
        options: of the network.
    """
    network = JHOD(**options)
    stages = (
        Stage("object", ("object_autoencoder",),
              lambda hand, batch, rng: network.object_autoencoder.loss(batch, rng),
              OptimizerConfig(scaled(6000, scale), learning_rate=1.5e-3), batch=0, shapes=24),
    )
    return TrainingConfig(network, stages)
