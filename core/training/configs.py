"""What each generator is trained with: its stages in order, each a module, a loss and a course."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch
from safetensors.torch import load_file, save

from core.files import whole
from core.generators.fastgrasp import FastGrasp, HandLoss
from core.generators.grasptta import CvaeLoss, GraspTTA
from core.generators.jointdiffusion import JointDiffusion
from core.generators.keypoints import KeypointDiffusion
from core.generators.place_scorer import PlaceScorer
from core.grasps.heading_frame import Frames, object_frames
from core.hand.skin import SkinSample
from core.training.loop import OptimizerConfig, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from core.generators.learned import Network
    from core.hand import HandModel
    from core.training.data import TrainingData

#: of FastGrasp's diffusion: where the skin is, and how far from the object's surface
SKIN: Final = HandLoss(param=0, mesh=0, contact=0, penetration=0, consistency=0, surface=2, deeper=10, vertices=0.5)
#: points of the windows that most of the training sees: with four times as many a step takes twice as long
COARSE: Final = 256
#: of JointDiffusion's stages after the first, a metre of distance that is wrong against the field's squared error
SURFACE: Final = 150.0

Terms = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe.

    Attributes:
        name: of its checkpoints. trained: the parts of the network whose weights move.
        loss: of the hand, a batch and a generator. course: steps and rates. batch: grasps in one step.
        before: called once, before the stage begins, with codes (n, 61) of training grasps.
        points: of the window, where they are not the network's.
    """

    name: str
    trained: tuple[str, ...]
    loss: Callable[[SkinSample, Terms, torch.Generator], Terms]
    course: OptimizerConfig
    batch: int = 64
    before: Callable[[SkinSample, torch.Tensor], None] | None = None
    points: int | None = None


@dataclass(frozen=True)
class TrainingConfig:
    """How a generator is made. Attributes: network: untrained. stages: in order. object_frame: the papers' frame."""

    network: Network | PlaceScorer
    stages: tuple[Stage, ...]
    object_frame: bool = False

    def points_of(self, stage: Stage) -> int:
        """Of the windows that the stage sees; 0 where there are none."""
        return 0 if isinstance(self.network, PlaceScorer) else stage.points or self.network.points


def steps(count: int, scale: float) -> int:
    """A stage's steps, at least one."""
    return max(1, int(count * scale))


def places(scale: float = 1.0) -> TrainingConfig:
    """The scorer of places, which all generators ask."""
    network = PlaceScorer()
    return TrainingConfig(network, (
        Stage("places", ("wishes", "first", "rest", "score", "types"),
              lambda hand, batch, rng: network.loss(batch, rng),
              OptimizerConfig(steps(2800, scale), decay=0.05, every=70), 256),))


def fastgrasp(scale: float = 1.0, loss: HandLoss | None = None, *, autoencoder: HandLoss | None = None,
              diffusion: HandLoss | None = SKIN, object_frame: bool = False, **options: object) -> TrainingConfig:
    """FastGrasp: auto-encoder, diffusion with it frozen, adaptation with both frozen (Sec. 3.2, 3.3).

    Args:
        scale: of the steps. loss: Eq. 7 of the adaptation, its weights for that still to be applied, and of what
            follows where nothing else is said. autoencoder: Eq. 7 of the auto-encoder (Table 4).
        diffusion: Eq. 7 in the diffusion, too (Table 1, "with physical loss"); None is the paper's, Eq. 8 alone. With
            `SKIN` 1,500 steps are as good before f_adapt as 6,000 without.
        object_frame: the papers' frame. options: of the network; without passes of f_adapt that stage falls away.
    """
    network = FastGrasp(**options)
    weights = loss or HandLoss()
    whole = autoencoder or weights
    plain = HandLoss(mesh=0, contact=0, penetration=0, consistency=0, surface=0)
    last = replace(weights, param=1.0, penetration=1.0, surface=2.0 * weights.surface, deeper=20.0)

    def standardise(hand: SkinSample, codes: torch.Tensor) -> None:
        with torch.no_grad():
            network.standardise(network.autoencoder.encode(hand, network, codes))

    stages = (
        # Eq. 2 alone first, which is cheap; then Eq. 7 whole.
        Stage("reconstruction", ("autoencoder",),
              lambda hand, batch, rng: network.autoencoder_loss(hand, batch, rng, plain),
              OptimizerConfig(steps(8000, scale), rate=2e-3), points=COARSE),
        Stage("autoencoder", ("autoencoder",),
              lambda hand, batch, rng: network.autoencoder_loss(hand, batch, rng, whole),
              OptimizerConfig(steps(2000, scale), rate=5e-4), points=COARSE),
        Stage("diffusion", ("object", "into", "wishes", "denoiser"),
              lambda hand, batch, rng: network.diffusion_loss(hand, batch, rng, diffusion),
              OptimizerConfig(steps(10000, scale)), 64, standardise, COARSE),
        # Three times as long it did worse on new objects, with a penetration loss that drew hands in.
        Stage("adaptation", ("adapt_object", "adapt"),
              lambda hand, batch, rng: network.adaptation_loss(hand, batch, rng, last),
              OptimizerConfig(steps(1000, scale)),
              points=COARSE),
        Stage("finer", ("object", "into", "wishes", "denoiser"),
              lambda hand, batch, rng: network.diffusion_loss(hand, batch, rng, diffusion),
              OptimizerConfig(steps(5000, scale), rate=5e-4, seed=1), 32),
        Stage("finest", ("adapt_object", "adapt"),
              lambda hand, batch, rng: network.adaptation_loss(hand, batch, rng, last),
              OptimizerConfig(steps(1500, scale), rate=7e-4, seed=1), 32),
    )
    if not network.passes:
        stages = tuple(stage for stage in stages if "adapt" not in stage.trained)
    return TrainingConfig(network, stages, object_frame)


def grasptta(scale: float = 1.0, loss: CvaeLoss | None = None, *, object_frame: bool = False,
             **options: object) -> TrainingConfig:
    """GraspTTA: GraspCVAE and ContactNet, each by itself (Sec. 2.1, 2.2).

    Args:
        scale: of the steps. loss: of GraspCVAE (Eq. 2). object_frame: the papers' frame. options: of the network.
    """
    network = GraspTTA(**options)
    weights = loss or CvaeLoss()
    proposals = replace(weights, unseen=1.0)
    return TrainingConfig(network, (
        Stage("cvae", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, weights),
              OptimizerConfig(steps(6400, scale)), points=COARSE),
        Stage("contact", ("contact",), lambda hand, batch, rng: network.contact_loss(hand, batch, rng),
              OptimizerConfig(steps(1600, scale)), points=COARSE),
        Stage("finer", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, weights),
              OptimizerConfig(steps(5000, scale), rate=8e-4, seed=1), 32),
        Stage("finest", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, weights),
              OptimizerConfig(steps(6000, scale), rate=8e-4, seed=2), 32),
        Stage("last", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, proposals),
              OptimizerConfig(steps(3000, scale), rate=7e-4, seed=3), 32),
        Stage("further", ("cvae",), lambda hand, batch, rng: network.cvae_loss(hand, batch, rng, proposals),
              OptimizerConfig(steps(5000, scale), rate=7e-4, seed=4), 32),
    ), object_frame)


def jointdiffusion(scale: float = 1.0, **options: object) -> TrainingConfig:
    """JointDiffusion: synthesis and refinement together (App. C.5); at the end with the distance to the surface."""
    network = JointDiffusion(**options)
    parts = ("object_context", "noisy_context", "wishes", "denoiser", *(("oriented",) if network.oriented else ()))

    def surface(hand: SkinSample, batch: Terms, rng: torch.Generator) -> Terms:
        return network.loss(hand, batch, rng, SURFACE)

    return TrainingConfig(network, (
        Stage("joint", parts, lambda hand, batch, rng: network.loss(hand, batch, rng),
              OptimizerConfig(steps(20000, scale)), 32,
              network.standardise, COARSE),
        Stage("surface", parts, surface, OptimizerConfig(steps(6000, scale), rate=4e-4), 32, points=COARSE),
        Stage("longer", parts, surface, OptimizerConfig(steps(16000, scale), rate=5e-4, seed=1), 32, points=COARSE),
        Stage("longest", parts, surface, OptimizerConfig(steps(20000, scale), rate=5e-4, seed=2), 32, points=COARSE),
        Stage("last", parts, surface, OptimizerConfig(steps(24000, scale), rate=5e-4, seed=3), 32, points=COARSE),
        Stage("finer", parts, surface, OptimizerConfig(steps(16000, scale), rate=5e-4, seed=4), 32),
        Stage("finest", parts, surface, OptimizerConfig(steps(16000, scale), rate=5e-4, seed=5), 32),
    ))


def keypoints(scale: float = 1.0) -> TrainingConfig:
    """CHOIR's keypoint baseline (App. B.3), for the ablation: as many steps as JointDiffusion's first stage."""
    network = KeypointDiffusion()
    parts = ("object_context", "noisy_context", "wishes", "time", "into", "layers", "out")
    return TrainingConfig(network, (
        Stage("joint", parts, lambda hand, batch, rng: network.loss(hand, batch, rng),
              OptimizerConfig(steps(20000, scale)), 32,
              network.standardise),))


CONFIGS = {"places": places, "fastgrasp": fastgrasp, "grasptta": grasptta, "jointdiffusion": jointdiffusion}


def prepare(network: Network | PlaceScorer, windows: TrainingData, hand: HandModel, object_frame: bool = False) -> None:
    """Takes from the training grasps what the network needs to know before it is trained."""
    rows = windows.rows("train")
    if isinstance(network, PlaceScorer):
        return
    frames = windows.frames[rows]
    if object_frame:
        frames = Frames(torch.zeros_like(frames.origin), torch.eye(3).expand_as(frames.axes))
    network.code.fit(hand, windows.grasps[rows], frames)


def keep_code(network: Network | PlaceScorer, folder: Path) -> None:
    """Leaves the code's units in `folder`, or takes those there: grown data must not change what was learned."""
    if isinstance(network, PlaceScorer):
        return
    path = folder / "code.safetensors"
    if path.exists():
        network.code.load_state_dict(load_file(path))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as stream:
            stream.write(save(network.code.state_dict()))


def run(recipe: TrainingConfig, windows: TrainingData, hand: HandModel, folder: Path, seconds: float,
        tell: Callable[[str], object], device: str = "cpu") -> bool:
    """Runs the stages that are not finished, for at most so many seconds; True when the last one is."""
    import time

    begin = time.monotonic()
    network = recipe.network
    prepare(network, windows, hand, recipe.object_frame)
    keep_code(network, folder)
    network.to(device)
    windows, hand = windows.to(device), hand.to(device)
    skin = SkinSample(hand)
    rows, checked = windows.rows("train"), windows.rows("shape")
    for stage in recipe.stages:
        # Everything before is frozen, and stays as its own stage left it.
        parts: list[nn.Module] = [getattr(network, name) for name in stage.trained]
        network.requires_grad_(False)
        for part in parts:
            part.requires_grad_(True)

        def batch_of(rows: torch.Tensor, size: int, rng: torch.Generator, stage: Stage = stage) -> Terms:
            some = rows[torch.randint(len(rows), (size,), generator=rng).to(rows.device)]
            if isinstance(network, PlaceScorer):
                return windows.place_batch(some, rng)
            return windows.batch(some, hand, network.code, rng, recipe.points_of(stage), recipe.object_frame,
                                 network.noisy)

        def loss(rng: torch.Generator, stage: Stage = stage, batch_of: Callable = batch_of) -> Terms:
            return stage.loss(skin, batch_of(rows, stage.batch, rng), rng)

        def check(stage: Stage = stage, batch_of: Callable = batch_of) -> Terms:
            rng = torch.Generator().manual_seed(7)
            return stage.loss(skin, batch_of(checked, min(512, len(checked)), rng), rng)

        module = torch.nn.ModuleDict(dict(zip(stage.trained, parts, strict=True)))
        if stage.before is not None:
            some = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))[:2048].to(rows.device)]
            frames = windows.frames[some]
            if recipe.object_frame:
                frames = object_frames(len(some), torch.Generator().manual_seed(3)).to(device)
            stage.before(skin, network.code.encode(hand, windows.grasps[some], frames))
        left = seconds - (time.monotonic() - begin)
        if not train(module, loss, stage.course, folder, stage.name, left, check, tell):
            return False
    network.requires_grad_(False)
    return True
