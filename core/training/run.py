"""Runs a generator's training, stage after stage, in slices of time that go on where they were."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import torch
from safetensors.torch import load_file, save

from core.files import whole
from core.generators.learned import Network
from core.grasps.heading_frame import Frames, object_frames
from core.hand.skin import SkinSample
from core.training.loop import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from core.generators.training_config import Batch, Stage, Terms, TrainingConfig
    from core.hand import HandModel
    from core.training.data import TrainingData
    from core.training.shapes import ShapeData

#: training grasps that a stage's `before` sees, at most
BEFORE_STAGE: Final = 2048
#: grasps of held-out shapes that the averaged weights are checked on, at most
CHECKED: Final = 512


def run(config: TrainingConfig, data: TrainingData, hand: HandModel, folder: Path, seconds: float,
        log: Callable[[str], object], device: str = "cpu", shapes: ShapeData | None = None) -> bool:
    """Runs the stages that are not finished, for a while.

    Args:
        config: the network, which is trained in place, and its stages.
        data: the training grasps.
        hand: the right hand.
        folder: where checkpoints and logs are kept.
        seconds: the most that it takes.
        log: told a line now and then.
        device: where the network is trained.
        shapes: the procedural shapes, where a stage asks for some.

    Returns:
        Whether the last stage is finished.

    Raises:
        ValueError: there are no shapes, and a stage asks for some.
    """
    begin = time.monotonic()
    if config.sees_shapes:
        if shapes is None:
            raise ValueError("this training needs the procedural shapes: see core.training.shapes.load_shape_data")
        shapes = shapes.to(device)
    network = config.network
    if isinstance(network, Network):
        fit_units(network, data, hand, config.object_frame)
        keep_units(network, folder)
    network.to(device)
    data, hand = data.to(device), hand.to(device)
    skin = SkinSample(hand)
    rows, checked = data.rows("train"), data.rows("shape")
    for stage in config.stages:
        # Everything before is frozen, and stays as its own stage left it.
        parts: list[nn.Module] = [network.get_submodule(name) for name in stage.trained]
        network.requires_grad_(False)
        for part in parts:
            part.requires_grad_(True)

        def batch_of(rows: torch.Tensor, size: int, rng: torch.Generator, stage: Stage = stage) -> Batch:
            batch: Batch = {}
            if stage.batch:
                some = rows[torch.randint(len(rows), (size,), generator=rng).to(rows.device)]
                if not isinstance(network, Network):  # the scorer of grasp points
                    return data.place_batch(some, rng)
                batch = data.batch(some, hand, network.code, rng, config.points_of(stage), config.object_frame,
                                   network.noisy_share, stage.object_points)
            if stage.shapes and shapes is not None:
                share = size / stage.batch if stage.batch else size / stage.shapes
                batch |= shapes.batch(round(share * stage.shapes), rng, train=rows is not checked)
            return batch

        def loss(rng: torch.Generator, stage: Stage = stage, batch_of: Callable[..., Batch] = batch_of) -> Terms:
            return stage.loss(skin, batch_of(rows, stage.batch or stage.shapes, rng), rng)

        def check(stage: Stage = stage, batch_of: Callable[..., Batch] = batch_of) -> Terms:
            rng = torch.Generator().manual_seed(7)
            return stage.loss(skin, batch_of(checked, min(CHECKED, len(checked)), rng), rng)

        module = torch.nn.ModuleDict(dict(zip(stage.trained, parts, strict=True)))
        if stage.before is not None and isinstance(network, Network):
            order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))
            some = rows[order[:BEFORE_STAGE].to(rows.device)]
            frames = data.frames[some]
            if config.object_frame:
                frames = object_frames(len(some), torch.Generator().manual_seed(3)).to(device)
            stage.before(skin, network.code.encode(hand, data.grasps[some], frames))
        left = seconds - (time.monotonic() - begin)
        if not train(module, loss, stage.optimizer, folder, stage.name, left, check, log):
            return False
    network.requires_grad_(False)
    return True


def fit_units(network: Network, data: TrainingData, hand: HandModel, object_frame: bool = False) -> None:
    """Takes the units of the hand parameters from the training grasps; of those in the papers' frame if told."""
    rows = data.rows("train")
    frames = data.frames[rows]
    if object_frame:
        frames = Frames(torch.zeros_like(frames.origin), torch.eye(3).expand_as(frames.axes))
    network.code.fit(hand, data.grasps[rows], frames)


def keep_units(network: Network, folder: Path) -> None:
    """Leaves the network's units in `folder`, or takes those there: grown data must not change what was learned."""
    path = folder / "code.safetensors"
    if path.exists():
        network.code.load_state_dict(load_file(path))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as stream:
            stream.write(save(network.code.state_dict()))
